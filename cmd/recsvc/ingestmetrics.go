package main

import (
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/ingest"
)

// ingestObserver counts what happens inside ingest.
type ingestObserver struct {
	records, bytes      prometheus.Counter
	events              *prometheus.CounterVec // result: accepted, duplicate, dropped, erased
	bad                 *prometheus.CounterVec // reason
	batch, seconds, age prometheus.Histogram
	lag                 *prometheus.GaugeVec // partition
	partitions          prometheus.Gauge
	rebalances, commits prometheus.Counter
	troubles            *prometheus.CounterVec // doing

	log    *slog.Logger
	joined atomic.Bool // a member of the group

	mu    sync.Mutex
	owned map[int]bool
	told  map[string]time.Time // when a trouble was last logged
}

// tellEvery is the least time between two log lines about one trouble: what is tried again can fail many times a second.
const tellEvery = 10 * time.Second

var _ ingest.Observer = (*ingestObserver)(nil)

// newIngestObserver registers the metrics of ingest.
func newIngestObserver(to prometheus.Registerer, log *slog.Logger) (*ingestObserver, error) {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "recsvc", Subsystem: "ingest", Name: name, Help: help}
	}
	buckets := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "recsvc", Subsystem: "ingest", Name: name, Help: help, Buckets: buckets})
	}
	o := &ingestObserver{
		records:    prometheus.NewCounter(opts("records_total", "Records read from the topic of events.")),
		bytes:      prometheus.NewCounter(opts("bytes_total", "Bytes of their keys and values.")),
		events:     prometheus.NewCounterVec(opts("events_total", "Events appended to the store, by what became of them."), []string{"result"}),
		bad:        prometheus.NewCounterVec(opts("bad_total", "Records sent to the dead-letter topic, by reason."), []string{"reason"}),
		batch:      buckets("batch_records", "Records of a batch.", 1, 10, 50, 100, 500, 1000, 2000, 5000),
		seconds:    buckets("append_seconds", "Time until a batch is in the store, tries that failed included.", .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30),
		age:        buckets("event_age_seconds", "Age of an event when it reached the store.", .01, .05, .1, .5, 1, 5, 30, 300, 3600, 86400),
		lag:        prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("lag_records", "Records of a partition still to be read; only partitions of this process.")), []string{"partition"}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts(opts("partitions", "Partitions that this process reads."))),
		rebalances: prometheus.NewCounter(opts("rebalances_total", "Times that the group gave partitions out.")),
		commits:    prometheus.NewCounter(opts("commits_total", "Offsets committed, one for each partition.")),
		troubles:   prometheus.NewCounterVec(opts("troubles_total", "Failures that are tried again, by what was being done."), []string{"doing"}),
		log:        log, owned: map[int]bool{}, told: map[string]time.Time{},
	}
	var faults []error
	for _, c := range []prometheus.Collector{
		o.records, o.bytes, o.events, o.bad, o.batch, o.seconds, o.age, o.lag, o.partitions, o.rebalances, o.commits, o.troubles,
	} {
		faults = append(faults, to.Register(c))
	}
	return o, errors.Join(faults...)
}

// Took implements ingest.Observer.
func (o *ingestObserver) Took(b ingest.Batched) {
	o.mu.Lock()
	if o.owned[b.Partition] { // else it was given up while this batch was finished
		o.lag.WithLabelValues(strconv.Itoa(b.Partition)).Set(float64(b.Lag))
	}
	o.mu.Unlock()
	if b.Records == 0 {
		return
	}
	o.records.Add(float64(b.Records))
	o.bytes.Add(float64(b.Bytes))
	for result, n := range map[string]int{
		"accepted": b.Result.Accepted, "duplicate": b.Result.Duplicate, "dropped": b.Result.Dropped, "erased": b.Result.Erased,
	} {
		o.events.WithLabelValues(result).Add(float64(n))
	}
	for _, reason := range b.Bad {
		o.bad.WithLabelValues(reason).Inc()
	}
	o.batch.Observe(float64(b.Records))
	o.seconds.Observe(b.Append.Seconds())
	now := time.Now().UnixMilli()
	for i := range b.Events {
		o.age.Observe(float64(now-b.Events[i].Time) / 1000)
	}
}

// Committed implements ingest.Observer.
func (o *ingestObserver) Committed(partitions int) { o.commits.Add(float64(partitions)) }

// Troubled implements ingest.Observer.
func (o *ingestObserver) Troubled(doing string, err error) {
	o.troubles.WithLabelValues(doing).Inc()
	o.mu.Lock()
	now := time.Now()
	tell := now.Sub(o.told[doing]) >= tellEvery
	if tell {
		o.told[doing] = now
	}
	o.mu.Unlock()
	if tell {
		o.log.Warn("trouble with Kafka or the store; it is tried again", "doing", doing, "error", err)
	}
}

// Assigned implements ingest.Observer.
func (o *ingestObserver) Assigned(partitions []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lag.Reset()
	clear(o.owned)
	for _, id := range partitions {
		o.owned[id] = true
	}
	o.joined.Store(partitions != nil)
	o.partitions.Set(float64(len(partitions)))
	if partitions != nil {
		o.rebalances.Inc()
	}
}
