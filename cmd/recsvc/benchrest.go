package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

type benchPredictCmd struct {
	pageFlag
	loadFlags
}

// Run measures predictions over REST.
func (c benchPredictCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench predict", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

func (c *benchPredictCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Time < time.Second || c.Time > 10*time.Minute || c.Clients < 1 || c.Clients > 1000 || c.History < 1 || c.History > 5000 {
		return nil, errors.New("--time must be 1s to 10m, --clients 1 to 1000, --history 1 to 5000")
	}
	t, end, err := reach(ctx, c.URL, c.Key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	ids, err := t.catalogue(ctx)
	if err != nil {
		return nil, err
	}
	requests := t.predictions(ids, c.History, 1)
	during := func(clients int, d time.Duration) load {
		part, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return t.drive(part, clients, cycle(requests))
	}
	during(c.Clients, c.Time/5) // warm-up
	note(m.Stderr, "one client, %v, history of %d", c.Time, c.History)
	one := during(1, c.Time)
	note(m.Stderr, "%d clients, %v", c.Clients, c.Time)
	many := during(c.Clients, c.Time)
	detail := func(l *load, clients int) map[string]any {
		return map[string]any{
			"clients": clients, "requests": len(l.times), "failed": l.failed(), "failures": l.failures, "history": c.History,
			"p50_ms": l.quantile(.5), "p90_ms": l.quantile(.9), "p99_ms": l.quantile(.99), "per_second": l.perSecond(), "cores": runtime.NumCPU(),
		}
	}
	rows = []row{
		{Name: "rest-p50", Value: one.quantile(.5), unit: "ms", wanted: "below 1.5", Detail: detail(&one, 1)},
		{Name: "rest-p90", Value: one.quantile(.9), unit: "ms", Detail: detail(&one, 1)},
		{Name: "rest-p99", Value: one.quantile(.99), unit: "ms", wanted: "below 5", Detail: detail(&one, 1)},
		{Name: "rest-rps", Value: many.perSecond(), unit: "1/s", wanted: "at least 1500", Detail: detail(&many, c.Clients)},
	}
	if n := one.failed() + many.failed(); n > 0 {
		err = fmt.Errorf("%d requests failed: %v %v", n, one.failures, many.failures)
	}
	return rows, err
}

// reach gives a running service, or one of our own.
func reach(ctx context.Context, url, key string) (t target, end func() error, err error) {
	if url != "" {
		t, err = newTarget(url, key)
		return t, func() error { return nil }, err
	}
	dir, _, err := newChildDir(1)
	if err != nil {
		return t, nil, err
	}
	c, err := dir.start(ctx)
	if err != nil {
		return t, nil, err // the folder stays: its log says why
	}
	return c.target(), func() error { return errors.Join(c.stop(), os.RemoveAll(string(dir))) }, nil
}

type benchEventsCmd struct {
	pageFlag
	URL     string        `placeholder:"URL" help:"Address of a running service; it will hold the events sent. Without it a service of our own is started."`
	Key     string        `placeholder:"KEY" help:"API key."`
	Time    time.Duration `default:"5s" help:"How long; 1 to 600 seconds."`
	Batch   int           `default:"100" help:"Events of each request."`
	Clients int           `default:"8" help:"Clients."`
}

// Run measures durable appends over REST.
func (c benchEventsCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench events", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

func (c *benchEventsCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Time < time.Second || c.Time > 10*time.Minute || c.Clients < 1 || c.Clients > 1000 || c.Batch < 1 || c.Batch > 1000 {
		return nil, errors.New("--time must be 1s to 10m, --clients 1 to 1000, --batch 1 to 1000")
	}
	t, end, err := reach(ctx, c.URL, c.Key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	note(m.Stderr, "%d clients, batches of %d events, %v", c.Clients, c.Batch, c.Time)
	part, cancel := context.WithTimeout(ctx, c.Time)
	defer cancel()
	var serial atomic.Int64
	run := time.Now().UnixMilli() // events of two runs must differ
	l := t.drive(part, c.Clients, func(client, _ int) []byte {
		return t.request("/v1/events", "application/json", eventBatch(c.Batch, serial.Add(1), run))
	})
	rate := l.perSecond() * float64(c.Batch)
	rows = []row{{Name: "ingest-eps", Value: rate, unit: "events/s", wanted: "at least 20000", Detail: map[string]any{
		"batch": c.Batch, "clients": c.Clients, "requests": len(l.times), "failed": l.failed(), "failures": l.failures,
		"p50_ms": l.quantile(.5), "p99_ms": l.quantile(.99), "cores": runtime.NumCPU(), "durable": true,
	}}}
	if l.failed() > 0 {
		err = fmt.Errorf("%d requests failed: %v", l.failed(), l.failures)
	}
	return rows, err
}

// eventBatch makes events that nobody has sent yet: users come at random, as
// they do, and each batch has a time of its own.
func eventBatch(n int, serial, run int64) []byte {
	rng := rand.New(rand.NewPCG(uint64(serial), uint64(run)))
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"user":"user-%d","item":"item-%d","time":%d}`, rng.IntN(10000), rng.IntN(benchItems), run-1e9+serial*100+int64(i)%100)
	}
	b.WriteByte(']')
	return []byte(b.String())
}
