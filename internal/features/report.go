package features

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report describes a data set, and how reading it went. Its JSON form is what
// the import command prints and a report file keeps.
type Report struct {
	Source   string  `json:"source,omitempty"` // the file read
	Format   Format  `json:"format,omitempty"`
	Users    int     `json:"users"`
	Items    int     `json:"items"`
	Events   int     `json:"events"`
	Mean     float64 `json:"mean_length"`
	Median   float64 `json:"median_length"`
	Min      int     `json:"min_length"`
	Max      int     `json:"max_length"`
	Repeats  float64 `json:"repeat_share"`     // events whose item is in the user's past already
	Timed    bool    `json:"timed"`            // whether events have times
	From     int64   `json:"from,omitempty"`   // Unix ms of the first event
	To       int64   `json:"to,omitempty"`     // Unix ms of the last event
	Ties     float64 `json:"equal_time_share"` // consecutive events of one user that share a time
	Asked    int     `json:"test_targets"`     // users with 3 or more events
	Cold     int     `json:"cold_targets"`     // last events of those whose item occurs nowhere in training or validation
	Filtered int     `json:"filtered"`         // good rows that the options left out
	Faults   Faults  `json:"faults"`
}

// Describe counts a data set; events of unknown items do not count.
func Describe(d *Dataset) *Report {
	d = d.Known()
	rep := &Report{Users: len(d.Users), Items: d.Vocab.Len(), Events: d.Len(), Timed: d.Times != nil}
	if rep.Users == 0 {
		return rep
	}
	lengths := make([]int, rep.Users)
	known := make([]bool, rep.Items)
	lastSeen := make([]int, rep.Items) // user number plus one
	repeats, pairs, ties := 0, 0, 0
	for u := range d.Users {
		items, times := d.User(u)
		lengths[u] = len(items)
		for i, item := range items {
			if lastSeen[item] == u+1 {
				repeats++
			}
			lastSeen[item] = u + 1
			if i < len(items)-1 || len(items) < 3 {
				known[item] = true
			}
			if i > 0 && times != nil {
				pairs++
				if times[i] == times[i-1] {
					ties++
				}
			}
		}
	}
	rep.Asked, rep.Cold = coldTargets(d, known)
	slices.Sort(lengths)
	n := len(lengths)
	rep.Min, rep.Max = lengths[0], lengths[n-1]
	rep.Mean = float64(rep.Events) / float64(n)
	rep.Median = float64(lengths[(n-1)/2]+lengths[n/2]) / 2
	rep.Repeats = float64(repeats) / float64(max(rep.Events, 1))
	rep.Ties = float64(ties) / float64(max(pairs, 1))
	if len(d.Times) > 0 {
		rep.From, rep.To = slices.Min(d.Times), slices.Max(d.Times)
	}
	return rep
}

// coldTargets counts the leave-one-out test targets, and those of them that are
// not known.
func coldTargets(d *Dataset, known []bool) (asked, cold int) {
	for u := range d.Users {
		items, _ := d.User(u)
		if len(items) < 3 {
			continue
		}
		asked++
		if !known[items[len(items)-1]] {
			cold++
		}
	}
	return asked, cold
}

// String is the report as a table.
func (r *Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-18s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Source != "" {
		line("source", "%s (%s)", r.Source, r.Format)
	}
	line("users", "%d", r.Users)
	line("items", "%d", r.Items)
	line("events", "%d", r.Events)
	line("events per user", "mean %.2f, median %g, min %d, max %d", r.Mean, r.Median, r.Min, r.Max)
	line("repeats", "%.1f %%", 100*r.Repeats)
	if r.Timed {
		day := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }
		line("time", "%s to %s", day(r.From), day(r.To))
		line("equal times", "%.1f %% of neighbours", 100*r.Ties)
	} else {
		line("time", "none: the order of the file stands for it")
	}
	line("cold targets", "%d of %d", r.Cold, r.Asked)
	line("left out", "%d rows by the options", r.Filtered)
	line("bad rows", "%d", r.Faults.Total)
	if s := r.Faults.String(); s != "" {
		b.WriteString("  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ") + "\n")
	}
	return b.String()
}
