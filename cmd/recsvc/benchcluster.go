package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"time"
)

type benchClusterCmd struct {
	pageFlag
	Seed      uint64 `default:"1" help:"Of the moments of the kills."`
	Events    int    `default:"1000000" help:"Events to send."`
	Users     int    `default:"20000" help:"Users they are of."`
	Rate      int    `default:"20000" help:"Events to send a second."`
	Failovers int    `default:"5" help:"How often to kill -9 a primary, and the ingester after it."`
}

// Run kills primaries while events stream, and prints what that lost.
func (c benchClusterCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench cluster", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

// lossy is what failovers did to the events of one run.
type lossy struct {
	found, healed comparison // before and after the log was replayed
	seconds       float64
}

// rows measures with the default, which waits for no replica, and with every append waiting for one. The figure is that
// of the default; an error says that something promised was not kept: that waiting loses nothing, and that replay heals.
func (c *benchClusterCmd) rows(ctx context.Context, m *Main) ([]row, error) {
	if c.Events < 1000 || c.Users < 1 || c.Rate < 100 || c.Failovers < 0 {
		return nil, errors.New("--events must be at least 1000, --users 1, --rate 100, --failovers 0")
	}
	plain, err := c.measure(ctx, m, 0)
	if err != nil {
		return nil, err
	}
	waited, err := c.measure(ctx, m, 1)
	if err != nil {
		return nil, err
	}
	if n := waited.found.lost; n > 0 {
		err = fmt.Errorf("%d events lost although each append waited for the replica", n)
	}
	for _, l := range []lossy{plain, waited} {
		if h := l.healed; h.lost+l.found.doubled+l.found.misordered+h.doubled+h.misordered > 0 {
			err = errors.Join(err, fmt.Errorf("%d events lost after replay, %d doubled, %d out of order", h.lost, l.found.doubled+h.doubled, l.found.misordered+h.misordered))
		}
	}
	return []row{{Name: "cluster-lost", Value: float64(plain.found.lost), unit: "events", wanted: "0, or no more than the replication lag of docs/format/redis.md; 0 after replay", Detail: map[string]any{
		"events": c.Events, "records": plain.found.records, "users": c.Users, "rate": c.Rate, "seed": c.Seed, "partitions": streamPartitions, "cores": runtime.NumCPU(),
		"primaries": 3, "replicas_each": 1, "failovers": c.Failovers, "ingester_kills": c.Failovers, "churn": churn, "seconds": plain.seconds,
		"wait_replicas": 0, "lost_after_replay": plain.healed.lost, "doubled": plain.found.doubled + plain.healed.doubled, "misordered": plain.found.misordered + plain.healed.misordered,
		"lost_wait_replicas_1": waited.found.lost, "lost_after_replay_wait_replicas_1": waited.healed.lost, "seconds_wait_replicas_1": waited.seconds,
	}}}, err
}

// measure streams all events through failovers, and compares the store with the log before and after a replay.
func (c *benchClusterCmd) measure(ctx context.Context, m *Main, wait int) (l lossy, err error) {
	s, err := newStream(ctx, "cluster", "", []string{fmt.Sprintf("--redis-wait-replicas=%d", wait)})
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	start := time.Now()
	events := streamEvents(c.Events, c.Users, c.Seed)
	if err := s.endure(ctx, m, events, c.Rate, c.breakAll); err != nil {
		return l, err
	}
	l.seconds = time.Since(start).Seconds()
	if l.found, err = s.compare(ctx, m, events); err != nil {
		return l, err
	}
	note(m.Stderr, "waiting for %d replicas lost %d events; replaying the log", wait, l.found.lost)
	if err := s.replay(ctx); err != nil {
		return l, err
	}
	l.healed, err = s.compare(ctx, m, events)
	return l, err
}

// breakAll kills a primary again and again, each time after the ingester has done a part of the work, and the ingester
// when the cluster is whole again.
func (c *benchClusterCmd) breakAll(ctx context.Context, m *Main, s *stream) error {
	rng := rand.New(rand.NewPCG(c.Seed, 6))
	part := c.Events / (c.Failovers + 1)
	for i := range c.Failovers {
		child, err := s.dir.launch(ctx, nil, append([]string{"ingest", churn}, s.flags...)...)
		if err != nil {
			return err
		}
		if err := child.waitFor(ctx, 1+rng.IntN(part)); err != nil {
			return errors.Join(err, child.kill())
		}
		time.Sleep(time.Duration(rng.IntN(20_000)) * time.Microsecond) // not at the beat of our looking
		leaders := s.cluster.Leaders(ctx)
		if len(leaders) == 0 {
			return errors.Join(errors.New("the cluster has no primary"), child.kill())
		}
		err = s.cluster.FailOver(ctx, leaders[rng.IntN(len(leaders))])
		if err := errors.Join(err, child.kill()); err != nil {
			return err
		}
		note(m.Stderr, "failed over %d times", i+1)
	}
	return nil
}

// replay brings back from the log what the store has lost, as an operator would.
func (s *stream) replay(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if out, err := exec.CommandContext(ctx, exe, append([]string{"replay"}, s.flags...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("replay: %w\n%s", err, out)
	}
	return nil
}
