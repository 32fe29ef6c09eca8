package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"seqrec/internal/kernel"
)

// benchCmd measures.
type benchCmd struct {
	Quality  benchQualityCmd  `cmd:"" help:"Ranking quality on the public data sets: trains for hours."`
	Lifelong benchLifelongCmd `cmd:"" help:"Second stages over lifelong histories: quality, known truth, speed."`
	Night    benchNightCmd    `cmd:"" help:"Two nights around a day of streamed events, with a real service; bad models at the gate."`
	Speed    benchSpeedCmd    `cmd:"" help:"Kernels, training and prediction: a few minutes."`
}

// benchFlags are those of both benchmarks.
type benchFlags struct {
	Data  string   `help:"Folder that holds ml-1m and amazon-beauty." default:"../shared/data" type:"path"`
	Only  []string `help:"Measure only these rows." placeholder:"ROW"`
	Write string   `help:"Page whose rows are replaced; nothing is written if it does not exist, or with an empty name." default:"docs/benchmarks.md"`
}

// row is one measured figure.
type row struct {
	Row    string         `json:"row"`
	Value  float64        `json:"value"`
	Detail map[string]any `json:"detail"`
	unit   string
	wanted string // what the figure should be
}

// measure is a row that can be measured.
type measure struct {
	row string
	run func(*app) (row, error)
}

// all measures what was asked for, prints each figure as it is known, and keeps
// it on the page. One that fails does not stop the others.
func (f *benchFlags) all(a *app, title string, list []measure) error {
	for _, name := range f.Only {
		if !slices.ContainsFunc(list, func(m measure) bool { return m.row == name }) {
			return fmt.Errorf("%w: no row is called %s", errUsage, name)
		}
	}
	var faults []error
	for _, m := range list {
		if len(f.Only) > 0 && !slices.Contains(f.Only, m.row) {
			continue
		}
		r, err := m.run(a)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.row, err))
			a.say("%s: %v", m.row, err)
			continue
		}
		r.Row = m.row
		faults = append(faults, f.report(a.out, title, r))
	}
	return errors.Join(faults...)
}

// report prints a row for people and for programs, and keeps it.
func (f *benchFlags) report(w io.Writer, title string, r row) error {
	detail, err := json.Marshal(r.Detail)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%-16s %12s %-8s %s\n", r.Row, figure(r.Value), r.unit, r.wanted)
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "BENCH %s\n", line)
	return keep(f.Write, title, r, string(detail))
}

// figure writes a number with the digits that mean something.
func figure(v float64) string {
	switch {
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) < 1:
		return fmt.Sprintf("%.4f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// tableHead begins a section's table. Each row names its own machine and
// command, since rows are measured on different days.
const tableHead = "| row | value | unit | wanted | command | machine | date | detail |\n|---|---|---|---|---|---|---|---|\n"

// keep replaces the line of a row in the section of that title; other lines stay.
// A page that does not exist is not made.
func keep(page, title string, r row, detail string) error {
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
	cells := []string{
		r.Row, figure(r.Value), r.unit, r.wanted, "`trainjob " + title + " --only " + r.Row + "`",
		fmt.Sprintf("%s, %d cores, %s, %s", cpuName(), runtime.NumCPU(), kernel.Features(), runtime.Version()),
		time.Now().UTC().Format(time.DateOnly), "`" + detail + "`",
	}
	line := "| " + strings.Join(cells, " | ") + " |\n"
	if err := os.WriteFile(page, []byte(withRow(string(old), "trainjob "+title, r.Row, line)), 0o644); err != nil {
		return fmt.Errorf("write benchmarks: %w", err)
	}
	return nil
}

// withRow puts a line into the table of a section, in the place of the row's
// old one; a section that is missing is added at the end.
func withRow(page, title, name, line string) string {
	head := "## " + title + "\n"
	from := strings.Index(page, head)
	if from < 0 {
		return strings.TrimRight(page, "\n") + "\n\n" + head + "\n" + tableHead + line
	}
	end := len(page)
	if next := strings.Index(page[from+len(head):], "\n## "); next >= 0 {
		end = from + len(head) + next
	}
	var kept []string
	for old := range strings.Lines(page[from:end]) {
		if !strings.HasPrefix(old, "| "+name+" |") {
			kept = append(kept, old)
		}
	}
	section := strings.TrimRight(strings.Join(kept, ""), "\n") + "\n" + line
	return page[:from] + section + page[end:]
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
