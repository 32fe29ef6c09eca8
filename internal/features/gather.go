package features

import (
	"fmt"
	"io"
	"math"
	"time"

	"seqrec/internal/event"
)

// Gatherer makes one data set of many sources: files of any known form, and
// events that come one by one. The same event (user, item, kind, time) is kept
// once, however many sources hold it, so sources may overlap. It belongs to one
// goroutine.
type Gatherer struct {
	rows  *rows
	files Format // of the files so far; "mixed" when they differ
}

// NewGatherer begins a data set. Of the options, those that look at one row
// (Format, Columns, TimeUnit, MinRating, Kinds, DropItems) and MaxFaultShare count.
func NewGatherer(opt ReadOptions) (*Gatherer, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	opt.KeepPlaces = false
	return &Gatherer{rows: newRows(&opt)}, nil
}

// File adds the events of one file, which must have times; its unit of time is
// judged by itself. Parquet needs in to be an io.ReaderAt and io.Seeker too. On
// error some of its events may have been added.
func (g *Gatherer) File(in io.Reader) error {
	r := g.rows
	before, timed := r.list, r.timed
	r.list, r.timed = nil, 0
	format, err := r.read(in)
	if err != nil {
		return err
	}
	if len(r.list) > 0 && r.timed == 0 {
		return fmt.Errorf("%w: no row has a time", ErrNoEvents)
	}
	r.settle()
	for i := range r.list {
		r.list[i].dated = true
	}
	r.list, r.timed = append(before, r.list...), timed+r.timed
	if g.files != "" && g.files != format {
		format = "mixed"
	}
	g.files = format
	return nil
}

// Event adds one event, or counts its fault as that of a row.
func (g *Gatherer) Event(e event.Event) {
	r := g.rows
	line := min(len(r.list)+r.faults.Total+r.filtered+1, math.MaxInt32)
	if faults := e.Canonical().Validate(time.Time{}); len(faults) > 0 {
		r.faults.add(line, jsonFault(faults[0]))
		return
	}
	r.addEvent(line, e)
}

// Gathered says what Dataset left out.
type Gathered struct {
	Report      *Report
	Doubled     int // events that more than one row told of
	Erased      int // events of users who were erased after them
	ErasedUsers int // users of those events
}

// Dataset ends the gathering. erased says of a user whether events up to which
// moment (Unix ms) must be forgotten; nil forgets nothing. Errors are those of
// Read.
func (g *Gatherer) Dataset(erased func(user string) (until int64, ok bool)) (*Dataset, *Gathered, error) {
	r := g.rows
	out := &Gathered{}
	if erased != nil {
		r.forget(erased, out)
	}
	if out.Erased == 0 || len(r.list) > 0 {
		if err := r.check(); err != nil {
			return nil, &Gathered{Report: &Report{Format: g.files, Faults: r.faults, Filtered: r.filtered}}, err
		}
	}
	if len(r.list) == 0 {
		return nil, out, fmt.Errorf("%w: all are of erased users", ErrNoEvents)
	}
	r.sort()
	out.Doubled = r.unique()
	d := r.dataset()
	out.Report = Describe(d)
	out.Report.Format, out.Report.Faults, out.Report.Filtered = g.files, r.faults, r.filtered
	return d, out, nil
}

// forget leaves out the rows of erased users that are not younger than the
// erasure.
func (r *rows) forget(erased func(string) (int64, bool), out *Gathered) {
	limit := make([]float64, r.users.Len())
	for u := range limit {
		limit[u] = math.Inf(-1)
		if until, ok := erased(r.users.ID(int32(u))); ok {
			limit[u] = float64(until)
		}
	}
	hit := make([]bool, len(limit))
	kept := r.list[:0]
	for _, t := range r.list {
		if t.time > limit[t.user] {
			kept = append(kept, t)
			continue
		}
		out.Erased++
		hit[t.user] = true
	}
	for _, h := range hit {
		if h {
			out.ErasedUsers++
		}
	}
	r.list = kept
}

// unique drops all but the first of the rows that tell of one event, and returns
// how many those are. The rows are sorted.
func (r *rows) unique() int {
	type what struct {
		item int32
		kind int16
	}
	plain, spelled := r.kind(""), r.kind(string(event.DefaultKind))
	seen := map[what]bool{}
	kept := r.list[:0]
	before := len(r.list)
	last := row{user: -1}
	for _, t := range r.list {
		if t.user != last.user || t.time != last.time {
			clear(seen)
			last = t
		}
		w := what{t.item, t.kind}
		if w.kind == plain {
			w.kind = spelled
		}
		if !seen[w] {
			seen[w] = true
			kept = append(kept, t)
		}
	}
	r.list = kept
	return before - len(kept)
}

// kind is the number of a kind, or one that no kind has.
func (r *rows) kind(name string) int16 {
	if n, ok := r.kinds.Number(name); ok {
		return int16(n)
	}
	return -1
}
