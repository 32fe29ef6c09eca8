package recommend

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/baseline"
	"seqrec/internal/event"
	"seqrec/internal/kernel"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
)

// interests is how many interests the items of kin belong to: item n to interest
// n modulo that.
const interests = 8

// kin knows the answer, by weights made by hand: it searches the events of an
// item's interest, and the more of them there are among what it selects, the
// higher the log odds.
func kin(t testing.TB, items int) *lifelong.Model {
	t.Helper()
	c := lifelong.Config{Items: items, Width: interests, Length: 50, Positions: 51, Select: 5, Hidden: [2]int{1, 1}}
	m, err := lifelong.New(c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params().List() {
		v := p.Val.V
		switch {
		case strings.HasSuffix(p.Name, ".running.variance"), strings.HasSuffix(p.Name, ".gain"), strings.HasSuffix(p.Name, ".slope"):
			fill(v, 1)
		case p.Name == "attend.item", p.Name == "represent.item":
			fill(v, 0)
			for n := range items {
				v[n*interests+n%interests] = 3
			}
		case p.Name == "main.0.weight": // [r_t ; u ; u*r_t], of which the items' part of the product counts
			fill(v, 0)
			fill(v[4*interests:5*interests], 1)
		case p.Name == "main.1.weight":
			fill(v, 1)
		case p.Name == "main.out.weight":
			v[0], v[1] = 0, 1
		default:
			fill(v, 0)
		}
	}
	return m
}

func fill(v []float32, x float32) {
	for i := range v {
		v[i] = x
	}
}

// startBoth is start with a second stage.
func startBoth(t testing.TB, cfg Config, store Store, m *ringModel, second *lifelong.Model, blend float64) *Service {
	t.Helper()
	s, err := New(cfg, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := load(m, "v1")
	l.Reranker = &Reranker{Model: second, Blend: blend}
	if n := second.Config().Kinds; n > 0 {
		l.Reranker.Kinds = map[event.Kind]int32{"": 0, "view": 1, "buy": 2}
	}
	if err := s.Serve(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return s
}

// did are events of one user, a second apart.
func did(user event.UserID, from int64, ns ...int) []event.Event {
	out := make([]event.Event, len(ns))
	for i, n := range ns {
		out[i] = event.Event{User: user, Item: id(n), Kind: event.DefaultKind, Time: from + 1000*int64(i)}
	}
	return out
}

// TestRerankKnownAnswer: the events of one interest lift its items over all that
// the ring puts first, and no mask is forgotten.
func TestRerankKnownAnswer(t *testing.T) {
	store := newMemStore()
	s := startBoth(t, Config{}, store, newRing(40), kin(t, 40), 100)
	if err := s.PutItems(t.Context(), []CatalogItem{{ID: id(19), Hidden: true}}); err != nil {
		t.Fatal(err)
	}
	past := []int{3, 11, 3, 11, 3, 8} // interest 3, then something else
	if _, err := store.Append(t.Context(), did("ann", 1000, past...)); err != nil {
		t.Fatal(err)
	}
	whole := RerankUse{Rung: RerankWhole, Events: 6, Candidates: 36, Oldest: 1000}
	use := func(u RerankUse, change func(*RerankUse)) *RerankUse { change(&u); return &u }
	none := &RerankUse{Rung: RerankNone}
	cases := []struct {
		name string
		req  Request
		want []event.ItemID
		use  *RerankUse
	}{
		{"stored", Request{User: "ann", K: 3}, ids(27, 35, 16), &whole}, // then the ring's order: of interest 0, which 8 is of
		{"bare", Request{History: bare(past...), K: 2}, ids(27, 35), use(whole, func(u *RerankUse) { u.Oldest = 0 })},
		{"excluded", Request{User: "ann", K: 2, Exclude: ids(27)}, ids(35, 16), use(whole, func(u *RerankUse) { u.Candidates = 35 })},
		{"seen on request", Request{User: "ann", K: 2, IncludeSeen: true}, ids(11, 27), use(whole, func(u *RerankUse) { u.Candidates = 39 })},
		{"candidates", Request{User: "ann", Candidates: ids(9, 35, 10, 19, 3, 77)}, ids(35, 9, 10), use(whole, func(u *RerankUse) { u.Candidates = 3 })},
		{"not wanted", Request{User: "ann", K: 3, NoRerank: true}, ids(9, 10, 12), nil},
		{"events of the request", Request{User: "bob", Events: did("bob", 5000, 4, 4), K: 2}, ids(12, 20), &RerankUse{RerankWhole, 2, 38, 5000}},
		{"unknown items keep their place", Request{History: bare(99, 98, 3, 11, 97), K: 1}, ids(27), &RerankUse{RerankWhole, 5, 37, 0}},
		{"nothing known", Request{History: bare(99), K: 2}, ids(0, 1), none},
		{"empty", Request{User: "nobody", K: 2}, ids(0, 1), none},
		{"no candidate known", Request{User: "ann", Candidates: ids(77)}, nil, none},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := predict(t, s, c.req)
			if diff := cmp.Diff(c.want, answered(a)); diff != "" {
				t.Errorf("items: %s", diff)
			}
			if diff := cmp.Diff(c.use, a.Rerank); diff != "" || a.Degraded != nil {
				t.Errorf("rerank: %s, degraded %v", diff, a.Degraded)
			}
		})
	}
}

// TestBlend holds the final score to its formula, worked out in another way.
func TestBlend(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, weight := range []float64{0, 0.3, 5} {
		list, odds := make([]kernel.Scored, 50), make([]float32, 50)
		for i := range list {
			list[i] = kernel.Scored{Item: int32(49 - i), Score: float32(rng.NormFloat64()*3 + 7)}
			odds[i] = float32(rng.NormFloat64()*0.1 - 2)
		}
		z := func(at func(i int) float64) []float64 {
			sum, squares := 0.0, 0.0
			for i := range list {
				sum += at(i)
				squares += at(i) * at(i)
			}
			mean := sum / 50
			out := make([]float64, 50)
			for i := range list {
				out[i] = (at(i) - mean) / math.Sqrt(squares/50-mean*mean)
			}
			return out
		}
		a, b := z(func(i int) float64 { return float64(list[i].Score) }), z(func(i int) float64 { return float64(odds[i]) })
		want := map[int32]float64{}
		for i := range list {
			want[list[i].Item] = a[i] + weight*b[i]
		}
		blend(list, odds, weight)
		for i, x := range list {
			if math.Abs(float64(x.Score)-want[x.Item]) > 1e-4 || i > 0 && list[i-1].Score < x.Score {
				t.Fatalf("weight %v: place %d has %v, want %v", weight, i, x, want[x.Item])
			}
		}
	}
	for name, same := range map[string][]float32{"equal": {2, 2, 2}, "one": {7}, "equal but for rounding": {1e20, 1e20, 1e20}} {
		list := make([]kernel.Scored, len(same))
		for i := range same {
			list[i] = kernel.Scored{Item: int32(i), Score: same[i]}
		}
		blend(list, same, 1)
		for i, x := range list {
			if x.Score != 0 || int(x.Item) != i {
				t.Errorf("%s: %v", name, list)
			}
		}
	}
}

// TestRerankBaseline: any first stage will do, also one that ranks all alike.
func TestRerankBaseline(t *testing.T) {
	for _, kind := range []baseline.Kind{baseline.Popularity, baseline.Transition, baseline.VMISKNN} {
		t.Run(string(kind), func(t *testing.T) {
			reg, err := registry.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			version := publishModel(t, reg, string(kind), withReranker(t, smallDARE(t, worldItems, 0), registry.Reranker{Blend: 0.5, Candidates: 20}, nil))
			s, err := New(Config{}, newMemStore(), FromRegistry(reg))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Promote(t.Context(), version); err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(5, 6))
			for range 30 {
				req := worldRequest(s, rng)
				a := predict(t, s, req)
				checkWorldMask(t, s, &req, a, nil)
				if a.Rerank == nil || a.Rerank.Candidates > max(20, req.K) && req.Candidates == nil {
					t.Fatalf("rerank %+v", a.Rerank)
				}
			}
		})
	}
}

// forceSecond says what the second stage costs, in parts of an hour for each event
// and candidate.
func forceSecond(s *Service, perHour float64) {
	c := &s.current.Load().second.cost
	c.set(1)
	c.event, c.shared, c.candidate, c.pair = 0, 0, 0, float64(time.Hour)/perHour
}

func TestRerankLadder(t *testing.T) {
	long := make([]int, 400)
	for i := range long {
		long[i] = i % 7
	}
	cases := []struct {
		name    string
		perHour float64 // pairs of event and candidate
		want    RerankUse
		why     string
	}{
		{"all fits", 1e9, RerankUse{RerankWhole, 400, 33, 1000}, ""},
		{"half fits", 33 * 390, RerankUse{RerankShorter, 200, 33, 201000}, "on the whole history"},
		{"an eighth fits", 33 * 51, RerankUse{RerankShorter, 50, 33, 351000}, "on the whole history"},
		{"too few would", 33 * 49, RerankUse{Rung: RerankNone}, "too short for the second stage"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			store := newMemStore()
			s := startBoth(t, Config{}, store, newRing(40), kin(t, 40), 1)
			appendAll(t, s, did("ann", 1000, long...)...)
			forceSecond(s, c.perHour)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Minute)
			defer cancel()
			a, err := s.Predict(ctx, Request{User: "ann"})
			if err != nil || *a.Rerank != c.want || a.Rung != RungModel || len(a.Items) != DefaultK {
				t.Errorf("%+v, %v, want %+v", a.Rerank, err, c.want)
			}
			if (a.Degraded != nil) != (c.why != "") || a.Degraded != nil && !strings.Contains(*a.Degraded, c.why) {
				t.Errorf("degraded %v, want %q", a.Degraded, c.why)
			}
			forceSecond(s, c.perHour) // what it took was learnt
			if _, err := s.Predict(ctx, Request{User: "ann", Strict: true}); errors.Is(err, ErrDeadline) != (c.why != "") {
				t.Errorf("strict: %v", err)
			}
		})
	}
}

// TestRerankBusy: a request that gets no rescorer in time keeps the order of
// retrieval, and one whose caller leaves ends.
func TestRerankBusy(t *testing.T) {
	s := startBoth(t, Config{Workers: 1}, nil, newRing(40), kin(t, 40), 100)
	held := <-s.current.Load().second.rescorers
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	a, err := s.Predict(ctx, Request{History: bare(3, 11, 8), K: 1})
	if err != nil || a.Rerank.Rung != RerankNone || a.Degraded == nil || a.Items[0].ID != id(9) {
		t.Errorf("%+v, %v", a, err)
	}
	left, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := s.Predict(left, Request{History: bare(3)}); done <- err }()
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who left got %v", err)
	}
	s.current.Load().second.rescorers <- held
}

// TestRerankBroken: a second stage that gives no numbers costs its own part of the
// answer only.
func TestRerankBroken(t *testing.T) {
	second := kin(t, 40)
	s := startBoth(t, Config{}, newMemStore(), newRing(40), second, 100)
	fill(second.Params().All().V, float32(math.NaN()))
	appendAll(t, s, did("ann", 1000, 3, 11, 8)...)
	a := predict(t, s, Request{User: "ann", K: 2, Explain: true})
	if !slices.Equal(answered(a), ids(9, 10)) || *a.Rerank != (RerankUse{Rung: RerankNone}) || a.Degraded == nil || a.Items[0].Moments != nil {
		t.Errorf("%+v", a)
	}
	if _, err := s.Predict(t.Context(), Request{User: "ann", Strict: true}); err == nil || errors.Is(err, ErrDeadline) {
		t.Errorf("strict: %v", err)
	}
	if st := s.States(); st.States != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRerankExplain(t *testing.T) {
	s := startBoth(t, Config{}, newMemStore(), newRing(40), kin(t, 40), 100)
	appendAll(t, s, append(did("ann", 1000, 3, 99, 8, 11, 5, 9), event.Event{User: "ann", Item: id(11), Kind: "buy", Time: 9000})...)
	a := predict(t, s, Request{User: "ann", K: 1, Explain: true})
	share := a.Items[0].Moments[0].Weight
	want := []Moment{ // of equal weight: the newer first
		{Item: id(11), Title: "Title 11", Kind: "buy", Time: 9000, Place: 1, Weight: share},
		{Item: id(11), Title: "Title 11", Kind: "view", Time: 4000, Place: 4, Weight: share},
		{Item: id(3), Title: "Title 3", Kind: "view", Time: 1000, Place: 7, Weight: share},
	}
	if got := a.Items[0].Moments; a.Items[0].ID != id(19) || len(got) != 5 || cmp.Diff(want, got[:3]) != "" || share < 0.3 {
		t.Errorf("%+v: %s", a.Items[0], cmp.Diff(want, got[:min(3, len(got))]))
	}
	if a = predict(t, s, Request{User: "ann", K: 1}); a.Items[0].Moments != nil {
		t.Errorf("unasked: %+v", a.Items[0])
	}
}

// TestRerankDeletion: an event that an explanation names matters: without it the
// item's log odds fall more than without another one.
func TestRerankDeletion(t *testing.T) {
	const items = 160
	model := kin(t, items)
	s := startBoth(t, Config{}, nil, newRing(items), model, 10)
	rng, scorer := rand.New(rand.NewPCG(11, 12)), model.NewScorer()
	odds := func(h []int, without int, candidate int32) float64 {
		past := lifelong.History{}
		for i, n := range h {
			if i != without {
				past.Items = append(past.Items, int32(n))
			}
		}
		dst := make([]float32, 1)
		scorer.Score(dst, past, []int32{candidate}, 0)
		return float64(dst[0])
	}
	var named, other float64
	const rounds = 200
	for range rounds {
		// A few events of each interest, but for one that hardly occurs: nothing fills the gap that a deletion leaves.
		rare, h := rng.IntN(interests), make([]int, 60)
		for i := range h {
			for h[i] = rng.IntN(items); h[i]%interests == rare; {
				h[i] = rng.IntN(items)
			}
		}
		for range 3 {
			h[rng.IntN(len(h))] = rare + interests*rng.IntN(items/interests)
		}
		candidate := rare + interests*rng.IntN(items/interests)
		a := predict(t, s, Request{History: bare(h...), Candidates: ids(candidate), IncludeSeen: true, Explain: true})
		first := len(h) - a.Items[0].Moments[0].Place
		whole := odds(h, -1, int32(candidate))
		named += whole - odds(h, first, int32(candidate))
		other += whole - odds(h, rng.IntN(len(h)), int32(candidate))
	}
	if named /= rounds; named <= 3*other/rounds || named <= 0 {
		t.Errorf("log odds fall by %.3f without the event named, by %.3f without any other", named, other/rounds)
	}
}

// TestGuardSeesSecondStage: the guard counts each prediction once, with what the
// second stage took, and that it broke.
func TestGuardSeesSecondStage(t *testing.T) {
	s, clock := startBusy(t, Config{Guard: GuardConfig{Requests: 1000, Latency: time.Second}}, time.Minute)
	g := &guard{version: "v1", before: "v0", until: clock.Now().Add(1000 * time.Hour)}
	s.guard.Store(g)
	count := func(what string, asked, slow, failed int64) {
		t.Helper()
		if g.asked.Load() != asked || g.slow.Load() != slow || g.failed.Load() != failed {
			t.Errorf("%s: asked %d, slow %d, failed %d; want %d, %d, %d", what, g.asked.Load(), g.slow.Load(), g.failed.Load(), asked, slow, failed)
		}
	}
	predict(t, s, Request{User: "ann", NoRerank: true})
	count("the first stage alone", 1, 0, 0)
	predict(t, s, Request{User: "ann"})
	count("both", 2, 1, 0)
	if _, err := s.Similar(t.Context(), ids(3), 2); err != nil {
		t.Fatal(err)
	}
	count("similar", 3, 1, 0)
	fill(s.current.Load().second.Model.Params().All().V, float32(math.NaN()))
	predict(t, s, Request{User: "ann"})
	count("broken", 4, 2, 1)
}
