package features

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// WorldOptions sizes a synthetic world. Zero values take the defaults named.
// The shares of Follow, Return, Prefer and the rest (1 minus their sum, drawn by
// general popularity) say what moves a user who does not repeat.
type WorldOptions struct {
	Users     int     // 0 is 2,000
	Items     int     // 0 is 500
	Themes    int     // 0 is one for 25 items, at most as many as there are names
	MinLength int     // shortest history; 0 is 5
	MaxLength int     // longest history; 0 is 60; at most half of Items
	Follow    float64 // share of steps to a successor of the last item; 0 is 0.40
	Return    float64 // share of steps to a successor of the item before it; 0 is 0.15
	Prefer    float64 // share of steps inside the user's own theme; 0 is 0.35
	Repeat    float64 // share of steps back to an item of the past; 0 is 0.05, negative none
	From      int64   // Unix ms at which the world begins; 0 is 2024-01-01
}

// Validate fills in defaults and reports settings that make no sense.
func (o *WorldOptions) Validate() error {
	setInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	setShare := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
		*p = max(*p, 0)
	}
	setInt(&o.Users, 2000)
	setInt(&o.Items, 500)
	setInt(&o.Themes, min(max(o.Items/25, 1), len(themes())))
	setInt(&o.MinLength, 5)
	setInt(&o.MaxLength, max(o.MinLength, min(60, o.Items/2)))
	setShare(&o.Follow, 0.40)
	setShare(&o.Return, 0.15)
	setShare(&o.Prefer, 0.35)
	setShare(&o.Repeat, 0.05)
	if o.From == 0 {
		o.From = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	}
	switch {
	case o.Users < 1 || o.Items < 2*worldNext || o.Themes < 1 || o.From < 0:
		return fmt.Errorf("a world needs a user, a theme and %d items", 2*worldNext)
	case o.Themes > len(themes()) || o.Themes > o.Items/2:
		return fmt.Errorf("%d themes are more than %d names or half of %d items", o.Themes, len(themes()), o.Items)
	case o.MinLength < 1 || o.MaxLength < o.MinLength || o.MaxLength > o.Items/2:
		return fmt.Errorf("history lengths %d to %d do not fit %d items (at most half of them)", o.MinLength, o.MaxLength, o.Items)
	case o.Follow+o.Return+o.Prefer >= 1:
		return errors.New("the shares of follow, return and prefer leave nothing for the rest")
	case o.Repeat >= 1:
		return errors.New("the share of repeats leaves nothing for new items")
	}
	return nil
}

// worldNext is how many successors an item has.
const worldNext = 4

// World makes a data set by rules that are known, so that the best possible
// answer to any history is known too. It panics when opt is not valid; the same
// seed and options give the same world.
//
// Every item belongs to a theme and has four successors, three in its theme and
// one elsewhere, followed with probabilities 0.5, 0.25, 0.15 and 0.1. Every
// user has one theme of their own, which shows only in where they go: the next
// item is, with probability Repeat, an earlier one, newer ones more likely
// (weight 0.8 a step back); else an item not yet seen, drawn in proportion to
//
//	Follow · next(last) + Return · next(last but one) + Prefer · in own theme + rest · popular
//
// where popularity, in a theme and over all, falls as 1/rank. (A first event has
// no last item and a second no last but one: what is there is scaled up.) So the
// last item alone gives part of the answer, the one before it another, and the
// user's theme, which takes a long history to make out, the third.
//
// Users come and go in sittings: minutes between events, days between sittings.
func World(seed uint64, opt WorldOptions) (*Dataset, *Truth) {
	if err := opt.Validate(); err != nil {
		panic("features: world: " + err.Error())
	}
	t := newTruth(seed, opt)
	d := &Dataset{Vocab: NewVocab(), Offsets: make([]int, 1, opt.Users+1), Times: []int64{}}
	for _, item := range t.Items {
		d.Vocab.Add(item.ID)
	}
	w := newWalk(t)
	for u := range opt.Users {
		rng := &stream{seed: seed, key: uint64(u)<<8 | 'u'}
		theme := rng.intn(opt.Themes)
		n := opt.MinLength + rng.intn(opt.MaxLength-opt.MinLength+1)
		at := opt.From + int64(rng.float64()*float64(300*24*time.Hour/time.Millisecond))
		w.reset()
		for range n {
			item := w.draw(rng, theme)
			w.step(item)
			d.Items = append(d.Items, item)
			d.Times = append(d.Times, at)
			at += pause(rng)
		}
		d.Users = append(d.Users, fmt.Sprintf("user-%04d", u+1))
		d.Offsets = append(d.Offsets, len(d.Items))
		t.Themes = append(t.Themes, theme)
	}
	return d, t
}

// pause draws the milliseconds to a user's next event: four times in five about
// eight minutes, else about three days.
func pause(rng *stream) int64 {
	mean := 8 * time.Minute
	if rng.float64() < 0.2 {
		mean = 72 * time.Hour
	}
	return 1 + int64(-math.Log(rng.float64())*float64(mean/time.Millisecond))
}

// draw picks the next item of a user whose theme is known.
func (w *walk) draw(rng *stream, theme int) int32 {
	if len(w.history) > 0 && rng.float64() < w.t.opt.Repeat {
		return w.drawRepeat(rng)
	}
	for { // Rejection draws from the distribution over unseen items exactly.
		item := w.propose(rng, theme)
		if w.seen[item] == 0 {
			return item
		}
	}
}

func (w *walk) drawRepeat(rng *stream) int32 {
	n := len(w.history)
	total := (1 - math.Pow(repeatDecay, float64(n))) / (1 - repeatDecay)
	x := rng.float64() * total
	weight := 1.0
	for back := 1; back < n; back++ {
		if x < weight {
			return w.history[n-back]
		}
		x -= weight
		weight *= repeatDecay
	}
	return w.history[0]
}

// propose draws from the mixture without regard to what was seen.
func (w *walk) propose(rng *stream, theme int) int32 {
	t, n := w.t, len(w.history)
	follow, back, prefer, _ := t.shares(n)
	x := rng.float64()
	switch {
	case x < follow:
		return t.successor(w.history[n-1], rng.float64())
	case x < follow+back:
		return t.successor(w.history[n-2], rng.float64())
	case x < follow+back+prefer:
		return t.members[theme][pick(t.inTheme[theme], rng.float64())]
	default:
		return t.ranked[pick(t.overall, rng.float64())]
	}
}
