package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/event"
	"seqrec/internal/ingest"
	"seqrec/internal/store"
)

type benchStreamFaultsCmd struct {
	pageFlag
	Seed     uint64   `default:"1" help:"Of the moments of the kills."`
	Events   int      `default:"1000000" help:"Events to send."`
	Users    int      `default:"20000" help:"Users they are of."`
	Rate     int      `default:"20000" help:"Events to send a second."`
	Kills    int      `default:"30" help:"How often to kill -9 the ingester."`
	Restarts int      `default:"5" help:"How often to kill -9 the broker, and how often Redis, and start it again; and a primary of the cluster."`
	In       string   `enum:"redis,pebble" default:"redis" help:"Store of the histories: a Redis of our own, with its append-only file synced at every write, or a folder."`
	Setting  []string `placeholder:"FLAG" help:"More flags for the ingester, such as --setting=--store=ADDRESS."`
}

// Run breaks everything between Kafka and the store, and compares the two; then the same with a Redis Cluster.
func (c benchStreamFaultsCmd) Run(ctx context.Context, m *Main) error {
	cluster := benchClusterCmd{Seed: c.Seed, Events: c.Events, Users: c.Users, Rate: c.Rate, Failovers: c.Restarts}
	return m.all("recsvc bench stream-faults", c.Write, func() ([]row, error) { return c.rows(ctx, m) },
		func() ([]row, error) { return cluster.rows(ctx, m) })
}

// churn is how often a second consumer joins and leaves the group while the ingester lives.
const churn = "--churn=2s"

func (c *benchStreamFaultsCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Events < 1000 || c.Users < 1 || c.Rate < 100 || c.Kills < 0 || c.Restarts < 0 || c.Restarts > c.Kills {
		return nil, errors.New("--events must be at least 1000, --users 1, --rate 100, --restarts at most --kills")
	}
	s, err := newStream(ctx, c.In, "always", c.Setting)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	start := time.Now()
	events := streamEvents(c.Events, c.Users, c.Seed)
	if err := s.endure(ctx, m, events, c.Rate, c.breakAll); err != nil {
		return nil, err
	}
	found, err := s.compare(ctx, m, events)
	if err != nil {
		return nil, err
	}
	detail := map[string]any{
		"events": c.Events, "records": found.records, "users": c.Users, "kills": c.Kills, "broker_restarts": c.Restarts, "store": c.In, "churn": churn,
		"rate": c.Rate, "partitions": streamPartitions, "seed": c.Seed, "seconds": time.Since(start).Seconds(), "cores": runtime.NumCPU(), "settings": c.Setting,
	}
	zero := func(name string, n int) row {
		return row{Name: name, Value: float64(n), unit: "events", wanted: "0", Detail: detail}
	}
	if found.lost+found.doubled+found.misordered > 0 {
		err = fmt.Errorf("%d events lost, %d doubled or never sent, %d out of order", found.lost, found.doubled, found.misordered)
	}
	return []row{zero("faults-lost", found.lost), zero("faults-doubled", found.doubled), zero("faults-misordered", found.misordered)}, err
}

// endure sends events at a rate while breakAll breaks things, and waits until all are in the store.
func (s *stream) endure(ctx context.Context, m *Main, events []event.Event, rate int, breakAll func(context.Context, *Main, *stream) error) error {
	start := time.Now()
	var sending sync.WaitGroup
	var sent error
	sending.Go(func() { sent = s.send(ctx, events, rate) })
	breaking := breakAll(ctx, m, s)
	sending.Wait()
	if err := errors.Join(breaking, sent); err != nil {
		return err
	}
	note(m.Stderr, "all is sent and broken after %.0f s; waiting for the rest", time.Since(start).Seconds())
	return s.finish(ctx)
}

// send produces events at a rate, each batch again until the broker has it.
func (s *stream) send(ctx context.Context, events []event.Event, rate int) error {
	p, err := ingest.NewProducer(s.opts)
	if err != nil {
		return err
	}
	size := rate / 20
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	for some := range slices.Chunk(events, size) {
		for {
			if err := p.Produce(ctx, some); err == nil {
				break
			}
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), p.Close())
			}
		}
		<-tick.C
	}
	return p.Close()
}

// breakAll kills the ingester again and again, each time after it has done a part of the work, and now and then the
// broker too.
func (c *benchStreamFaultsCmd) breakAll(ctx context.Context, m *Main, s *stream) error {
	rng := rand.New(rand.NewPCG(c.Seed, 5))
	part := c.Events / (c.Kills + 1)
	restarts := 0
	for i := range c.Kills {
		child, err := s.dir.launch(ctx, nil, append([]string{"ingest", churn}, s.flags...)...)
		if err != nil {
			return err
		}
		if err := child.waitFor(ctx, 1+rng.IntN(part)); err != nil {
			return errors.Join(err, child.kill())
		}
		time.Sleep(time.Duration(rng.IntN(20_000)) * time.Microsecond) // not at the beat of our looking
		if s.redis != nil && due(i+2, c.Restarts, c.Kills) {           // the ingester lives and has to wait for it
			if err := s.restartRedis(ctx); err != nil {
				return errors.Join(err, child.kill())
			}
			note(m.Stderr, "restarted Redis")
		}
		again := due(i, c.Restarts, c.Kills)
		if again && rng.IntN(2) == 0 { // the broker goes while the ingester lives, or when both are gone
			err = s.restart(ctx)
			again = false
			restarts++
		}
		if err = errors.Join(err, child.kill()); err == nil && again {
			err = s.restart(ctx)
			restarts++
		}
		if err != nil {
			return err
		}
		note(m.Stderr, "killed the ingester %d times, restarted the broker %d times", i+1, restarts)
	}
	return nil
}

// due spreads n restarts over kills.
func due(kill, n, kills int) bool {
	kill %= kills
	return (kill+1)*n/kills > kill*n/kills
}

// restartRedis kills Redis and starts it on its append-only file.
func (s *stream) restartRedis(ctx context.Context) error {
	return errors.Join(s.redis.Kill(), s.redis.Start(ctx))
}

// restart kills the broker and starts it on its data.
func (s *stream) restart(ctx context.Context) error {
	return errors.Join(s.broker.Kill(), s.broker.Brokers[0].Start(ctx))
}

// lifeTimeout bounds the wait for one life of an ingester to get on: what there is may be done with.
const lifeTimeout = 20 * time.Second

// waitFor blocks until a child has appended so many records, or has nothing more to append.
func (c *child) waitFor(ctx context.Context, records int) error {
	late := time.Now().Add(lifeTimeout)
	for time.Now().Before(late) {
		all, err := c.metrics(ctx)
		if err != nil || all["recsvc_ingest_records_total"] >= float64(records) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// finish lets a last ingester, alone in its group, read all that is left.
func (s *stream) finish(ctx context.Context) error {
	child, err := s.dir.launch(ctx, nil, append([]string{"ingest"}, s.flags...)...)
	if err != nil {
		return err
	}
	for {
		all, err := child.metrics(ctx)
		if err != nil {
			return errors.Join(err, child.kill())
		}
		if all["count:recsvc_ingest_lag_records"] == streamPartitions && all["recsvc_ingest_lag_records"] == 0 {
			return child.stop()
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// comparison is how a store differs from a log.
type comparison struct{ records, lost, doubled, misordered int }

// compare holds every history against the log, and the log against what was sent.
func (s *stream) compare(ctx context.Context, m *Main, events []event.Event) (found comparison, err error) {
	inLog := logged{left: map[event.Event]bool{}}
	if _, err := ingest.Replay(ctx, s.opts, ingest.Window{}, &inLog, nil); err != nil {
		return found, err
	}
	found.records = inLog.records
	for _, e := range events {
		if !inLog.left[e] { // acknowledged by the broker and not there
			found.lost++
		}
	}
	child := &Main{Stdout: m.Stdout, Stderr: m.Stderr}
	if err := child.ParseFlags(append([]string{"ingest"}, s.flags...)); err != nil {
		return found, err
	}
	held, err := openStore(ctx, &child.conf.Config, prometheus.NewRegistry(), newLogger(&child.conf.Log, m.Stderr))
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	err = held.Users(ctx, func(user event.UserID) error {
		history, err := held.Recent(ctx, user, len(events))
		for i, e := range history {
			if !inLog.left[e.Canonical()] { // never sent, or met before
				found.doubled++
			}
			delete(inLog.left, e.Canonical())
			if i > 0 && event.Compare(history[i-1], e) >= 0 {
				found.misordered++
			}
		}
		return err
	})
	found.lost += len(inLog.left)
	return found, err
}

// logged collects the events of a log.
type logged struct {
	mu      sync.Mutex
	records int
	left    map[event.Event]bool
}

// AppendSent implements ingest.Appender.
func (l *logged) AppendSent(_ context.Context, events []event.Event, _ []int64) (store.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records += len(events)
	for _, e := range events {
		l.left[e.Canonical()] = true
	}
	return store.Result{}, nil
}
