package features

import (
	"fmt"
	"slices"
	"strings"
)

// faultLines bounds how many line numbers are kept per kind of fault.
const faultLines = 10

// Faults counts, by kind, the rows of a file that could not be read. The kinds
// are: "columns" (wrong number of fields), "quote" (a quoted field that never
// ends or goes on after its end), "long" (a line over 1 MiB, or no room for more
// rows), "user" and "item" (an id that is empty, over 256 bytes, not UTF-8 or holds
// control characters), "time", "kind", "rating" (a value that cannot be read) and
// "json"; in item files also "title", "categories" and "twice" (the item was there
// before); "categories" in shop logs too.
type Faults struct {
	ByKind []FaultKind `json:"by_kind,omitempty"`
	Total  int         `json:"total"`
}

// FaultKind is one kind of fault and where it was first met.
type FaultKind struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	Lines []int  `json:"lines"` // the first few line (or row) numbers, from 1
	First string `json:"first"` // what was wrong at the first of them
}

// rowFault is what a reader says about one bad row.
type rowFault struct{ kind, detail string }

func faultf(kind, format string, args ...any) *rowFault {
	return &rowFault{kind, fmt.Sprintf(format, args...)}
}

func (f *Faults) add(line int, r *rowFault) {
	f.Total++
	i := slices.IndexFunc(f.ByKind, func(k FaultKind) bool { return k.Kind == r.kind })
	if i < 0 {
		i = len(f.ByKind)
		f.ByKind = append(f.ByKind, FaultKind{Kind: r.kind, First: r.detail})
	}
	k := &f.ByKind[i]
	k.Count++
	// Some faults are found only after the file was read, times for one, so lines need not come in order.
	at, _ := slices.BinarySearch(k.Lines, line)
	if at == 0 {
		k.First = r.detail
	}
	k.Lines = slices.Insert(k.Lines, at, line)
	k.Lines = k.Lines[:min(len(k.Lines), faultLines)]
}

// String lists the faults, one kind a line; it is empty when there are none.
func (f Faults) String() string {
	var b strings.Builder
	for _, k := range f.ByKind {
		lines := strings.Trim(fmt.Sprint(k.Lines), "[]")
		more := ""
		if k.Count > len(k.Lines) {
			more = " ..."
		}
		fmt.Fprintf(&b, "%-8s %7d  lines %s%s (%s)\n", k.Kind, k.Count, strings.ReplaceAll(lines, " ", ", "), more, k.First)
	}
	return b.String()
}
