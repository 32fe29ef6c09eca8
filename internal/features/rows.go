package features

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"seqrec/internal/event"
)

// row is one interaction as a reader found it, ids interned.
type row struct {
	user, item int32   // item is -1 where ReadOptions.KeepPlaces keeps no more than the place
	time       float64 // in the unit of the file until settled, then Unix ms
	rating     float32 // NaN when there is none
	line       int32   // for faults found later; saturates
	kind       int16
	dated      bool // time is Unix ms already, being written as a date
}

// rows collects what a reader yields, in file order.
type rows struct {
	opt      *ReadOptions
	users    *Vocab
	items    *Vocab
	kinds    *Vocab
	list     []row
	timed    int  // rows with a time
	rated    bool // some row has a rating
	filtered int  // good rows that the options leave out
	faults   Faults
	wanted   map[string]bool // kinds kept; nil keeps all
	dropped  map[string]bool // item ids left out

	categories *Vocab  // where rows name the category of their item, else nil; code 0 is none
	category   []int32 // code of each item, as far as known
}

func newRows(opt *ReadOptions) *rows {
	r := &rows{opt: opt, users: NewVocab(), items: NewVocab(), kinds: NewVocab()}
	if len(opt.Kinds) > 0 {
		r.wanted = set(opt.Kinds)
	}
	r.dropped = set(opt.DropItems)
	return r
}

func set(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, s := range list {
		m[s] = true
	}
	return m
}

// raw is one interaction as text; the readers fill it in. Empty optional fields
// mean absent.
type raw struct {
	user, item, time, kind, rating string
}

// add takes one row, or counts its fault, or leaves it out by the options.
func (r *rows) add(line int, in raw) {
	t := row{time: math.NaN()}
	if in.time != "" {
		var fault *rowFault
		if t.time, t.dated, fault = parseTime(in.time); fault != nil {
			r.faults.add(line, fault)
			return
		}
	}
	if fault := r.take(line, in, t); fault != nil {
		r.faults.add(line, fault)
	}
}

// addEvent is add for a valid event.
func (r *rows) addEvent(line int, e event.Event) {
	in := raw{user: string(e.User), item: string(e.Item), kind: string(e.Kind)}
	if fault := r.take(line, in, row{time: float64(e.Time), dated: true}); fault != nil {
		r.faults.add(line, fault)
	}
}

// take checks the ids and the rating, applies the options and keeps the row, whose
// time is set already.
func (r *rows) take(line int, in raw, t row) *rowFault {
	if why := event.CheckID(in.user); why != "" {
		return faultf("user", "user id %s", why)
	}
	if why := event.CheckID(in.item); why != "" {
		return faultf("item", "item id %s", why)
	}
	if in.kind != "" {
		if why := event.CheckID(in.kind); why != "" {
			return faultf("kind", "kind %s", why)
		}
	}
	rating, fault := parseRating(in.rating)
	if fault != nil {
		return fault
	}
	if len(r.list) == math.MaxInt32 || r.kinds.Len() == math.MaxInt16 {
		return faultf("long", "no room for more than %d rows of %d kinds", math.MaxInt32, math.MaxInt16)
	}
	keep, fault := r.keeps(in, rating)
	if fault != nil {
		return fault
	}
	if !keep {
		r.filtered++
		return nil
	}
	if !math.IsNaN(t.time) {
		r.timed++
	}
	r.rated = r.rated || !math.IsNaN(rating)
	t.line, t.rating = int32(min(line, math.MaxInt32)), float32(rating)
	t.user, t.item, t.kind = intern(r.users, in.user), -1, int16(intern(r.kinds, in.kind))
	if !r.dropped[in.item] {
		t.item = intern(r.items, in.item)
	}
	r.list = append(r.list, t)
	return nil
}

// parseRating reads a rating; no text is no rating, NaN.
func parseRating(text string) (float64, *rowFault) {
	if text == "" {
		return math.NaN(), nil
	}
	rating, ok := parseFloat(text)
	if !ok || math.Abs(rating) > math.MaxFloat32 {
		return 0, faultf("rating", "rating %.40q is not a number that a rating can be", text)
	}
	return rating, nil
}

// keeps applies the options that look at one row.
func (r *rows) keeps(in raw, rating float64) (bool, *rowFault) {
	if r.wanted != nil && !r.wanted[in.kind] || r.dropped[in.item] && !r.opt.KeepPlaces {
		return false, nil
	}
	if r.opt.MinRating == 0 {
		return true, nil
	}
	if math.IsNaN(rating) {
		return false, faultf("rating", "no rating, where a smallest is asked for")
	}
	return rating >= r.opt.MinRating, nil
}

// intern numbers an id. A new one is copied, since it is cut out of a line that
// need not be kept.
func intern(v *Vocab, id string) int32 {
	if n, ok := v.Number(id); ok {
		return n
	}
	return v.Add(strings.Clone(id))
}

// Errors of Read about a file as a whole.
var (
	ErrNoEvents    = errors.New("no events")
	ErrMostlyFault = errors.New("too many bad rows")
)

// check says whether enough rows were good.
func (r *rows) check() error {
	good := len(r.list) + r.filtered
	total := good + r.faults.Total
	if share := float64(r.faults.Total) / float64(max(total, 1)); share > r.opt.MaxFaultShare {
		return fmt.Errorf("%w: %d of %d rows, first faults:\n%s", ErrMostlyFault, r.faults.Total, total, r.faults)
	}
	if len(r.list) == 0 {
		return fmt.Errorf("%w: %d rows read, %d left out by the options", ErrNoEvents, total, r.filtered)
	}
	return nil
}

// settle brings all times to Unix milliseconds, passing over rows whose time is
// missing or out of range while others have one. See ReadOptions.TimeUnit.
func (r *rows) settle() {
	if r.timed == 0 {
		return
	}
	factor := r.opt.TimeUnit.millis()
	if factor == 0 {
		factor = r.guessUnit().millis()
	}
	kept := r.list[:0]
	for _, t := range r.list {
		if !t.dated {
			t.time *= factor
		}
		t.time = math.Round(t.time)
		switch {
		case math.IsNaN(t.time):
			r.faults.add(int(t.line), faultf("time", "no time, where other rows have one"))
		case t.time < 0 || t.time > float64(event.MaxTime):
			r.faults.add(int(t.line), faultf("time", "time %g ms is outside the years 1970 to 9999", t.time))
		default:
			kept = append(kept, t)
		}
	}
	r.list = kept
}

// guessUnit judges the unit by the median of the times that are plain numbers.
func (r *rows) guessUnit() TimeUnit {
	var times []float64
	for _, t := range r.list {
		if !t.dated && !math.IsNaN(t.time) {
			times = append(times, t.time)
		}
	}
	if len(times) == 0 {
		return Milliseconds
	}
	slices.Sort(times)
	switch median := times[len(times)/2]; {
	case median < 2.6e11:
		return Seconds
	case median < 2.6e14:
		return Milliseconds
	case median < 2.6e17:
		return Microseconds
	default:
		return Nanoseconds
	}
}

// sort groups the rows by user, users in the order they appear, each oldest
// first; equal times and rows without time keep their order.
func (r *rows) sort() {
	at := make([]int, r.users.Len()+1)
	for _, t := range r.list {
		at[t.user+1]++
	}
	for u := range r.users.Len() {
		at[u+1] += at[u]
	}
	start := slices.Clone(at)
	// Large logs come user by user, and a second list of them may be one too many.
	if !slices.IsSortedFunc(r.list, func(a, b row) int { return cmp.Compare(a.user, b.user) }) {
		grouped := make([]row, len(r.list))
		for _, t := range r.list {
			grouped[at[t.user]] = t
			at[t.user]++
		}
		r.list = grouped
	}
	if r.timed == 0 {
		return
	}
	byTime := func(a, b row) int { return cmp.Compare(a.time, b.time) }
	for u := range r.users.Len() {
		if own := r.list[start[u]:start[u+1]]; !slices.IsSortedFunc(own, byTime) {
			slices.SortStableFunc(own, byTime)
		}
	}
}

// dataset numbers the users and items of sorted rows in the order they appear
// and packs them.
func (r *rows) dataset() *Dataset {
	d := &Dataset{Vocab: NewVocab(), Items: make([]int32, len(r.list))}
	if r.timed > 0 {
		d.Times = make([]int64, len(r.list))
	}
	if r.kinds.Len() > 1 || r.kinds.Len() == 1 && r.kinds.ID(0) != "" {
		d.Kinds = make([]string, len(r.list))
	}
	if r.rated {
		d.Ratings = make([]float32, len(r.list))
	}
	number := make([]int32, r.items.Len()) // number in d.Vocab, plus one
	for i, t := range r.list {
		if i == 0 || t.user != r.list[i-1].user {
			d.Users = append(d.Users, r.users.ID(t.user))
			d.Offsets = append(d.Offsets, i)
		}
		d.Items[i] = -1
		if t.item >= 0 {
			if number[t.item] == 0 {
				number[t.item] = d.Vocab.Add(r.items.ID(t.item)) + 1
			}
			d.Items[i] = number[t.item] - 1
		}
		if d.Times != nil {
			d.Times[i] = int64(t.time)
		}
		if d.Kinds != nil {
			d.Kinds[i] = r.kinds.ID(int32(t.kind))
		}
		if d.Ratings != nil {
			d.Ratings[i] = t.rating
		}
	}
	d.Offsets = append(d.Offsets, len(r.list))
	d.Categories = r.categoriesOf(number, d.Vocab.Len())
	return d
}
