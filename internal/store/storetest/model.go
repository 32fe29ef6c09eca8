package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// model is the plainest store of histories that there can be: a sorted slice per user.
type model struct {
	cap   int
	users map[event.UserID][]event.Event
}

func (m *model) append(events []event.Event) store.Result {
	var r store.Result
	fresh := make(map[event.Event]bool)
	for _, e := range events {
		e = e.Canonical()
		h := m.users[e.User]
		at, found := slices.BinarySearchFunc(h, e, event.Compare)
		if found {
			r.Duplicate++
			continue
		}
		m.users[e.User] = slices.Insert(h, at, e)
		fresh[e] = true
	}
	for user, h := range m.users {
		for len(h) > m.cap {
			if fresh[h[0]] {
				r.Dropped++
				delete(fresh, h[0])
			}
			h = h[1:]
		}
		m.users[user] = h
	}
	r.Accepted = len(fresh)
	return r
}

// testModel plays random operations on the backend and the model, and compares every answer.
func testModel(t *testing.T, open Open) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := wide()
			c.Cap = []int{1_000_000, 700, 50, 2000}[seed]
			p := player{
				t: t, s: open(t, c), rng: rand.New(rand.NewPCG(seed, 2)),
				m: model{cap: c.Cap, users: make(map[event.UserID][]event.Event)},
			}
			for range 250 {
				p.step()
			}
			for user := range p.m.users {
				wantHistory(t, p.s, user, p.m.users[user])
			}
		})
	}
}

// player is one random game.
type player struct {
	t     *testing.T
	s     store.Store
	m     model
	rng   *rand.Rand
	clock int
}

func (p *player) step() {
	p.t.Helper()
	switch n := p.rng.IntN(100); {
	case n < 60:
		batch := p.batch()
		mustAppend(p.t, p.s, batch, p.m.append(batch))
	case n < 75:
		p.recent()
	case n < 96:
		p.page()
	default:
		p.erase()
	}
}

func (p *player) user() event.UserID {
	// Few users, one of them often, so that long histories arise.
	return event.UserID(fmt.Sprintf("user-%d", p.rng.IntN(6)*p.rng.IntN(2)))
}

// batch makes events that are mostly new, often late, sometimes repeated, with many equal times.
func (p *player) batch() []event.Event {
	n := 1 + p.rng.IntN(10)
	if p.rng.IntN(10) == 0 {
		n = p.rng.IntN(900)
	}
	batch := make([]event.Event, 0, n)
	for range n {
		p.clock += p.rng.IntN(3)
		e := at(string(p.user()), fmt.Sprintf("item-%d", p.rng.IntN(200)), p.clock)
		e.Kind = []event.Kind{"", "view", "buy", "rate"}[p.rng.IntN(4)]
		switch h := p.m.users[e.User]; p.rng.IntN(12) {
		case 0:
			e.Time -= p.rng.Int64N(int64(p.clock+1)) * 1000
		case 1:
			if len(h) > 0 {
				e = h[p.rng.IntN(len(h))]
			}
		case 2:
			if len(batch) > 0 {
				e = batch[p.rng.IntN(len(batch))]
			}
		case 3:
			e.Time -= p.rng.Int64N(100)
		}
		batch = append(batch, e)
	}
	return batch
}

func (p *player) recent() {
	p.t.Helper()
	user := p.user()
	want := p.m.users[user]
	n := p.rng.IntN(len(want) + 50)
	got, err := p.s.Recent(context.Background(), user, n)
	if err != nil {
		p.t.Fatal(err)
	}
	equal(p.t, fmt.Sprintf("recent %d of %s", n, user), got, want[max(0, len(want)-n):])
}

func (p *player) page() {
	p.t.Helper()
	user, page := p.user(), store.Page{Limit: 1 + p.rng.IntN(400)}
	want := slices.Clone(p.m.users[user])
	if p.rng.IntN(2) == 0 {
		page.Kind = []event.Kind{"view", "buy", "rate", "none"}[p.rng.IntN(4)]
		want = slices.DeleteFunc(want, func(e event.Event) bool { return e.Kind != page.Kind })
	}
	slices.Reverse(want)
	got, _ := pages(p.t, p.s, user, page)
	equal(p.t, fmt.Sprintf("pages %+v of %s", page, user), got, want)
}

func (p *player) erase() {
	p.t.Helper()
	user := p.user()
	r, err := p.s.Erase(context.Background(), user)
	if err != nil {
		p.t.Fatal(err)
	}
	if r.Events != len(p.m.users[user]) {
		p.t.Fatalf("erased %d events of %s, want %d", r.Events, user, len(p.m.users[user]))
	}
	delete(p.m.users, user)
}
