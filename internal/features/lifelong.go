package features

import (
	"fmt"
)

// Slate is one question to a target-aware model: an item that a user
// did take and items that they did not, all asked at one moment. The history is
// the events of User before index End, End counted within the user, those of
// unknown items too; how many of the newest of them a model looks at is its own affair. The item at End may be
// in that history already, where users repeat themselves; the event is not.
type Slate struct {
	User       int32
	End        int32
	Candidates []int32 // the item of event End, then the negatives
}

// SlateOptions configures CutSlates. The zero value is the protocol of DARE
// (arXiv 2410.02604): zero values take the defaults named.
//
// Whatever counts or is counted in events, does so in those of known items: an
// event of an unknown one (see Dataset) has a place in histories, and no more.
type SlateOptions struct {
	MinEvents  int     // users with fewer events are left out; 0 is 210
	Negatives  int     // negatives a slate; 0 is 2
	First      int     // the newest training positive stands so many events from the end; 0 is 3
	Step       int     // events from one training positive to the next older one; 0 is 5
	Count      int     // training positives a user, at most; 0 is 19
	MinHistory int     // events before a positive, at least; 0 is 1
	Popularity float64 // power of the count in drawing negatives; 0 is 1, negative draws all items alike
	Seed       uint64  // names the negatives
}

// WithDefaults fills in what is zero.
func (o SlateOptions) WithDefaults() SlateOptions {
	for _, f := range [...]struct {
		at    *int
		value int
	}{{&o.MinEvents, 210}, {&o.Negatives, 2}, {&o.First, 3}, {&o.Step, 5}, {&o.Count, 19}, {&o.MinHistory, 1}} {
		if *f.at == 0 {
			*f.at = f.value
		}
	}
	if o.Popularity == 0 {
		o.Popularity = 1
	}
	o.Popularity = max(o.Popularity, -1)
	return o
}

// Validate reports settings that make no sense, after WithDefaults.
func (o SlateOptions) Validate() error {
	switch {
	case o.MinEvents < 1 || o.Count < 1 || o.Step < 1 || o.MinHistory < 0 || o.Negatives < 0:
		return fmt.Errorf("slates of %d negatives, %d positives every %d events, %d events before each, users from %d events: a number is too small",
			o.Negatives, o.Count, o.Step, o.MinHistory, o.MinEvents)
	case o.First < 3:
		return fmt.Errorf("first training positive %d from the end: the last event is for the test, the one before it for validation", o.First)
	case !(o.Popularity <= 4): // a NaN too
		return fmt.Errorf("popularity power %g is above 4", o.Popularity)
	}
	return nil
}

// SlateSplit holds the slates of a data set: each user's last event for the
// test, the one before it for validation, and every Step-th of those before,
// from the First-to-last on, for training. No training positive is younger than
// a validation or test positive of the same user.
type SlateSplit struct {
	Train, Valid, Test []Slate

	Short int // users left out for having fewer than MinEvents events
	Full  int // users left out for having taken every item there is
}

// CutSlates cuts the slates of every user, users in order and for each the
// newest training positive first. A negative is drawn in proportion to
// (1 + count)^Popularity among the items that its user never takes, the future
// included, each draw on its own, so that one may come twice. Counted are the
// events of all users but the test and validation positives; the one added
// keeps items possible that occur nowhere else, else to be rare would give a
// positive away. A draw that has hit the user's items tries times is made among
// the others without regard to counts.
//
// The same data, options and seed give the same slates. It fails on options that
// make no sense, and with ErrNoEvents when no user is left.
func CutSlates(d *Dataset, o SlateOptions) (*SlateSplit, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("cut slates: %w", err)
	}
	if d.Len() == 0 {
		return nil, fmt.Errorf("cut slates: %w", ErrNoEvents)
	}
	counts := slateCounts(d, o)
	popular, err := NewPopularityNegatives(counts, max(o.Popularity, 0), o.Seed)
	if err != nil {
		return nil, fmt.Errorf("cut slates: %w", err)
	}
	out := &SlateSplit{}
	c := slateCutter{opt: o, popular: popular, taken: make([]int32, d.Vocab.Len())}
	for u := range d.Users {
		items, _ := d.User(u)
		switch unseen := c.begin(u, items); {
		case len(c.known) < o.MinEvents:
			out.Short++
		case !unseen:
			out.Full++
		default:
			out.Test = c.cut(out.Test, 1)
			out.Valid = c.cut(out.Valid, 2)
			for k := range o.Count {
				out.Train = c.cut(out.Train, o.First+k*o.Step)
			}
		}
	}
	if len(out.Train)+len(out.Valid)+len(out.Test) == 0 {
		return nil, fmt.Errorf("cut slates: %w: of %d users %d have under %d events and %d took every item", ErrNoEvents, len(d.Users), out.Short, o.MinEvents, out.Full)
	}
	return out, nil
}

// slateCounts counts each item's events without the last two of every user who
// has slates.
func slateCounts(d *Dataset, o SlateOptions) []int64 {
	counts := make([]int64, d.Vocab.Len())
	for u := range d.Users {
		items, _ := d.User(u)
		known := knownOf(nil, items)
		if n := len(known); n >= o.MinEvents {
			known = known[:max(n-2, 0)]
		}
		for _, i := range known {
			counts[items[i]]++
		}
	}
	return counts
}

// slateCutter cuts the slates of one user after another.
type slateCutter struct {
	opt     SlateOptions
	popular *Negatives
	taken   []int32 // by item: number, plus one, of the last user who took it
	user    int32
	items   []int32 // of user
	known   []int32 // indices of those events of user whose items are known
	unseen  int     // items that user never takes
	rng     stream
	block   []int32 // room for candidates, cut off as they are needed
}

// begin turns to a user and reports whether there is an item that they never take.
func (c *slateCutter) begin(user int, items []int32) bool {
	c.user, c.items, c.unseen = int32(user), items, len(c.taken)
	c.known = knownOf(c.known[:0], items)
	c.rng = stream{seed: c.opt.Seed, key: uint64(user)<<8 | 'l'}
	for _, i := range c.known {
		if item := items[i]; c.taken[item] != c.user+1 {
			c.taken[item] = c.user + 1
			c.unseen--
		}
	}
	return c.unseen > 0
}

// knownOf appends the indices of the events of known items.
func knownOf(dst, items []int32) []int32 {
	for i, item := range items {
		if item >= 0 {
			dst = append(dst, int32(i))
		}
	}
	return dst
}

// cut appends the slate of the back-th event from the end, where there are
// enough events before it.
func (c *slateCutter) cut(dst []Slate, back int) []Slate {
	before := len(c.known) - back
	if before < c.opt.MinHistory {
		return dst
	}
	at := c.known[before]
	n := 1 + c.opt.Negatives
	if len(c.block) < n {
		c.block = make([]int32, max(n, 1<<14))
	}
	row := c.block[:n:n]
	c.block = c.block[n:]
	row[0] = c.items[at]
	for i := range row[1:] {
		row[1+i] = c.negative()
	}
	return append(dst, Slate{User: c.user, End: at, Candidates: row})
}

// tries is how many draws may hit the user's own items. At one in twenty items
// free, by weight, this many hit one time in 10^11.
const tries = 500

func (c *slateCutter) negative() int32 {
	for range tries {
		if item := c.popular.draw(&c.rng); c.taken[item] != c.user+1 {
			return item
		}
	}
	skip := c.rng.intn(c.unseen)
	for item, by := range c.taken {
		if by == c.user+1 {
			continue
		}
		if skip == 0 {
			return int32(item)
		}
		skip--
	}
	panic(fmt.Sprintf("features: slates: user %d has %d unseen items, which are not there", c.user, c.unseen))
}

// draw is Fill for one item, its bits taken from a stream.
func (n *Negatives) draw(rng *stream) int32 {
	item := rng.intn(n.items)
	if rng.float64() >= n.stay[item] {
		return n.other[item]
	}
	return int32(item)
}
