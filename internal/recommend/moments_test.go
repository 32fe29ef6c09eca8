package recommend

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"seqrec/internal/kernel"
)

// TestExplainWithinDeadline: an item is explained only if that fits before the
// request is due, the first like the others; what is not explained is answered.
func TestExplainWithinDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		ready, item time.Duration
		step        time.Duration // that passes at each look at the clock
		want        int           // of 10 items
	}{
		"all fit":                {0, time.Minute, 0, 10},
		"not one fits":           {0, 2 * time.Hour, 0, 0},
		"getting ready does not": {2 * time.Hour, 0, 0, 0},
		"some fit":               {0, time.Minute, 10 * time.Minute, 2}, // of seven looks that there is time for, five come before the first item is done
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startBusy(t, Config{}, c.step)
			sec := s.current.Load().second
			sec.cost.event, sec.cost.shared, sec.cost.candidate, sec.cost.pair = 0, 0, 0, 0
			sec.cost.explain.ready, sec.cost.explain.item = line{fixed: float64(c.ready)}, line{fixed: float64(c.item)}
			sec.cost.explain.set(1)
			ctx, cancel := context.WithDeadline(t.Context(), clock.Now().Add(time.Hour+5*time.Minute))
			defer cancel()
			a, err := s.Predict(ctx, Request{User: "ann", Explain: true})
			if err != nil || a.Rerank.Rung != RerankWhole || a.Degraded != nil {
				t.Fatalf("%+v, %v", a, err)
			}
			got := 0
			for i, item := range a.Items {
				if item.Moments != nil {
					if got++; i >= c.want {
						t.Errorf("item %d is explained", i)
					}
				}
			}
			if got != c.want {
				t.Errorf("%d of %d items are explained, want %d", got, len(a.Items), c.want)
			}
		})
	}
}

// TestExplainRefusedEases: explaining that was refused for what it once took is
// tried again some day.
func TestExplainRefusedEases(t *testing.T) {
	s, clock := startBusy(t, Config{}, 0)
	c := &s.current.Load().second.cost.explain
	c.item = line{fixed: float64(30 * time.Minute)}
	c.set(4)
	ctx, cancel := context.WithDeadline(t.Context(), clock.Now().Add(time.Hour))
	defer cancel()
	for range 150 {
		a, err := s.Predict(ctx, Request{User: "ann", Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		if a.Items[0].Moments != nil {
			return
		}
	}
	t.Errorf("still refused at %v times the shape", c.factor())
}

// predicted keeps what the observer heard last.
type predicted struct {
	NopObserver
	last atomic.Pointer[Prediction]
}

func (o *predicted) Predicted(p Prediction) { o.last.Store(&p) }

// TestExplainAfterLeaving: nothing is explained to a caller who has left, and the
// request ends.
func TestExplainAfterLeaving(t *testing.T) {
	o := &predicted{}
	s, clock := startBusy(t, Config{Observer: o}, time.Second)
	sec := s.current.Load().second
	gone, leave := context.WithCancel(t.Context())
	leave()
	st := sec.Model.NewState()
	r := rerank{s: s, snap: s.current.Load(), j: &job{k: 2, out: make([]kernel.Scored, 5)}}
	if r.explain(gone, sec.newRescorer(), st, 0); len(r.found) != 2 || r.found[0] != nil || r.found[1] != nil {
		t.Errorf("explained %v", r.found)
	}
	// One who leaves in the middle of it: the clock is looked at for every item.
	ended := 0
	for looks := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		left := &leaver{Context: ctx, clock: clock, after: clock.Now().Add(time.Duration(looks) * time.Second)}
		_, err := s.Predict(left, Request{User: "ann", Explain: true})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err != nil && o.last.Load().Stages.Rerank > 0 {
			ended++
		}
	}
	if ended < 10 {
		t.Errorf("%d of 40 requests ended while they were explained", ended)
	}
}

// leaver is a context that is cancelled from a moment of a clock on.
type leaver struct {
	context.Context
	clock *busyClock
	after time.Time
}

func (l *leaver) Err() error {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	if l.clock.at.After(l.after) {
		return context.Canceled
	}
	return nil
}

// TestExplainBroken: a panic while an item is explained costs the moments alone; it
// counts for the guard.
func TestExplainBroken(t *testing.T) {
	s := startBoth(t, Config{}, newMemStore(), newRing(40), kin(t, 40), 100)
	appendAll(t, s, did("ann", 1000, 3, 11, 35, 8)...)
	req := Request{User: "ann", K: 2, Candidates: ids(12, 13, 19), Explain: true}
	want := answered(predict(t, s, req))
	titles := &s.current.Load().cat.titles
	*titles = (*titles)[:30] // of item 35 none is there
	g := &guard{version: "v1", before: "v0", until: time.Now().Add(time.Hour)}
	s.cfg.Guard.Requests = 100
	s.guard.Store(g)
	req.Strict = true
	a := predict(t, s, req)
	if got := answered(a); len(got) != 2 || got[0] != want[0] || got[1] != want[1] || a.Rerank.Rung != RerankWhole || a.Degraded != nil {
		t.Errorf("%+v", a)
	}
	if a.Items[0].Moments != nil || a.Items[0].Reason == "" || g.failed.Load() != 1 || g.asked.Load() != 1 {
		t.Errorf("%+v, %d of %d failed", a.Items[0], g.failed.Load(), g.asked.Load())
	}
	if predict(t, s, Request{User: "ann", K: 2}).Rerank.Rung != RerankWhole || s.States().States != 1 {
		t.Errorf("afterwards: %+v", s.States())
	}
}
