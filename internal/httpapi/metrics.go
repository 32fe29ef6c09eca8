package httpapi

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/recommend"
)

// metrics are those of this layer. Labels come from the contract, the ladder and status codes only: few and known.
type metrics struct {
	requests  *prometheus.CounterVec   // operation, code
	duration  *prometheus.HistogramVec // operation
	inFlight  *prometheus.GaugeVec     // plane
	shed      prometheus.Counter
	limited   prometheus.Counter
	rungs     *prometheus.CounterVec // rung
	degraded  prometheus.Counter
	history   prometheus.Histogram
	unknown   prometheus.Counter
	known     prometheus.Counter
	model     prometheus.Histogram
	reranks   *prometheus.CounterVec // rung of the second stage
	searched  prometheus.Histogram
	events    *prometheus.CounterVec // result
	eventAges prometheus.Histogram
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "recsvc", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "recsvc", Name: name, Help: help}, labels)
	}
	seconds := []float64{.0001, .00025, .0005, .001, .0015, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "recsvc", Name: name, Help: help, Buckets: buckets}
	}
	m := &metrics{
		requests: counters("http_requests_total", "Requests answered, by operation of the contract and status code.", "operation", "code"),
		duration: prometheus.NewHistogramVec(histogram("http_request_duration_seconds", "Time from the request's headers to the end of the answer.", seconds), []string{"operation"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "recsvc", Name: "http_requests_in_flight", Help: "Requests under way, by listener."}, []string{"plane"}),
		shed:     counter("http_shed_total", "Requests refused because too many were under way."),
		limited:  counter("http_rate_limited_total", "Requests refused because their key's rate was used up."),
		rungs:    counters("predict_rung_total", "Answers, by the step of the ladder they stand on.", "rung"),
		degraded: counter("predict_degraded_total", "Answers that stand on a lower step than they could have."),
		history:  prometheus.NewHistogram(histogram("predict_history_events", "Events that an answer rests on.", []float64{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000})),
		unknown:  counter("predict_unknown_items_total", "Events of histories dropped because the model never saw their item."),
		known:    counter("predict_known_items_total", "Events of histories that reached an answer."),
		model:    prometheus.NewHistogram(histogram("predict_duration_seconds", "Time spent on a prediction behind the HTTP layer.", seconds)),
		reranks:  counters("rerank_rung_total", "Answers of versions with a second stage, by how much of the history that searched.", "rung"),
		searched: prometheus.NewHistogram(histogram("rerank_history_events", "Events that the second stage searched.", []float64{0, 10, 100, 300, 1000, 3000, 10000, 30000, 100000})),
		events:   counters("events_total", "Events received, by what became of them.", "result"),
		eventAges: prometheus.NewHistogram(histogram("event_age_seconds", "Age of events when they arrive.",
			[]float64{.1, 1, 10, 60, 600, 3600, 86400, 7 * 86400, 30 * 86400, 365 * 86400})),
	}
	var faults []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.shed, m.limited, m.rungs, m.degraded, m.history, m.unknown, m.known, m.model, m.reranks, m.searched, m.events, m.eventAges} {
		faults = append(faults, to.Register(c))
	}
	return m, errors.Join(faults...)
}

// answered counts one prediction.
func (m *metrics) answered(a *recommend.Answer) {
	m.rungs.WithLabelValues(a.Rung).Inc()
	if a.Degraded != nil {
		m.degraded.Inc()
	}
	m.history.Observe(float64(a.History.Used))
	m.known.Add(float64(a.History.Used))
	m.unknown.Add(float64(a.History.Unknown))
	m.model.Observe(a.Took.Seconds())
	if a.Rerank != nil {
		m.reranks.WithLabelValues(a.Rerank.Rung).Inc()
		m.searched.Observe(float64(a.Rerank.Events))
	}
}
