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

	"seqrec/internal/event"
)

func TestPredictKnownAnswer(t *testing.T) {
	store := newMemStore()
	s := start(t, Config{}, store, newRing(10))
	if err := s.PutItems(t.Context(), []CatalogItem{{ID: id(9), Title: "Hidden", Hidden: true}}); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name    string
		req     Request
		want    []event.ItemID
		rung    string
		used    int
		unknown int
		short   string // part of it
	}{
		{"next on the ring", Request{History: bare(1, 2), K: 3}, ids(3, 4, 5), RungModel, 2, 0, ""},
		{"seen is left out", Request{History: bare(4, 3, 2), K: 3}, ids(5, 6, 7), RungModel, 3, 0, ""},
		{"seen on request", Request{History: bare(4, 3, 2), K: 3, IncludeSeen: true}, ids(3, 4, 5), RungModel, 3, 0, ""},
		{"excluded", Request{History: bare(1), Exclude: ids(2, 4, 77), K: 3}, ids(3, 5, 6), RungModel, 1, 0, ""},
		{"hidden", Request{History: bare(7), K: 3}, ids(8, 0, 1), RungModel, 1, 0, ""},
		{"hidden item in the history still counts", Request{History: bare(9), K: 2}, ids(0, 1), RungModel, 1, 0, ""},
		{"unknown items are dropped", Request{History: bare(99, 1, 98), K: 1}, ids(2), RungModel, 1, 2, ""},
		{"candidates", Request{History: bare(1), Candidates: ids(7, 3, 3, 55, 1, 9), K: 5}, ids(3, 7), RungModel, 1, 0, "only 2 of the candidates"},
		{"no candidate is known", Request{History: bare(1), Candidates: ids(55)}, nil, RungPopular, 0, 0, "none of the candidates"},
		{"more than there are", Request{History: bare(1), K: 100}, ids(2, 3, 4, 5, 6, 7, 8, 0), RungModel, 1, 0, "only 8 of the model's 10 items"},
		{"nothing known", Request{K: 3}, ids(0, 1, 2), RungPopular, 0, 0, ""},
		{"unknown user", Request{User: "nobody", K: 2}, ids(0, 1), RungPopular, 0, 0, ""},
		{"nothing of the history known", Request{History: bare(50, 51), K: 2, Exclude: ids(0)}, ids(1, 2), RungPopular, 0, 2, ""},
		{"popular candidates", Request{Candidates: ids(8, 5, 9)}, ids(5, 8), RungPopular, 0, 0, "only 2 of the candidates"},
		{"ten by default", Request{History: bare(1), IncludeSeen: true, Model: "current"}, ids(2, 3, 4, 5, 6, 7, 8, 0, 1), RungModel, 1, 0, "only 9"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := predict(t, s, c.req)
			if diff := cmp.Diff(c.want, answered(a)); diff != "" {
				t.Errorf("items: %s", diff)
			}
			if a.Rung != c.rung || a.Degraded != nil {
				t.Errorf("rung %q, degraded %v; want %q, not degraded", a.Rung, a.Degraded, c.rung)
			}
			if a.History.Used != c.used || a.History.Unknown != c.unknown {
				t.Errorf("history %+v, want %d used and %d unknown", a.History, c.used, c.unknown)
			}
			if c.short == "" && a.Short != "" || !strings.Contains(a.Short, c.short) {
				t.Errorf("short: %q, want %q", a.Short, c.short)
			}
			if a.Model != (ModelRef{"ring", "v1"}) || a.RecommendationID == "" {
				t.Errorf("model %v, recommendation id %q", a.Model, a.RecommendationID)
			}
		})
	}
}

func TestPredictTitlesSourcesReasons(t *testing.T) {
	m := newRing(10)
	m.few = 2
	s := start(t, Config{}, newMemStore(), m)
	a := predict(t, s, Request{History: bare(3, 4), K: 3, Explain: true})
	want := []Item{
		{id(5), "Title 5", 1, RungModel, "follows from the history, in which Title 4 is closest to it", nil},
		{id(6), "Title 6", 0.9, RungModel, "follows from the history, in which Title 4 is closest to it", nil},
		{id(0), "Title 0", 1000, RungPopular, "one of the most frequent items", nil},
	}
	if diff := cmp.Diff(want, a.Items); diff != "" {
		t.Error(diff)
	}
}

func TestPredictReadsWhatItWrote(t *testing.T) {
	store := newMemStore()
	s := start(t, Config{}, store, newRing(10))
	ev := func(n int, at int64) event.Event { return event.Event{User: "ann", Item: id(n), Time: at} }
	a := predict(t, s, Request{User: "ann", Events: []event.Event{ev(3, 2000), ev(1, 1000)}, K: 1})
	if got := answered(a); !slices.Equal(got, ids(4)) {
		t.Errorf("answered %v, want the item after the newest event", got)
	}
	if a.Appended != (AppendResult{Accepted: 2}) || a.History != (HistoryUse{Used: 2, Newest: 2000}) {
		t.Errorf("appended %+v, history %+v", a.Appended, a.History)
	}
	a = predict(t, s, Request{Events: []event.Event{ev(3, 2000), ev(6, 3000)}, K: 1}) // the user comes from the events
	if got := answered(a); !slices.Equal(got, ids(7)) || a.Appended != (AppendResult{Accepted: 1, Duplicate: 1}) || a.History.Used != 3 {
		t.Errorf("answered %v, appended %+v, history %+v", got, a.Appended, a.History)
	}
	// A bare history takes the place of the stored one; the events join it once.
	a = predict(t, s, Request{User: "ann", History: []event.Event{ev(2, 10), ev(6, 3000)}, Events: []event.Event{ev(6, 3000)}, K: 1})
	if got := answered(a); !slices.Equal(got, ids(7)) || a.History.Used != 2 {
		t.Errorf("answered %v, history %+v", got, a.History)
	}
}

// TestMerge: what rides in a request joins a history once, at a cost that grows with both and not with their product.
func TestMerge(t *testing.T) {
	ev := func(n int, at int64, kind event.Kind) event.Event {
		return event.Event{User: "ann", Item: id(n), Kind: kind, Time: at}
	}
	held := []event.Event{{Item: id(1), Time: 10}, {Item: id(2), Kind: event.DefaultKind, Time: 20}}
	got := merge(held, []event.Event{ev(3, 30, ""), ev(1, 10, event.DefaultKind), ev(3, 30, event.DefaultKind), ev(2, 20, "buy"), ev(2, 20, "")})
	if want := append(slices.Clone(held), ev(3, 30, event.DefaultKind), ev(2, 20, "buy")); !slices.Equal(got, want) {
		t.Errorf("merged into %v, want %v", got, want)
	}
	long, more := make([]event.Event, MaxHistory), make([]event.Event, MaxEvents)
	for i := range long {
		long[i] = ev(i, int64(i), "")
	}
	for i := range more {
		more[i] = ev(i, int64(i+MaxHistory-MaxEvents/2), "")
	}
	if n := testing.AllocsPerRun(1, func() { merge(long, more) }); n > 50 {
		t.Errorf("%v allocations", n)
	}
}

func TestPredictSortsHistoryByTime(t *testing.T) {
	s := start(t, Config{}, nil, newRing(10))
	h := []event.Event{{Item: id(5), Time: 300}, {Item: id(1), Time: 100}, {Item: id(3), Time: 200}}
	before := slices.Clone(h)
	if got := answered(predict(t, s, Request{History: h, K: 1})); !slices.Equal(got, ids(6)) {
		t.Errorf("answered %v", got)
	}
	if !slices.Equal(h, before) {
		t.Error("the caller's history was changed")
	}
}

func TestPredictStoreFails(t *testing.T) {
	store := newMemStore()
	s := start(t, Config{HistoryTimeout: time.Millisecond}, store, newRing(10))
	store.stall = true
	a := predict(t, s, Request{User: "ann", K: 2})
	if a.Rung != RungPopular || a.Degraded == nil {
		t.Errorf("rung %q, degraded %v", a.Rung, a.Degraded)
	}
	ev := event.Event{User: "ann", Item: id(3), Time: 5}
	a = predict(t, s, Request{Events: []event.Event{ev}, K: 1}) // what the request brings is still used
	if got := answered(a); !slices.Equal(got, ids(4)) || a.Degraded == nil {
		t.Errorf("answered %v, degraded %v", got, a.Degraded)
	}
	if _, err := s.Predict(t.Context(), Request{User: "ann", Strict: true}); !errors.Is(err, ErrStore) {
		t.Errorf("strict: %v, want ErrStore", err)
	}
	store.stall, store.err = false, errors.New("disk on fire")
	if _, err := s.Predict(t.Context(), Request{Events: []event.Event{ev}}); !errors.Is(err, ErrStore) {
		t.Errorf("events that cannot be stored: %v, want ErrStore", err)
	}
}

func TestPredictErrors(t *testing.T) {
	s := start(t, Config{}, nil, newRing(10))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	cases := []struct {
		name string
		ctx  context.Context
		req  Request
		want error
	}{
		{"unknown version", t.Context(), Request{Model: "v9"}, ErrUnknownModel},
		{"no store for events", t.Context(), Request{Events: []event.Event{{User: "a", Item: "b"}}}, ErrStore},
		{"no store for a strict user", t.Context(), Request{User: "a", Strict: true}, ErrStore},
		{"cancelled", cancelled, Request{}, context.Canceled},
		{"expired", expired, Request{}, ErrDeadline},
		{"invalid", t.Context(), Request{K: -1}, ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := s.Predict(c.ctx, c.req); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	empty, err := New(Config{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Predict(t.Context(), Request{}); !errors.Is(err, ErrNoModel) {
		t.Errorf("no model: %v", err)
	}
	empty.Close()
	if _, err := empty.Predict(t.Context(), Request{}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestValidateReportsAllFaultsAtOnce(t *testing.T) {
	req := Request{
		User:       "a\nb",
		K:          MaxK + 1,
		At:         -1,
		History:    []event.Event{{Item: "ok"}, {Item: "", Time: -1}},
		Events:     []event.Event{{User: "other", Item: ""}},
		Candidates: []event.ItemID{"ok", ""},
		Exclude:    make([]event.ItemID, MaxExclude+1),
	}
	for i := range req.Exclude {
		req.Exclude[i] = "x"
	}
	var got []string
	for _, f := range req.Validate() {
		got = append(got, f.Pointer)
	}
	want := []string{"/user", "/k", "/at", "/exclude", "/history/1/item", "/history/1/time", "/events/0/item", "/events/0/user", "/candidates/1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if f := (&Request{}).Validate(); f != nil {
		t.Errorf("the zero request: %v", f)
	}
}

// TestMaskNeverLeaks asks random questions on every rung and checks that no
// item leaves that must not, that none leaves twice, and that a short list is
// one that could not be longer.
func TestMaskNeverLeaks(t *testing.T) {
	const n = 130
	rng := rand.New(rand.NewPCG(1, 2))
	for _, rung := range []string{RungModel, RungShorter, RungItem, RungPopular} {
		for _, vectors := range []bool{true, false} {
			t.Run(rung, func(t *testing.T) {
				m := newRing(n)
				if !vectors {
					m.table = nil
				}
				s := start(t, Config{}, newMemStore(), m)
				hide := randomItems(rng, n, 40)
				var items []CatalogItem
				for _, h := range hide {
					items = append(items, CatalogItem{ID: h, Hidden: true})
				}
				if err := s.PutItems(t.Context(), items); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				for range 300 {
					force(s, rung) // each time: batches that are faster than foretold lower the prices
					req := randomRequest(rng, n)
					ans, err := s.Predict(ctx, req)
					if err != nil {
						t.Fatal(err)
					}
					if len(req.History) >= 2*shortest && ans.Rung != rung {
						t.Fatalf("rung %q, want %q", ans.Rung, rung)
					}
					checkMask(t, &req, ans, hide, n)
				}
			})
		}
	}
}

func checkMask(t *testing.T, req *Request, ans Answer, hide []event.ItemID, n int) {
	t.Helper()
	may := map[event.ItemID]bool{}
	for i := range n {
		may[id(i)] = req.Candidates == nil || slices.Contains(req.Candidates, id(i))
	}
	for _, x := range slices.Concat(hide, req.Exclude) {
		may[x] = false
	}
	for _, e := range req.History {
		may[e.Item] = may[e.Item] && req.IncludeSeen
	}
	left := 0
	for _, ok := range may {
		if ok {
			left++
		}
	}
	for _, item := range ans.Items {
		if !may[item.ID] {
			t.Fatalf("%s left on rung %s; request %+v", item.ID, ans.Rung, req)
		}
		may[item.ID] = false // once only
	}
	if want := min(left, req.limit()); len(ans.Items) != want || (ans.Short != "") != (want < req.limit()) {
		t.Fatalf("%d items, %q; want %d on rung %s", len(ans.Items), ans.Short, want, ans.Rung)
	}
}

func randomItems(rng *rand.Rand, n, most int) []event.ItemID {
	out := make([]event.ItemID, rng.IntN(most))
	for i := range out {
		out[i] = id(rng.IntN(n))
	}
	return out
}

func randomRequest(rng *rand.Rand, n int) Request {
	req := Request{K: 1 + rng.IntN(2*n), IncludeSeen: rng.IntN(2) == 0, Explain: rng.IntN(4) == 0}
	for range 1 + rng.IntN(60) {
		req.History = append(req.History, event.Event{Item: id(rng.IntN(n))})
	}
	req.Exclude = randomItems(rng, n, 20)
	if rng.IntN(3) == 0 {
		req.Candidates = append(randomItems(rng, n, 30), id(0))
	}
	return req
}

// force makes a rung the best that fits an hour's deadline, by what things are
// said to cost.
func force(s *Service, rung string) {
	c := s.current.Load().cost
	const never = float64(24 * time.Hour)
	c.fixed, c.token, c.scan = 0, 0, 0
	c.set(1)
	switch rung {
	case RungShorter:
		c.token = float64(time.Hour) / 8 // a history of 8 or more is halved until 4 to 7 events are left
		c.scan = never
	case RungItem:
		c.fixed = never
	case RungPopular:
		c.fixed, c.scan = never, never
	}
}

func TestLadder(t *testing.T) {
	history := bare(11, 12, 13, 14, 15, 16, 17, 18) // 8 events
	for _, c := range []struct {
		rung string
		used int
		want []event.ItemID
	}{
		{RungModel, 8, ids(19, 20)},
		{RungShorter, 4, ids(19, 20)},
		{RungItem, 1, ids(19, 20)}, // the neighbours of 18 are 17 and 19; 17 is seen
		{RungPopular, 0, ids(0, 1)},
	} {
		t.Run(c.rung, func(t *testing.T) {
			s := start(t, Config{}, nil, newRing(50))
			force(s, c.rung)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			req := Request{History: history, K: 2, Explain: true}
			a, err := s.Predict(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if a.Rung != c.rung || a.History.Used != c.used || (a.Degraded != nil) != (c.rung != RungModel) {
				t.Errorf("rung %q, %d used, degraded %v", a.Rung, a.History.Used, a.Degraded)
			}
			if diff := cmp.Diff(c.want, answered(a)); diff != "" {
				t.Error(diff)
			}
			req.Strict = true
			if _, err = s.Predict(ctx, req); (err != nil) != (c.rung != RungModel) || err != nil && !errors.Is(err, ErrDeadline) {
				t.Errorf("strict: %v", err)
			}
			if a, err = s.Predict(t.Context(), req); err != nil || a.Rung != RungModel {
				t.Errorf("without a deadline: rung %q, %v", a.Rung, err)
			}
		})
	}
}

func TestSimilar(t *testing.T) {
	for _, c := range []struct {
		name    string
		vectors bool
		items   []event.ItemID
		want    []event.ItemID
		unknown int
	}{
		{"by angle", true, ids(5), ids(4, 6), 0},
		{"of a set", true, ids(5, 7), ids(6, 4), 0},
		{"by the model's own order", false, ids(5), ids(6, 7), 0},
		{"one unknown", true, ids(5, 70), ids(4, 6), 1},
		{"all unknown", true, ids(70), nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRing(10)
			for i := range 10 { // equal steps around the circle's quarter
				m.table[2*i], m.table[2*i+1] = cosDeg(9*i), sinDeg(9*i)
			}
			if !c.vectors {
				m.table = nil
			}
			s := start(t, Config{}, nil, m)
			a, err := s.Similar(t.Context(), c.items, 2)
			if err != nil {
				t.Fatal(err)
			}
			got := answered(a)
			if c.vectors && len(got) == 2 && len(c.items) == 1 { // 4 and 6 are equally near up to rounding
				slices.Sort(got)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if a.History.Unknown != c.unknown || a.Rung != RungSimilar {
				t.Errorf("history %+v, rung %q", a.History, a.Rung)
			}
		})
	}
	s := start(t, Config{}, nil, newRing(10))
	if _, err := s.Similar(t.Context(), nil, -1); !errors.Is(err, ErrInvalid) {
		t.Errorf("no items: %v", err)
	}
}

func TestCatalogue(t *testing.T) {
	store := newMemStore()
	s := start(t, Config{}, store, newRing(10))
	put := CatalogItem{ID: id(4), Title: "Four", Categories: []string{"square"}, Attributes: map[string]any{"even": true}}
	if err := s.PutItems(t.Context(), []CatalogItem{put, {ID: "beyond the model", Title: "New"}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.GetItem(t.Context(), id(4))
	if err != nil || got.Updated == 0 || got.Title != "Four" {
		t.Errorf("%+v, %v", got, err)
	}
	if a := predict(t, s, Request{History: bare(3), K: 1}); a.Items[0].Title != "Four" {
		t.Errorf("answered title %q", a.Items[0].Title)
	}
	if found, _ := s.FindItems(t.Context(), "FOU", 5); len(found) != 1 || found[0].ID != id(4) {
		t.Errorf("found %+v", found)
	}
	if found, _ := s.FindItems(t.Context(), "", 3); len(found) != 3 || found[0].ID != id(0) {
		t.Errorf("found %+v, want the most popular", found)
	}
	if err := s.DeleteItem(t.Context(), id(4)); err != nil {
		t.Fatal(err)
	}
	if a := predict(t, s, Request{History: bare(3), K: 1}); a.Items[0].Title != "Title 4" {
		t.Errorf("title %q after delete, want the published one", a.Items[0].Title)
	}
	if got, err := s.GetItem(t.Context(), id(4)); err != nil || got.Title != "Title 4" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, missing := range []event.ItemID{id(4), "beyond"} {
		if err := s.DeleteItem(t.Context(), missing); !errors.Is(err, ErrNotFound) {
			t.Errorf("delete %s: %v", missing, err)
		}
	}
	if _, err := s.GetItem(t.Context(), "beyond"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

func cosDeg(d int) float32 { return float32(math.Cos(float64(d) * math.Pi / 180)) }
func sinDeg(d int) float32 { return float32(math.Sin(float64(d) * math.Pi / 180)) }
