package recommend

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/event"
)

// TestSteady: the history begins in its oldest part, and goes on beginning there while
// new events push old ones out, whatever items and times they have.
func TestSteady(t *testing.T) {
	const full, moves = 5000, 3000
	rng := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		make func(i int) event.Event
		most int // beginnings among the moves; 2/101 of them are expected
	}{
		"items and times": {func(i int) event.Event { return event.Event{Item: id(rng.IntN(50)), Time: int64(1000 * i)} }, 90},
		"no times":        {func(int) event.Event { return event.Event{Item: event.ItemID(fmt.Sprint(rng.Uint64()))} }, 90},
		"one item":        {func(i int) event.Event { return event.Event{Item: "a", Time: int64(i)} }, 90},
		"all alike":       {func(int) event.Event { return event.Event{Item: "a"} }, moves}, // cannot be told apart
	} {
		events, last, beginnings := make([]event.Event, full+moves), -1, 0
		for i := range events {
			events[i] = c.make(i)
		}
		for lo := range moves {
			got := steady(events[lo : lo+full])
			first := lo + full - len(got)
			if first < last || len(got) < full-full/steadyShare {
				t.Fatalf("%s: %d events after a beginning at %d, then at %d", name, len(got), last, first)
			}
			if first != last {
				beginnings++
			}
			last = first
		}
		if beginnings > c.most {
			t.Errorf("%s: %d beginnings", name, beginnings)
		}
	}
	for _, n := range []int{0, 1, steadyShare - 1, steadyShare} {
		if got := steady(make([]event.Event, n)); len(got) != n {
			t.Errorf("%d of %d events", len(got), n)
		}
	}
}

// TestRerankCachedAtTheCap: the state of a user whose every new event pushes the oldest
// out serves again and again, and answers have the bits of one built for them alone.
func TestRerankCachedAtTheCap(t *testing.T) {
	const full, moves = 1000, 300
	store, second := newMemStore(), smallDARE(t, 40, 0)
	cached := startBoth(t, Config{RerankHistory: full}, store, newRing(40), second, 2)
	fresh := startBoth(t, Config{RerankHistory: full, RerankCacheBytes: 1}, store, newRing(40), second, 2)
	rng, past := rand.New(rand.NewPCG(3, 4)), make([]int, full+100)
	for i := range past {
		past[i] = rng.IntN(40)
	}
	store.events["ann"] = did("ann", 1000, past...)
	req := Request{User: "ann", IncludeSeen: true}
	for i := range moves {
		appendAll(t, cached, did("ann", int64(1e9+1e4*i), rng.IntN(40))...)
		got, want := predict(t, cached, req), predict(t, fresh, req)
		if diff := cmp.Diff(want, got, sameAnswer); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
		if n := got.Rerank.Events; got.Rerank.Rung != RerankWhole || n > full || n < full-full/steadyShare {
			t.Fatalf("%+v", got.Rerank)
		}
	}
	if st := cached.States(); st.Built > moves/5 || st.Extended < moves*4/5 {
		t.Errorf("%d of %d states were built anew, %d were extended", st.Built, moves, st.Extended)
	}
}
