package recommend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/event"
	"seqrec/internal/seqmodel/lifelong"
)

// TestStates walks one cache through what may happen to it. Each step lends a
// history and says what the cache made of it.
func TestStates(t *testing.T) {
	m, other := smallDARE(t, 20, 0), smallDARE(t, 20, 0)
	items := func(n ...int32) lifelong.History { return lifelong.History{Items: n} }
	timed := func(h lifelong.History, times ...int64) lifelong.History { h.Times = times; return h }
	one := m.NewState()
	one.Append(items(1, 2, 3))
	size := one.Bytes() + keptBytes + 1
	c := newStates(2*size + size/2)
	c.keep(m)
	for _, step := range []struct {
		name  string
		user  event.UserID
		model *lifelong.Model
		h     lifelong.History
		want  StateStats // what is added, but for States, which is what there are
	}{
		{"new", "a", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"the same", "a", m, items(1, 2, 3), StateStats{Hits: 1, States: 1}},
		{"longer", "a", m, items(1, 2, 3, 4), StateStats{Extended: 1, States: 1}},
		{"shorter", "a", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"late", "a", m, items(9, 1, 2, 3), StateStats{Built: 1, States: 1}},
		{"oldest gone", "a", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"now with times", "a", m, timed(items(1, 2, 3), 1, 2, 3), StateStats{Built: 1, States: 1}},
		{"other times", "a", m, timed(items(1, 2, 3), 1, 2, 4), StateStats{Built: 1, States: 1}},
		{"nobody", "", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"another model", "a", other, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"a second", "b", m, items(1, 2, 3), StateStats{Built: 1, States: 2}},
		{"the first again", "a", m, timed(items(1, 2, 3), 1, 2, 4), StateStats{Hits: 1, States: 2}},
		{"a third pushes the second out", "c", m, items(1, 2, 3), StateStats{Built: 1, Evicted: 1, States: 2}},
		{"the first is there", "a", m, timed(items(1, 2, 3), 1, 2, 4), StateStats{Hits: 1, States: 2}},
		{"too large to be kept", "d", m, items(make([]int32, 10000)...), StateStats{Built: 1, States: 2}},
		{"grown too large", "a", m, timed(items(append([]int32{1, 2, 3}, make([]int32, 10000)...)...), append([]int64{1, 2, 4}, make([]int64, 10000)...)...),
			StateStats{Extended: 1, Evicted: 1, States: 1}},
		{"empty", "e", m, items(), StateStats{Built: 1, States: 2}},
		{"from empty", "e", m, items(5), StateStats{Built: 1, States: 2}},
	} {
		before := c.stats()
		lent := 0
		c.lend(c.owner(step.user, step.model), &step.h, func(st *lifelong.State) {
			lent++
			if st.Len() != step.h.Len() {
				t.Errorf("%s: a state of %d events, want %d", step.name, st.Len(), step.h.Len())
			}
		})
		got := c.stats()
		if got.Bytes < 0 || got.Bytes > c.limit || lent != 1 {
			t.Errorf("%s: %d bytes, lent %d times", step.name, got.Bytes, lent)
		}
		got.Bytes = 0
		got.Hits, got.Extended, got.Built, got.Evicted = got.Hits-before.Hits, got.Extended-before.Extended, got.Built-before.Built, got.Evicted-before.Evicted
		if got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
}

// TestStatesBusy: who finds a state in use does not wait for it.
func TestStatesBusy(t *testing.T) {
	m := smallDARE(t, 20, 0)
	c := newStates(1 << 20)
	c.keep(m)
	o := c.owner("a", m)
	h, longer := lifelong.History{Items: []int32{1}}, lifelong.History{Items: []int32{1, 2}}
	c.lend(o, &h, func(*lifelong.State) {})
	c.lend(o, &h, func(first *lifelong.State) {
		c.lend(o, &h, func(second *lifelong.State) {
			if first != second {
				t.Error("two readers have two states")
			}
		})
		c.lend(o, &longer, func(second *lifelong.State) {
			if first == second || first.Len() != 1 || second.Len() != 2 {
				t.Error("a state that is read was extended")
			}
		})
	})
	if st := c.stats(); st.States != 1 || st.Built != 2 || st.Hits != 2 {
		t.Errorf("%+v", st)
	}
}

// TestRerankCached: whatever happened before, an answer from a kept state has the
// bits of one that is built for it alone.
func TestRerankCached(t *testing.T) {
	for _, kind := range lifelong.Kinds() {
		t.Run(kind, func(t *testing.T) {
			categories := make([]int32, 130)
			for i := range categories {
				categories[i] = int32(i % 5)
			}
			m, err := lifelong.New(lifelong.Config{
				Model: kind, Items: 130, Categories: 5, Kinds: 3, Gaps: true, Width: 4, Length: 50, Select: 5, Hidden: [2]int{8, 4}, InitStd: 0.3,
			}, categories, 3)
			if err != nil {
				t.Fatal(err)
			}
			checkCached(t, m)
		})
	}
}

func checkCached(t *testing.T, second *lifelong.Model) {
	store, rng := newMemStore(), rand.New(rand.NewPCG(7, 8))
	cached := startBoth(t, Config{}, store, newRing(130), second, 2)
	fresh := startBoth(t, Config{RerankCacheBytes: 1}, store, newRing(130), second, 2)
	users := []event.UserID{"ann", "bob", "cem"}
	kinds := []event.Kind{"view", "buy", "other"}
	now := int64(1_700_000_000_000)
	for step := range 200 {
		user := users[rng.IntN(len(users))]
		e := event.Event{User: user, Item: id(rng.IntN(140)), Kind: kinds[rng.IntN(3)], Time: now}
		req := Request{User: user, Explain: step%7 == 0}
		switch now += int64(rng.IntN(1e6)); rng.IntN(12) {
		case 0: // late
			e.Time -= int64(rng.IntN(5e6))
			appendAll(t, cached, e)
		case 1:
			if _, err := cached.Erase(t.Context(), user); err != nil {
				t.Fatal(err)
			}
		case 2: // rides in the request
			req.Events = []event.Event{e}
		case 3: // the same question again
		default:
			appendAll(t, cached, e)
		}
		got := predict(t, cached, req)
		req.Events = nil // held by now
		want := predict(t, fresh, req)
		got.Appended = want.Appended
		if diff := cmp.Diff(want, got, sameAnswer); diff != "" {
			t.Fatalf("step %d, %s: %s", step, user, diff)
		}
	}
	if !second.NewState().Remembers() { // nothing is worth keeping
		if st := cached.States(); st != (StateStats{}) {
			t.Errorf("cached: %+v", st)
		}
		return
	}
	if st := cached.States(); st.Hits == 0 || st.Extended == 0 || st.Built < 5 || st.States == 0 || st.Bytes <= 0 || st.Evicted != 0 {
		t.Errorf("cached: %+v", st)
	}
	if st := fresh.States(); st.Hits+st.Extended != 0 || st.States != 0 || st.Bytes != 0 {
		t.Errorf("fresh: %+v", st)
	}
}

func appendAll(t *testing.T, s *Service, events ...event.Event) {
	t.Helper()
	if _, err := s.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

// TestRerankTogether: many goroutines ask about few users while these act and are
// erased. Run it with -race.
func TestRerankTogether(t *testing.T) {
	store := newMemStore()
	second := smallDARE(t, 40, 0)
	s := startBoth(t, Config{Workers: 2, RerankCacheBytes: 6000}, store, newRing(40), second, 1)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(9, uint64(g)))
			for i := range 60 {
				user := event.UserID(fmt.Sprintf("user%d", rng.IntN(4)))
				req := Request{User: user, Explain: i%5 == 0}
				switch rng.IntN(8) {
				case 0:
					req.Events = did(user, int64(g*1e6+i*1000), rng.IntN(40))
				case 1:
					if _, err := s.Erase(context.Background(), user); err != nil {
						t.Error(err)
					}
				case 2:
					l := load(newRing(40), "v2")
					l.Reranker = &Reranker{Model: second, Blend: 1}
					if i%20 == 0 {
						if err := s.Serve(context.Background(), l); err != nil {
							t.Error(err)
						}
					}
				}
				if _, err := s.Predict(context.Background(), req); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if st := s.States(); st.Bytes > 6000 {
		t.Errorf("%+v", st)
	}
}

// TestRerankErased: what was read before an erasure is not kept after it, and a
// version's states go with it.
func TestRerankErased(t *testing.T) {
	store := newMemStore()
	s := startBoth(t, Config{}, store, newRing(40), kin(t, 40), 1)
	appendAll(t, s, did("ann", 1000, 1, 2, 3)...)
	predict(t, s, Request{User: "ann"})
	if st := s.States(); st.States != 1 {
		t.Fatalf("%+v", st)
	}
	o := s.states.owner("ann", s.current.Load().second.Model)
	if _, err := s.Erase(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if st := s.States(); st.States != 0 || st.Bytes != 0 {
		t.Errorf("after erasure: %+v", st)
	}
	s.states.lend(o, &lifelong.History{Items: []int32{1, 2, 3}}, func(*lifelong.State) {})
	if st := s.States(); st.States != 0 {
		t.Errorf("a request under way brought it back: %+v", st)
	}
	appendAll(t, s, did("ann", 1000, 1, 2, 3)...)
	predict(t, s, Request{User: "ann"})
	if _, err := store.Erase(t.Context(), "ann"); err != nil { // by another server that shares the store
		t.Fatal(err)
	}
	predict(t, s, Request{User: "ann"})
	if st := s.States(); st.States != 0 {
		t.Errorf("after another server's erasure: %+v", st)
	}
	appendAll(t, s, did("ann", 1000, 1, 2, 3)...)
	predict(t, s, Request{User: "ann"})
	if err := s.Serve(t.Context(), load(newRing(40), "v2")); err != nil {
		t.Fatal(err)
	}
	if st := s.States(); st.States != 0 || st.Bytes != 0 {
		t.Errorf("after a swap: %+v", st)
	}
}

// TestRerankUnknownCandidates: a question about items that nobody knows leaves what
// is kept of the user alone.
func TestRerankUnknownCandidates(t *testing.T) {
	s := startBoth(t, Config{}, newMemStore(), newRing(40), kin(t, 40), 1)
	appendAll(t, s, did("ann", 1000, 1, 2, 3)...)
	predict(t, s, Request{User: "ann"})
	predict(t, s, Request{User: "ann", Candidates: ids(77)})
	predict(t, s, Request{User: "ann"})
	if st := s.States(); st.Hits != 1 || st.Built != 1 {
		t.Errorf("%+v", st)
	}
}
