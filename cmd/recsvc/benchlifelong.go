package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/store/pebblestore"
)

// The second stage of the benchmarks, of the width that the issue of DARE is
// measured at.
const (
	benchCandidates = 300
	benchCategories = 20
	benchSelect     = 100
)

// benchSecond is an untrained DARE of width 16.
func benchSecond(seed uint64) (*lifelong.Model, error) {
	categories := make([]int32, benchItems)
	for i := range categories {
		categories[i] = int32(i % benchCategories)
	}
	return lifelong.New(lifelong.Config{
		Model: "dare", Items: benchItems, Categories: benchCategories, Width: 16, Length: 10_000, Positions: 256, Select: benchSelect,
	}, categories, seed)
}

type benchLifelongCmd struct {
	pageFlag
	Time    time.Duration `default:"10s" help:"Length of each part; 1 to 600 seconds."`
	History int           `default:"10000" help:"Events of each user's stored history."`
	Users   int           `default:"16" help:"Users asked about in turn."`
}

// Run measures predictions with a second stage over REST.
func (c benchLifelongCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench lifelong", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

func (c *benchLifelongCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Time < time.Second || c.Time > 10*time.Minute || c.History < 1 || c.History > 100_000 || c.Users < 1 || c.Users > 1000 {
		return nil, errors.New("--time must be 1s to 10m, --history 1 to 100000, --users 1 to 1000")
	}
	dir, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(string(dir))) }()
	note(m.Stderr, "one client, %d users with %d events each, search states kept", c.Users, c.History)
	kept, how, err := c.part(ctx, dir)
	if err != nil {
		return nil, err
	}
	note(m.Stderr, "the same without keeping search states")
	cold, _, err := c.part(ctx, dir, "--model-rerank-cache-bytes=1")
	if err != nil {
		return nil, err
	}
	detail := map[string]any{
		"clients": 1, "history": c.History, "users": c.Users, "candidates": benchCandidates, "model": "dare, width 16, untrained", "select": benchSelect,
		"requests": len(kept.times), "failed": kept.failed() + cold.failed(), "failures": kept.failures, "server_timing": how, "cores": runtime.NumCPU(),
		"uncached_p50_ms": cold.quantile(.5), "uncached_p99_ms": cold.quantile(.99),
	}
	rows = []row{
		{Name: "rerank-p50", Value: kept.quantile(.5), unit: "ms", wanted: "below 12", Detail: detail},
		{Name: "rerank-p99", Value: kept.quantile(.99), unit: "ms", wanted: "below 30", Detail: detail},
	}
	if n := kept.failed() + cold.failed(); n > 0 {
		err = fmt.Errorf("%d requests failed: %v %v", n, kept.failures, cold.failures)
	}
	return rows, err
}

// prepare makes a folder with a version of two stages and a store of long
// histories.
func (c *benchLifelongCmd) prepare(ctx context.Context) (d childDir, err error) {
	dir, err := os.MkdirTemp("", "recsvc-bench-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	d = childDir(dir)
	reg, err := registry.Open(d.registry())
	if err != nil {
		return d, fmt.Errorf("open registry: %w", err)
	}
	second, err := benchSecond(1)
	if err != nil {
		return d, fmt.Errorf("make second stage: %w", err)
	}
	version, err := publishStages(reg, 1, second)
	if err != nil {
		return d, err
	}
	if err := reg.Promote(version); err != nil {
		return d, fmt.Errorf("promote %s: %w", version, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var events []event.Event
	for u := range c.Users {
		events = append(events, longHistory(rng, benchUser(u), c.History)...)
	}
	return d, storeEvents(ctx, filepath.Join(dir, "store"), events)
}

// longHistory makes n events, a minute apart, the last of them a moment ago.
func longHistory(rng *rand.Rand, user event.UserID, n int) []event.Event {
	events := make([]event.Event, n)
	from := time.Now().UnixMilli() - int64(n)*60_000
	for i := range events {
		events[i] = event.Event{User: user, Item: event.ItemID(fmt.Sprintf("item-%d", rng.IntN(benchItems))), Time: from + int64(i)*60_000}
	}
	return events
}

// storeEvents writes events to an embedded store that nobody has open.
func storeEvents(ctx context.Context, dir string, events []event.Event) error {
	s, err := pebblestore.Open(dir, pebblestore.Options{Cap: 1 << 21})
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	const batch = 50_000
	for lo := 0; lo < len(events) && err == nil; lo += batch {
		_, err = s.Append(ctx, events[lo:min(lo+batch, len(events))])
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("write histories: %w", err)
	}
	return nil
}

// part asks a service about all users in turn. It fails if one answer was not
// re-ranked against the whole history, and also gives the times of one more request
// by stage, as the service tells them.
func (c *benchLifelongCmd) part(ctx context.Context, dir childDir, more ...string) (l load, how string, err error) {
	s, err := dir.start(ctx, more...)
	if err != nil {
		return l, "", err // the folder stays: its log says why
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	t := s.target()
	requests := make([][]byte, c.Users)
	for u := range requests {
		body := fmt.Appendf(nil, `{"user":%q,"k":10}`, benchUser(u))
		requests[u] = t.request("/v1/predict", "application/json", body)
		if _, err = t.reranked(ctx, body, c.History); err != nil {
			return l, "", err
		}
	}
	during := func(d time.Duration) load {
		part, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return t.drive(part, 1, func(_, i int) []byte { return requests[i%len(requests)] })
	}
	during(c.Time / 5) // warm-up
	l = during(c.Time)
	how, err = t.reranked(ctx, fmt.Appendf(nil, `{"user":%q,"k":10}`, benchUser(0)), c.History)
	return l, how, err
}

// reranked asks once and checks that the second stage saw the whole history: of one
// that is full, up to 2 % may be left out.
func (t target) reranked(ctx context.Context, body []byte, history int) (timing string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+"/v1/predict", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	var a struct {
		Rerank struct {
			Rung   string
			Events int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK || a.Rerank.Events > history || a.Rerank.Events < history-history/50 {
		return "", fmt.Errorf("an answer with status %d rests on %d events (%q), want %d", resp.StatusCode, a.Rerank.Events, a.Rerank.Rung, history)
	}
	return resp.Header.Get("Server-Timing"), nil
}
