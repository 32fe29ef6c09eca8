package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/ingest"
	"seqrec/internal/store"
)

type replayCmd struct {
	fileFlag `group:"Settings"`
	Settings Config   `embed:"" group:"Settings"`
	From     string   `default:"" help:"First moment of the window, by the stamps of the records: a time in RFC 3339 or a duration ago; empty for the oldest record."`
	To       string   `default:"" help:"End of the window, itself not in it; empty for all that is there."`
	Erasures []string `placeholder:"LIST" sep:"none" help:"Leave out, beside the users that the store has erased, those that another has: a list as GET /admin/v1/erasures gives it, or a store: ${store}."`
}

// window reads what the flags say.
func (c *replayCmd) window(ctx context.Context, now time.Time) (w ingest.Window, err error) {
	if w.From, err = ingest.ParseMoment(c.From, now); err != nil {
		return w, fmt.Errorf("--from: %w", err)
	}
	if w.To, err = ingest.ParseMoment(c.To, now); err != nil {
		return w, fmt.Errorf("--to: %w", err)
	}
	for _, name := range c.Erasures {
		list, err := readErasures(ctx, name)
		if err != nil {
			return w, fmt.Errorf("--erasures: %w", err)
		}
		w.Erased = append(w.Erased, list)
	}
	return w, nil
}

// readErasures reads a list from a file or a store.
func readErasures(ctx context.Context, name string) (_ *store.ErasureList, err error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("open list of erasures: %w", err)
		}
		list, err := store.ReadErasures(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return list, nil
	}
	s, err := openNamed(ctx, name, false)
	if err != nil {
		return nil, err
	}
	list, err := store.ListErasures(ctx, s)
	return list, errors.Join(err, s.Close())
}

// Run appends a window of the log to the store.
func (c replayCmd) Run(ctx context.Context, m *Main) (err error) {
	cfg := m.conf.Config
	log := newLogger(&cfg.Log, m.Stderr)
	now := time.Now()
	window, err := c.window(ctx, now)
	if err != nil {
		return err
	}
	opts, err := cfg.Kafka.options(log, nil)
	if err != nil {
		return err
	}
	into, err := openStore(ctx, &cfg, prometheus.NewRegistry(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	told := now
	got, err := ingest.Replay(ctx, opts, window, into, func(done, all int64) {
		if t := time.Now(); t.Sub(told) >= time.Second {
			told = t
			note(m.Stderr, "%d of %d records, %.0f a second", done, all, float64(done)/t.Sub(now).Seconds())
		}
	})
	fmt.Fprintf(m.Stdout, "%d records: %d events new, %d held already, %d beyond the cap, %d from before an erasure%s%s\n",
		got.Records, got.Accepted, got.Duplicate, got.Dropped, got.Erased, byReason(", bad:", got.Bad), byReason(", refused by the store:", got.Refused))
	return err
}

type replayDeadLettersCmd struct {
	fileFlag `group:"Settings"`
	Settings Config `embed:"" group:"Settings"`
}

// Run brings back the dead letters that are good by now.
func (replayDeadLettersCmd) Run(ctx context.Context, m *Main) error {
	cfg := m.conf.Config
	opts, err := cfg.Kafka.options(newLogger(&cfg.Log, m.Stderr), nil)
	if err != nil {
		return err
	}
	got, err := ingest.ReplayDeadLetters(ctx, opts)
	fmt.Fprintf(m.Stdout, "%d dead letters: %d went back to %s%s\n", got.Letters, got.Back, cfg.Kafka.Topic, byReason(", still bad:", got.Bad))
	return err
}

// byReason writes counts, "" if there are none.
func byReason(head string, counts map[string]int64) string {
	if len(counts) == 0 {
		return ""
	}
	var parts []string
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf(" %d %s", n, reason))
	}
	slices.Sort(parts)
	return head + strings.Join(parts, ",")
}
