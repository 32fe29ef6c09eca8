package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"seqrec/internal/kernel"
)

// benchCmd groups the benchmarks. Those of a running service take --url; without
// it they start a service of their own, as another process, on temporary folders
// with an untrained model (speed does not depend on what it has learned).
type benchCmd struct {
	Predict benchPredictCmd `cmd:"" default:"withargs" help:"Latency of one client, then requests a second of many: rest-p50, rest-p99, rest-rps."`
	Events  benchEventsCmd  `cmd:"" help:"Durable events a second in batches: ingest-eps."`
	Swap    benchSwapCmd    `cmd:"" help:"Promote two versions back and forth under load: swap-errors, swap-p99-ratio, swap-rss-growth."`
	Kill    benchKillCmd    `cmd:"" help:"kill -9 a service of our own while it takes events in, then count: kill-lost, kill-doubled."`
	Allocs  benchAllocsCmd  `cmd:"" help:"Heap allocations of one prediction after warm-up: allocs-predict."`
	Redis   benchRedisCmd   `cmd:"" help:"Histories in a Redis of our own: redis-gib, plan-error, redis-predict-p50, redis-predict-p99, redis-away."`

	Stream       benchStreamCmd       `cmd:"" help:"Kafka to the store on one core, and how soon an event counts and an item is hidden: stream-eps, visible-p99-ms, hide-visible-ms."`
	StreamFaults benchStreamFaultsCmd `cmd:"" help:"kill -9 ingester and broker while events stream, then count: faults-lost, faults-doubled, faults-misordered; then what cluster does."`
	Cluster      benchClusterCmd      `cmd:"" help:"kill -9 primaries of a Redis Cluster while events stream, then count, replay the log and count again: cluster-lost."`

	Lifelong benchLifelongCmd `cmd:"" help:"Predictions re-ranked against long histories in the embedded store, one client: rerank-p50, rerank-p99."`

	Speed  benchSpeedCmd  `cmd:"" help:"predict and events on a service of our own."`
	Faults benchFaultsCmd `cmd:"" help:"kill, swap and allocs on services of our own."`
}

// row is one figure of a benchmark.
type row struct {
	Name   string         `json:"row"`
	Value  float64        `json:"value"`
	Detail map[string]any `json:"detail"`
	unit   string
	wanted string // what counts as good; for people
}

// report prints rows as a table and as lines for machines, and keeps them in a
// page if one is named and exists.
func (m *Main) report(title, page string, rows []row) error {
	w := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\nROW\tVALUE\tUNIT\tWANTED\n", title)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, figure(r.Value), r.unit, r.wanted)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(m.Stdout)
	for _, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("write row %s: %w", r.Name, err)
		}
		fmt.Fprintf(m.Stdout, "BENCH %s\n", line)
	}
	return keep(page, title, rows)
}

// figure writes a number with as many digits as mean something.
func figure(v float64) string {
	if v == float64(int64(v)) {
		return fmt.Sprintf("%d", int64(v))
	}
	return fmt.Sprintf("%.3g", v)
}

// keep replaces the section of that title in a page of benchmarks. A page that
// does not exist is not made.
func keep(page, title string, rows []row) error {
	if page == "" {
		return nil
	}
	old, err := os.ReadFile(page)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read benchmarks: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\nCommand `%s`, on an untrained model of %d items, width 64, two blocks, unless --url named a service. %s, %d cores, %s, %s, %s.\n\n| row | value | unit | wanted | detail |\n|---|---|---|---|---|\n",
		title, title, benchItems, cpuName(), runtime.NumCPU(), kernel.Features(), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	for _, r := range rows {
		detail, err := json.Marshal(r.Detail)
		if err != nil {
			return fmt.Errorf("write row %s: %w", r.Name, err)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", r.Name, figure(r.Value), r.unit, r.wanted, detail)
	}
	if err := os.WriteFile(page, []byte(replaceSection(string(old), title, b.String())), 0o644); err != nil {
		return fmt.Errorf("write benchmarks: %w", err)
	}
	return nil
}

// replaceSection puts a section in the place of the one with its title, or at
// the end.
func replaceSection(page, title, section string) string {
	head := "## " + title + "\n"
	from := strings.Index(page, head)
	if from < 0 {
		return strings.TrimRight(page, "\n") + "\n\n" + section
	}
	rest := ""
	if next := strings.Index(page[from+len(head):], "\n## "); next >= 0 {
		rest = page[from+len(head)+next:]
	}
	return page[:from] + section + rest
}

// cpuName reads what Linux calls the processor.
func cpuName() string {
	data, _ := os.ReadFile("/proc/cpuinfo") // absent elsewhere
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// pageFlag names where figures are kept.
type pageFlag struct {
	Write string `default:"docs/benchmarks.md" placeholder:"FILE" help:"Page whose section of this benchmark is replaced; nothing is written if it does not exist, or with \"\"."`
}

type benchSpeedCmd struct {
	pageFlag
	Part time.Duration `name:"seconds" default:"5s" help:"Length of each part."`
}

// Run measures a service of our own.
func (c benchSpeedCmd) Run(ctx context.Context, m *Main) error {
	predict := benchPredictCmd{loadFlags: loadFlags{Time: c.Part, History: 200, Clients: 16}}
	events := benchEventsCmd{Time: c.Part, Batch: 100, Clients: 8}
	return m.all("recsvc bench speed", c.Write, func() ([]row, error) { return predict.rows(ctx, m) },
		func() ([]row, error) { return events.rows(ctx, m) })
}

type benchFaultsCmd struct {
	pageFlag
	Seed   uint64 `default:"1" help:"Of the moments of the kills."`
	Kills  int    `default:"20" help:"How often to kill -9."`
	Events int    `default:"100000" help:"Events to send meanwhile."`
	Swaps  int    `default:"50" help:"How often to swap."`
}

// Run does all that may go wrong, on services of our own.
func (c benchFaultsCmd) Run(ctx context.Context, m *Main) error {
	kill := benchKillCmd{Seed: c.Seed, Kills: c.Kills, Events: c.Events}
	swap := benchSwapCmd{Swaps: c.Swaps, Every: time.Second, History: 200, Clients: 1}
	return m.all("recsvc bench faults", c.Write, func() ([]row, error) { return kill.rows(ctx, m) },
		func() ([]row, error) { return swap.rows(ctx, m) }, func() ([]row, error) { return allocRows() })
}

// all runs benchmarks one after another and reports what they gave, also when
// one failed.
func (m *Main) all(title, page string, parts ...func() ([]row, error)) error {
	var rows []row
	var faults []error
	for _, part := range parts {
		got, err := part()
		rows, faults = append(rows, got...), append(faults, err)
	}
	return errors.Join(append(faults, m.report(title, page, rows))...)
}

// note tells a person at the terminal what goes on.
func note(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}
