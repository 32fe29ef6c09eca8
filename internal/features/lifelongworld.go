package features

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// LifelongOptions sizes a LifelongWorld. Zero values take the defaults named.
// The catalogue is a function of the seed and of Items, Interests, Categories
// and Fillers alone: worlds of other lengths and other users share it, so that what
// was learned on short histories can be asked about long ones.
type LifelongOptions struct {
	Users       int     // 0 is 1,000
	First       int     // number of the first user, from 0: users of other numbers have nothing to do with each other
	History     int     // events of each user before the oldest one asked about; 0 is 1,000; at least 200
	Items       int     // items that belong to an interest; 0 is 4,000
	Interests   int     // 0 is one for 20 items
	Categories  int     // 0 is one for 20 interests, at least 2; at most half as many as interests
	Fillers     int     // items that belong to no interest, the most popular of all; 0 is 5 a category
	Near        int     // interests a user has followed lately; 0 is by History: 2 at 200 events, 4 from 1,200 on
	Far         int     // interests a user has long left; 0 is by History: 2 at 200 events, 8 from 1,200 on
	MinRelevant int     // events that a user's history has of such an interest, at least; 0 is 20
	MaxRelevant int     // and at most; 0 is 80. Both give way where a short history has no room
	Familiar    int     // items of an interest that those events are of; 0 is two fifths of an interest
	Gap         int     // events between the last of a far interest and the oldest event asked about; 0 is half of History; at least that, or 1,000
	LongRange   float64 // share of the events asked about that are of a far interest; 0 is 0.5, negative none
	Noise       float64 // share of the events asked about that no history explains, and events like them in the history for each that explains one; 0 is 0.1, negative none
	Bare        bool    // without times and kinds: 4 bytes an event, not 28
	From        int64   // Unix ms at which the world begins; 0 is 2022-01-01; it lasts two years
}

// Validate fills in defaults and reports settings that make no sense.
func (o *LifelongOptions) Validate() error {
	if o.History < 0 || o.Items < 0 || o.Interests < 0 || o.Categories < 0 {
		return errors.New("a lifelong world of a negative size")
	}
	o.setDefaults()
	size := o.Items / o.Interests // of the smallest interest
	fresh := int(math.Ceil(lifelongAsked / float64(o.fewest())))
	held := o.Near + o.Far
	switch {
	case o.Users < 1 || o.First < 0 || o.History < 200 || o.Near < 1 || o.Far < 1 || o.From < 0:
		return fmt.Errorf("%d users from number %d on, of %d events with %d near and %d far interests: want a user, 200 events and an interest of each sort", o.Users, o.First, o.History, o.Near, o.Far)
	case o.Categories < 2 || o.Interests < 2*o.Categories || o.Interests < 3*held:
		return fmt.Errorf("%d interests in %d categories: want 2 categories, 2 interests in each and 3 times as many interests as the %d a user holds", o.Interests, o.Categories, held)
	case o.Fillers < o.Categories || o.Fillers > o.History/4:
		return fmt.Errorf("%d fillers: want one for each of %d categories and at most a quarter of %d events", o.Fillers, o.Categories, o.History)
	case o.MinRelevant < 1 || o.MaxRelevant < o.MinRelevant:
		return fmt.Errorf("%d to %d relevant events are no range", o.MinRelevant, o.MaxRelevant)
	case o.Familiar < 1 || size < o.Familiar+fresh:
		return fmt.Errorf("interests of %d items: want %d that the history shows and %d more to ask about", size, o.Familiar, fresh)
	case o.Gap < o.near():
		return fmt.Errorf("a gap of %d events: far interests would reach into the %d that near ones lie in", o.Gap, o.near())
	case o.room(o.near()) < o.Near*o.MinRelevant || o.room(o.History-o.Gap) < o.Far*o.MinRelevant:
		return fmt.Errorf("no room in %d events for %d near and, before a gap of %d, %d far interests of %d events each",
			o.History, o.Near, o.Gap, o.Far, o.MinRelevant)
	case !(o.LongRange < 1 && o.Noise < 1): // a NaN too
		return fmt.Errorf("shares of long-range targets %g and of noise %g: want them below 1", o.LongRange, o.Noise)
	}
	return nil
}

func (o *LifelongOptions) setDefaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	share := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
		*p = max(*p, 0)
	}
	set(&o.Users, 1000)
	set(&o.History, 1000)
	set(&o.Items, 4000)
	set(&o.Interests, max(o.Items/20, 1))
	set(&o.Categories, max(o.Interests/20, 2))
	set(&o.Fillers, 5*o.Categories)
	held := min(max(o.History/100, 4), 12)
	set(&o.Near, max(held/3, 2))
	set(&o.Far, held-max(held/3, 2))
	set(&o.MinRelevant, 20)
	set(&o.MaxRelevant, max(80, o.MinRelevant))
	set(&o.Familiar, max(o.Items/o.Interests*2/5, 1))
	set(&o.Gap, o.History/2)
	share(&o.LongRange, 0.5)
	share(&o.Noise, 0.1)
	if o.From == 0 {
		o.From = time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	}
}

// room is how many of span events interests may have: a fifth stays free, so that
// a free place is soon found, and what the fillers need to come once each.
func (o *LifelongOptions) room(span int) int {
	return int(float64(span) * (0.8 - float64(o.Fillers)/float64(o.History)))
}

// fewest is the smaller number of interests that events asked about are dealt to.
func (o *LifelongOptions) fewest() int {
	if o.LongRange == 0 {
		return o.Near
	}
	return min(o.Near, o.Far)
}

// near is how many events before the oldest asked about the near interests lie in.
func (o *LifelongOptions) near() int { return min(o.History/2, 1000) }

// The places CutSlates asks about by default: the last event, the one before it
// and 19 more, every fifth from the third to last on.
const (
	lifelongAsked = 21
	lifelongSpan  = 93 // events from the oldest of them to the last
)

// lifelongPlace gives the k-th place asked about, counted from the end.
func lifelongPlace(k int) int {
	if k < 2 {
		return 1 + k
	}
	return 3 + 5*(k-2)
}

// LifelongWorld makes long histories in which it is known which past event
// matters for which item. It panics when opt is not valid; the same seed and
// options give the same world.
//
// Items belong to interests and interests, twenty of them, to a category. A user
// holds a few interests in fewer categories: near ones, with MinRelevant to
// MaxRelevant events among the last thousand (or the newer half) before those
// asked about, and far ones, with as many that are all older than Gap. The events asked about, where
// CutSlates puts its positives by default, are of a far interest (LongRange of
// them), of none (Noise), or of a near one, and always an item that is new to
// the user: to remember items is no answer, to know which share an interest is.
//
// All other events are distractors. Fillers, a few items that everybody takes,
// come in bursts of a category, half of the bursts in three categories that the
// user likes to look at without any interest there; so at every moment the most
// recent events are of one category, and the most frequent category of a history
// means little. Single events of interests that the user does not hold are the
// noise of the history. The longer the history, the larger the share of fillers:
// the number of relevant events stays.
//
// Every user takes every filler, so that none is ever a negative, and among the
// items of interests what is asked about is as popular as what is drawn by
// popularity; so to know how popular an item is helps no model. Kinds are view,
// cart and buy, fillers nearly always viewed; times rise, in sittings.
func LifelongWorld(seed uint64, opt LifelongOptions) (*Dataset, *LifelongTruth) {
	if err := opt.Validate(); err != nil {
		panic("features: lifelong world: " + err.Error())
	}
	t := newLifelongTruth(seed, opt)
	events := opt.History + lifelongSpan
	d := &Dataset{Vocab: NewVocab(), Offsets: make([]int, 1, opt.Users+1), Items: make([]int32, 0, opt.Users*events)}
	for i := range t.Items {
		d.Vocab.Add(t.Items[i].ID)
	}
	if !opt.Bare {
		d.Times, d.Kinds = make([]int64, 0, cap(d.Items)), make([]string, 0, cap(d.Items))
	}
	w := &lifelongWalk{t: t, opt: opt, plan: make([]int32, events)}
	for u := range opt.Users {
		w.rng = stream{seed: seed, key: uint64(opt.First+u)<<8 | 'h'}
		w.live(u)
		d.Items = append(d.Items, w.plan...)
		if !opt.Bare {
			w.date(d)
		}
		d.Users = append(d.Users, fmt.Sprintf("user-%05d", opt.First+u+1))
		d.Offsets = append(d.Offsets, len(d.Items))
	}
	return d, t
}

// lifelongWalk makes one user after another.
type lifelongWalk struct {
	t      *LifelongTruth
	opt    LifelongOptions
	rng    stream
	user   int
	plan   []int32 // item of each event, -1 where there is none yet
	chance []int32 // items asked about for no reason
}

// live plans the events of one user: those asked about, those that explain them,
// noise, and fillers wherever a place is left.
func (w *lifelongWalk) live(user int) {
	w.user, w.chance = user, w.chance[:0]
	for i := range w.plan {
		w.plan[i] = -1
	}
	near, far := w.t.hold(&w.rng, w.opt)
	asked := w.ask(near, far)
	span := w.opt.near()
	explained := w.explain(near, asked, w.opt.History-span, w.opt.History) + w.explain(far, asked, 0, w.opt.History-w.opt.Gap)
	w.meetFillers()
	for range int(w.opt.Noise * float64(explained)) {
		if at, ok := w.free(0, w.opt.History); ok {
			w.plan[at] = w.t.stray(&w.rng, user, w.chance)
		}
	}
	w.fill()
}

// meetFillers puts each filler at one place. It comes before whatever there may
// be no room for.
func (w *lifelongWalk) meetFillers() {
	for _, own := range w.t.fillers {
		for _, item := range own {
			if at, ok := w.free(0, len(w.plan)); ok {
				w.plan[at] = item
			}
		}
	}
}

// ask decides which interest each place asked about is of and returns the places
// of each; their items come later. Places of no interest get theirs now.
func (w *lifelongWalk) ask(near, far []int32) map[int32][]int {
	places := make(map[int32][]int, len(near)+len(far))
	n, f := w.rng.intn(len(near)), w.rng.intn(len(far))
	for k := range lifelongAsked {
		at := len(w.plan) - lifelongPlace(k)
		x := w.rng.float64()
		switch {
		case x < w.opt.Noise:
			w.plan[at] = w.t.stray(&w.rng, w.user, w.chance)
			w.chance = append(w.chance, w.plan[at])
		case w.rng.float64() < w.opt.LongRange:
			g := far[f%len(far)]
			places[g] = append(places[g], at)
			w.plan[at] = 0 // taken
			f++
		default:
			g := near[n%len(near)]
			places[g] = append(places[g], at)
			w.plan[at] = 0
			n++
		}
	}
	return places
}

// explain gives each of a user's interests its events between two places and its
// items at the places asked about. It returns how many events those are.
func (w *lifelongWalk) explain(interests []int32, asked map[int32][]int, from, to int) (events int) {
	extra, sum := make([]int, len(interests)), 0
	for i := range extra {
		extra[i] = w.rng.intn(w.opt.MaxRelevant - w.opt.MinRelevant + 1)
		sum += extra[i]
	}
	left := w.opt.room(to-from) - len(interests)*w.opt.MinRelevant
	shrink := min(1, float64(left)/float64(max(sum, 1)))
	for i, g := range interests {
		// One draw for both, cut at random: what is asked about and what the history
		// shows are then equally popular.
		own := w.t.assortment(&w.rng, g, w.opt.Familiar+len(asked[g]))
		for k, at := range asked[g] {
			w.plan[at] = own[k]
		}
		shown := own[len(asked[g]):]
		for range w.opt.MinRelevant + int(shrink*float64(extra[i])) {
			if at, ok := w.free(from, to); ok {
				w.plan[at] = shown[w.rng.intn(len(shown))]
				events++
			}
		}
	}
	return events
}

// free finds a place without an event. ok is false when many tries found none.
func (w *lifelongWalk) free(from, to int) (at int, ok bool) {
	for range 200 {
		if at = from + w.rng.intn(to-from); w.plan[at] < 0 {
			return at, true
		}
	}
	return 0, false
}

// fill puts fillers in bursts of one category wherever a place is left.
func (w *lifelongWalk) fill() {
	var liked [3]int
	for i := range liked {
		liked[i] = w.rng.intn(w.opt.Categories)
	}
	category, left := 0, 0
	for at, item := range w.plan {
		if item >= 0 {
			continue
		}
		if left == 0 {
			left = 1 + w.rng.intn(2*lifelongBurst-1)
			category = w.rng.intn(w.opt.Categories)
			if w.rng.float64() < 0.5 {
				category = liked[w.rng.intn(len(liked))]
			}
		}
		left--
		own := w.t.fillers[category]
		w.plan[at] = own[w.rng.intn(len(own))]
	}
}

// lifelongBurst is the mean number of fillers of one category in a row.
const lifelongBurst = 30

// date appends times and kinds of a user's events.
func (w *lifelongWalk) date(d *Dataset) {
	years := 2 * 365 * 24 * time.Hour
	mean := float64(years/time.Millisecond) / float64(len(w.plan))
	at := w.opt.From
	for _, item := range w.plan {
		// Four pauses in five are short; the mean over both sorts is mean.
		long := 0.25
		if w.rng.float64() < 0.2 {
			long = 4
		}
		at += 1 + int64(-math.Log(w.rng.float64())*long*mean)
		d.Times = append(d.Times, at)
		d.Kinds = append(d.Kinds, w.t.kind(item, w.rng.float64()))
	}
}
