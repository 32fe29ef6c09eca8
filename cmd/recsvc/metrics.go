package main

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"seqrec/internal/recommend"
	"seqrec/internal/store/pebblestore"
)

// observer counts what happens inside recommend; the layer above counts what
// leaves it.
type observer struct {
	stage   *prometheus.HistogramVec // stage: store, queue, rank, rerank
	batch   prometheus.Histogram
	score   prometheus.Summary
	failed  *prometheus.CounterVec // reason
	swaps   *prometheus.CounterVec // result
	swapped prometheus.Histogram
	back    *prometheus.CounterVec // result
	shadow  *prometheus.CounterVec // result
	overlap prometheus.Histogram
	rbo     prometheus.Histogram
	shadows prometheus.Histogram
}

var _ recommend.Observer = (*observer)(nil)

// newObserver registers the metrics of the inside, of the runtime and of the
// process.
func newObserver(to prometheus.Registerer) (*observer, error) {
	seconds := []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}
	o := &observer{
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "recsvc", Name: "stage_duration_seconds", Help: "Time of a prediction's stages: reading the history, waiting for a worker, encode with score and top-k, the second stage.", Buckets: seconds,
		}, []string{"stage"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "recsvc", Name: "batch_requests", Help: "Requests that a worker ranked together.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128},
		}),
		score: prometheus.NewSummary(prometheus.SummaryOpts{
			Namespace: "recsvc", Name: "best_score", Help: "Score of the first item of an answer by the model.", Objectives: map[float64]float64{.05: .01, .5: .02, .95: .01}, MaxAge: 10 * time.Minute,
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "recsvc", Name: "predict_failed_total", Help: "Predictions that ended in an error, by reason.",
		}, []string{"reason"}),
		swaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "recsvc", Name: "model_swaps_total", Help: "Attempts to serve another model version, by result.",
		}, []string{"result"}),
		swapped: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "recsvc", Name: "model_swap_seconds", Help: "Time to load, verify, warm and swap a version.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 30, 120},
		}),
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "recsvc", Name: name, Help: help, Buckets: buckets})
	}
	counters := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "recsvc", Name: name, Help: help}, []string{"result"})
	}
	tenths := []float64{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1}
	o.back = counters("model_rollbacks_total", "Automatic rollbacks from a new version, by result.")
	o.shadow = counters("shadow_predictions_total", "Copies of predictions for the shadow version, by result.")
	o.overlap = histogram("shadow_overlap", "Share of the first 10 items that the shadow version answers too.", tenths)
	o.rbo = histogram("shadow_rank_biased_overlap", "Rank-biased overlap (p 0.9) of the first 10 items with the shadow version's.", tenths)
	o.shadows = histogram("shadow_duration_seconds", "Time of the shadow version's ranking.", seconds)
	var faults []error
	for _, c := range []prometheus.Collector{
		o.back, o.shadow, o.overlap, o.rbo, o.shadows, o.stage, o.batch, o.score, o.failed, o.swaps, o.swapped,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		faults = append(faults, to.Register(c))
	}
	for _, result := range []string{"served", "refused"} { // a counter that begins at 1 shows no increase to Prometheus
		o.swaps.WithLabelValues(result)
	}
	return o, errors.Join(faults...)
}

// Predicted implements recommend.Observer.
func (o *observer) Predicted(p recommend.Prediction) {
	if p.Err != nil {
		o.failed.WithLabelValues(reason(p.Err)).Inc()
		return
	}
	o.stage.WithLabelValues("store").Observe(p.Stages.Store.Seconds())
	if p.Rung == recommend.RungModel {
		o.stage.WithLabelValues("queue").Observe(p.Stages.Queue.Seconds())
		o.stage.WithLabelValues("rank").Observe(p.Stages.Rank.Seconds())
		o.score.Observe(float64(p.Best))
	}
	if p.Rerank != nil && p.Rerank.Rung != recommend.RerankNone {
		o.stage.WithLabelValues("rerank").Observe(p.Stages.Rerank.Seconds())
	}
}

// Batched implements recommend.Observer.
func (o *observer) Batched(size int, _ time.Duration) { o.batch.Observe(float64(size)) }

// Swapped implements recommend.Observer.
func (o *observer) Swapped(_ string, took time.Duration, err error) {
	if err != nil {
		o.swaps.WithLabelValues("refused").Inc()
		return
	}
	o.swaps.WithLabelValues("served").Inc()
	o.swapped.Observe(took.Seconds())
}

// Shadowed implements recommend.Observer.
func (o *observer) Shadowed(c recommend.Comparison) {
	switch {
	case c.Dropped:
		o.shadow.WithLabelValues("dropped").Inc()
	case c.Err != nil:
		o.shadow.WithLabelValues("failed").Inc()
	default:
		o.shadow.WithLabelValues("compared").Inc()
		o.overlap.Observe(c.Overlap)
		o.rbo.Observe(c.RBO)
		o.shadows.Observe(c.Took.Seconds())
	}
}

// RolledBack implements recommend.Observer.
func (o *observer) RolledBack(_, _ string, err error) {
	if err != nil {
		o.back.WithLabelValues("failed").Inc()
		return
	}
	o.back.WithLabelValues("done").Inc()
}

// reason names an error for a label.
func reason(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{recommend.ErrBusy, "busy"}, {recommend.ErrDeadline, "deadline"}, {recommend.ErrNoModel, "no_model"},
		{recommend.ErrStore, "store"}, {recommend.ErrInvalid, "invalid"}, {recommend.ErrUnknownModel, "unknown_model"},
		{recommend.ErrClosed, "closed"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "other"
}

// stateMetrics shows how search states of users are kept.
func stateMetrics(to prometheus.Registerer, s *recommend.Service) error {
	counter := func(name, help, result string, fn func(recommend.StateStats) int64) prometheus.Collector {
		o := prometheus.CounterOpts{Namespace: "recsvc", Name: name, Help: help}
		if result != "" {
			o.ConstLabels = prometheus.Labels{"result": result}
		}
		return prometheus.NewCounterFunc(o, func() float64 { return float64(fn(s.States())) })
	}
	gauge := func(name, help string, fn func(recommend.StateStats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "recsvc", Name: name, Help: help}, func() float64 { return fn(s.States()) })
	}
	const lookups, lookupsHelp = "rerank_cache_total", "Search states asked for: hit (all of it was kept), extended (its older part), miss."
	return errors.Join(
		to.Register(counter(lookups, lookupsHelp, "hit", func(s recommend.StateStats) int64 { return s.Hits })),
		to.Register(counter(lookups, lookupsHelp, "extended", func(s recommend.StateStats) int64 { return s.Extended })),
		to.Register(counter(lookups, lookupsHelp, "miss", func(s recommend.StateStats) int64 { return s.Built })),
		to.Register(counter("rerank_cache_evictions_total", "Search states that went for want of room.", "", func(s recommend.StateStats) int64 { return s.Evicted })),
		to.Register(gauge("rerank_cache_bytes", "Memory of the search states that are kept.", func(s recommend.StateStats) float64 { return float64(s.Bytes) })),
		to.Register(gauge("rerank_cache_states", "Search states that are kept.", func(s recommend.StateStats) float64 { return float64(s.States) })),
	)
}

// storeMetrics shows what the store tells of itself.
func storeMetrics(to prometheus.Registerer, s *pebblestore.Store) error {
	gauge := func(name, help string, fn func(pebblestore.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "recsvc", Name: name, Help: help}, func() float64 { return fn(s.Stats()) })
	}
	return errors.Join(
		to.Register(gauge("store_disk_bytes", "Size of the store's files.", func(s pebblestore.Stats) float64 { return float64(s.DiskBytes) })),
		to.Register(gauge("store_items", "Items that the store has given a number.", func(s pebblestore.Stats) float64 { return float64(s.ItemNumbers) })),
		to.Register(gauge("store_compaction_debt_bytes", "Bytes that compaction has still to go over.", func(s pebblestore.Stats) float64 { return float64(s.CompactionDebt) })),
	)
}
