package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"seqrec/internal/ingest"
)

type ingestCmd struct {
	fileFlag `group:"Settings"`
	Settings Config        `embed:"" group:"Settings"`
	Churn    time.Duration `hidden:"" help:"A second consumer joins and leaves about so often; for benchmarks of faults."`
}

// Run reads events into the store until ctx ends, then finishes the batches under way. It listens on the address of the
// probes only.
func (c ingestCmd) Run(ctx context.Context, m *Main) (err error) {
	cfg := m.conf.Config
	log := newLogger(&cfg.Log, m.Stderr)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen.Probes)
	if err != nil {
		return fmt.Errorf("listen.probes: %w", err)
	}
	metrics := prometheus.NewRegistry()
	watch, err := newIngestObserver(metrics, log)
	if err != nil {
		return errors.Join(fmt.Errorf("register metrics: %w", err), ln.Close())
	}
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	opts, err := cfg.Kafka.options(log, watch)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	to, err := openStore(ctx, &cfg, metrics, log)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	counted, err := newCounted(to, metrics)
	if err != nil {
		return errors.Join(fmt.Errorf("register metrics: %w", err), ln.Close())
	}
	consumer, err := ingest.NewConsumer(opts, counted)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	probes := cfg.http().HTTPServer(ingestProbes(ctx, metrics, &watch.joined), log)
	failed := make(chan error, 1)
	go func() { failed <- probes.Serve(ln) }()
	log.Info("listening", "probes", ln.Addr().String())
	if m.OnServing != nil {
		m.OnServing(addresses{Probes: ln.Addr().String()})
	}
	var guests sync.WaitGroup
	if c.Churn > 0 {
		guests.Go(func() { comeAndGo(ctx, opts, counted, c.Churn) })
	}
	err = consumer.Run(ctx)
	guests.Wait()
	log.Info("closed")
	err = errors.Join(err, probes.Close())
	if serve := <-failed; !errors.Is(serve, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("listen.probes: %w", serve))
	}
	return err
}

// comeAndGo runs consumers beside the one that stays, each for a while, so that the group is hardly ever at rest.
func comeAndGo(ctx context.Context, opts ingest.Options, to ingest.Appender, every time.Duration) {
	for ctx.Err() == nil {
		guest, err := ingest.NewConsumer(opts, to)
		if err != nil {
			return
		}
		visit, cancel := context.WithTimeout(ctx, every)
		guest.Run(visit) //nolint:errcheck // the one that stays has the same errors
		<-visit.Done()
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(every / 2):
		}
	}
}

// ingestProbes answers /livez, /readyz and /metrics. It is ready while it is a member of its group, with partitions or
// in reserve.
func ingestProbes(ctx context.Context, metrics *prometheus.Registry, joined *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, code int, status string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, "{\"status\":%q}\n", status)
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil || !joined.Load() {
			say(w, http.StatusServiceUnavailable, "unavailable")
			return
		}
		say(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

type createTopicsCmd struct {
	fileFlag   `group:"Settings"`
	Settings   Config `embed:"" group:"Settings"`
	Partitions int    `default:"8" help:"Of the topic of events and of that of dead letters. As many consumers can share the work."`
	Replicas   int    `default:"1" help:"Copies of each partition; 3 where there are as many brokers."`
}

// Run makes the topics that are missing.
func (c createTopicsCmd) Run(ctx context.Context, m *Main) error {
	cfg := m.conf.Config
	opts, err := cfg.Kafka.options(newLogger(&cfg.Log, m.Stderr), nil)
	if err != nil {
		return err
	}
	if c.Partitions < 1 || c.Replicas < 1 {
		return errors.New("create-topics: --partitions and --replicas must be above zero")
	}
	if err := ingest.CreateTopics(ctx, opts, c.Partitions, c.Replicas); err != nil {
		return fmt.Errorf("at %s: %w", strings.Join(cfg.Kafka.Brokers, ","), err)
	}
	fmt.Fprintf(m.Stdout, "topics %s, %s and %s are there\n", cfg.Kafka.Topic, cfg.Kafka.DeadLetterTopic, cfg.Kafka.ItemsTopic)
	return nil
}
