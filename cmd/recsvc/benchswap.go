package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

type benchSwapCmd struct {
	pageFlag
	URL     string        `placeholder:"URL" help:"Data plane of a running service with two versions; needs --admin and --probes. Without it a service of our own is started."`
	Admin   string        `placeholder:"URL" help:"Its admin plane."`
	Probes  string        `placeholder:"URL" help:"Its probes."`
	Key     string        `placeholder:"KEY" help:"API key with scope admin."`
	Swaps   int           `default:"50" help:"How often to swap."`
	Every   time.Duration `default:"1s" help:"Pause between swaps."`
	History int           `default:"200" help:"Events of the history in each request."`
	Clients int           `default:"1" help:"Clients that ask without pause. More than one leaves two cores no room for the loading."`
}

// Run swaps under load.
func (c benchSwapCmd) Run(ctx context.Context, m *Main) error {
	return m.all("recsvc bench swap", c.Write, func() ([]row, error) { return c.rows(ctx, m) })
}

// swapTarget is a service whose versions can be swapped.
type swapTarget struct {
	target
	admin, probes string
}

func (c *benchSwapCmd) rows(ctx context.Context, m *Main) (rows []row, err error) {
	if c.Swaps < 1 || c.Swaps > 1000 || c.Clients < 1 || c.Clients > 1000 {
		return nil, errors.New("--swaps must be 1 to 1000, --clients 1 to 1000")
	}
	t, end, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	ids, err := t.catalogue(ctx)
	if err != nil {
		return nil, err
	}
	two, err := t.versions(ctx)
	if err != nil {
		return nil, err
	}
	next := cycle(t.predictions(ids, c.History, 2))
	// Some swaps first, so that both sides are compared warm.
	if _, err := t.swapping(ctx, 4, 0, two); err != nil {
		return nil, err
	}
	rssBefore, err := t.settledRSS(ctx)
	if err != nil {
		return nil, err
	}
	note(m.Stderr, "%d swaps, one each %v, under %d clients; as long without, in turns", c.Swaps, c.Every, c.Clients)
	during, quiet, err := c.turns(ctx, t, two, next)
	if err != nil {
		return nil, err
	}
	rssAfter, err := t.settledRSS(ctx)
	if err != nil {
		return nil, err
	}
	detail := map[string]any{
		"swaps": c.Swaps, "requests": len(during.times), "failures": during.failures, "clients": c.Clients, "seconds": during.seconds, "cores": runtime.NumCPU(),
		"p99_ms_swapping": during.quantile(.99), "p99_ms_quiet": quiet.quantile(.99), "p50_ms_swapping": during.quantile(.5), "p50_ms_quiet": quiet.quantile(.5),
		"rss_before": rssBefore, "rss_after": rssAfter,
	}
	return []row{
		{Name: "swap-errors", Value: float64(during.failed()), unit: "requests", wanted: "0", Detail: detail},
		{Name: "swap-p99-ratio", Value: during.quantile(.99) / math.Max(quiet.quantile(.99), 1e-9), unit: fmt.Sprintf("ratio, one swap each %v", c.Every), wanted: "at most 1.2", Detail: detail},
		{Name: "swap-rss-growth", Value: rssAfter - rssBefore, unit: "bytes", wanted: "flat", Detail: detail},
	}, nil
}

// reach gives a running service, or one of our own with two versions.
func (c *benchSwapCmd) reach(ctx context.Context) (t swapTarget, end func() error, err error) {
	if c.URL != "" {
		t.target, err = newTarget(c.URL, c.Key)
		t.admin, t.probes = strings.TrimRight(c.Admin, "/"), strings.TrimRight(c.Probes, "/")
		if err == nil && (t.admin == "" || t.probes == "") {
			err = errors.New("--url needs --admin and --probes")
		}
		return t, func() error { return nil }, err
	}
	dir, _, err := newChildDir(2)
	if err != nil {
		return t, nil, err
	}
	own, err := dir.start(ctx)
	if err != nil {
		return t, nil, err
	}
	t = swapTarget{own.target(), "http://" + own.addr.Admin, "http://" + own.addr.Probes}
	return t, func() error { return errors.Join(own.stop(), os.RemoveAll(string(dir))) }, nil
}

// versions names the one that serves, last, and another.
func (t swapTarget) versions(ctx context.Context) ([2]string, error) {
	var list struct {
		Models []struct{ Version, State string }
	}
	var two [2]string
	if err := get(ctx, t.base+"/v1/models", t.key, &list); err != nil {
		return two, fmt.Errorf("list versions: %w", err)
	}
	for _, m := range list.Models {
		switch m.State {
		case "serving":
			two[1] = m.Version
		case "available":
			two[0] = m.Version
		}
	}
	if two[0] == "" || two[1] == "" {
		return two, errors.New("swapping needs one version that serves and another that could")
	}
	return two, nil
}

// swapping promotes the two in turn and returns how long that took.
func (t swapTarget) swapping(ctx context.Context, n int, every time.Duration, two [2]string) (time.Duration, error) {
	start := time.Now()
	ticker := time.NewTicker(max(every, time.Millisecond))
	defer ticker.Stop()
	for i := range n {
		if err := call(ctx, http.MethodPost, t.admin+"/admin/v1/models/"+two[i%2]+":promote", t.key, nil, nil); err != nil {
			return 0, fmt.Errorf("promote: %w", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return time.Since(start), nil
}

// turnSwaps is how many swaps are made before the service is left alone for as
// long: what else the machine does then falls on both sides alike.
const turnSwaps = 5

// turns loads the service, in turns with and without swaps.
func (c *benchSwapCmd) turns(ctx context.Context, t swapTarget, two [2]string, next func(c, i int) []byte) (during, quiet load, err error) {
	during, quiet = load{failures: map[string]int{}}, load{failures: map[string]int{}}
	for left := c.Swaps; left > 0; left -= turnSwaps {
		loading, stop := context.WithCancel(ctx)
		seen := make(chan load, 1)
		go func() { seen <- t.drive(loading, c.Clients, next) }()
		took, err := t.swapping(ctx, min(left, turnSwaps), c.Every, two)
		stop()
		during.add(<-seen)
		if err != nil {
			return during, quiet, err
		}
		if turnSwaps%2 == 1 {
			two[0], two[1] = two[1], two[0]
		}
		alone, stop := context.WithTimeout(ctx, took)
		quiet.add(t.drive(alone, c.Clients, next))
		stop()
	}
	return during, quiet, nil
}

// settledRSS is the smallest of some readings of the service's resident memory, a
// moment apart, in bytes: garbage that waits for collection is not growth.
func (t swapTarget) settledRSS(ctx context.Context) (float64, error) {
	low := math.Inf(1)
	for range 5 {
		v, err := t.metric(ctx, "process_resident_memory_bytes")
		if err != nil {
			return 0, err
		}
		low = min(low, v)
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return low, nil
}

// metric reads one figure without labels.
func (t swapTarget) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.probes+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("read metrics: there is no %s", name)
}
