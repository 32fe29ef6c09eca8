package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/safetensors"
)

// small has 5 items with 3, 4, 2, 1 and 0 events.
func small() *features.Split {
	return &features.Split{
		Items: 5,
		Train: [][]int32{
			{0, 1, 2},    // newest session at 30
			{0, 1, 0, 1}, // at 20
			{2, 3, 1},    // at 40
			{},
		},
		TrainTimes: [][]int64{{10, 20, 30}, {5, 10, 15, 20}, {20, 30, 40}, {}},
	}
}

func fit(t testing.TB, kind Kind, s *features.Split, opt Options) *Model {
	t.Helper()
	m, err := Fit(kind, s, opt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func scores(m *Model, history ...int32) []float32 {
	dst := make([]float32, m.Items())
	m.NewRanker().Score(dst, []features.Query{{History: history}})
	return dst
}

// log is the inverse document frequency of an item in h of n sessions.
func log(n, h float64) float64 { return math.Log(n / h) }

func TestScoresByHand(t *testing.T) {
	// Popularity ranks: item 1 (4), 0 (3), 2 (2), 3 (1), 4 (0); the backoff is
	// 5/6 for the first, then 4/6 and so on.
	rest := []float64{4. / 6, 5. / 6, 3. / 6, 2. / 6, 1. / 6}
	tests := []struct {
		name    string
		kind    Kind
		opt     Options
		history []int32
		want    []float64
	}{
		{"popularity", Popularity, Options{}, []int32{0, 4}, []float64{3, 4, 2, 1, 0}},
		{"transition", Transition, Options{}, []int32{3, 0}, []float64{rest[0], 3 + rest[1], rest[2], rest[3], rest[4]}},
		{"transition of two", Transition, Options{}, []int32{1}, []float64{1 + rest[0], rest[1], 1 + rest[2], rest[3], rest[4]}},
		{"transition of the unseen", Transition, Options{}, []int32{0, 4}, rest},
		{"transition of nothing", Transition, Options{}, nil, rest},
		{"kNN of nothing", VMISKNN, Options{}, nil, rest},
		{"kNN of the unseen", VMISKNN, Options{}, []int32{4}, rest},
		// Of 3 sessions item 0 is in 2, item 1 in 3, item 2 in 2, item 3 in 1.
		// The session {2 3 1} shares 3, the last of the history: r = 2/2, and
		// its vote 0.9. {0 1 2} and {0 1} share 0, one further back: r = 1/2 and
		// vote 0.8 each. Item 1, being everywhere, is worth log 1 = 0.
		{"kNN", VMISKNN, Options{}, []int32{0, 3}, []float64{
			1 + 2*0.5*0.8*log(3, 2), rest[1], 1 + (0.9+0.5*0.8)*log(3, 2), 1 + 0.9*log(3, 1), rest[4],
		}},
		// With one neighbour only the most similar votes.
		{"kNN, k 1", VMISKNN, Options{Neighbours: 1}, []int32{0, 3}, []float64{
			rest[0], rest[1], 1 + 0.9*log(3, 2), 1 + 0.9*log(3, 1), rest[4],
		}},
		// Sessions are sampled before they are compared: the newest that shares
		// anything is {2 3 1}.
		{"kNN, m 1", VMISKNN, Options{Sample: 1}, []int32{2, 0, 0}, []float64{
			rest[0], rest[1], 1 + 0.5*0.7*log(3, 2), 1 + 0.5*0.7*log(3, 1), rest[4],
		}},
		// Only the newest item is looked up.
		{"kNN, L 1", VMISKNN, Options{MaxLength: 1}, []int32{0, 3}, []float64{
			rest[0], rest[1], 1 + 0.9*log(3, 2), 1 + 0.9*log(3, 1), rest[4],
		}},
		// Cut in twos there are 6 sessions, newest first {3 1} {1 2} {0 1} {2}
		// {0 1} {0}: item 0 is in 3, item 1 in 4. Times are 40 30 20 20 10 10.
		{"kNN, S 2", VMISKNN, Options{SessionLength: 2}, []int32{3}, []float64{
			rest[0], 1 + 0.9*log(6, 4), rest[2], 1 + 0.9*log(6, 1), rest[4],
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := scores(fit(t, tt.kind, small(), tt.opt), tt.history...)
			want := make([]float32, len(tt.want))
			for i, w := range tt.want {
				want[i] = float32(w)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Matches more than nine places back carry no weight.
func TestKNNForgetsOldMatches(t *testing.T) {
	s := &features.Split{Items: 14, Train: [][]int32{{0, 12}, {13}}}
	m := fit(t, VMISKNN, s, Options{MaxLength: 20})
	for back, want := range map[int]float64{1: 0.9, 5: 0.5, 9: 0.1, 10: 0, 11: 0} {
		history := []int32{0}
		for i := 1; i < back; i++ {
			history = append(history, int32(i))
		}
		w := want * log(2, 1) / float64(back) // r: the oldest of back different items
		if want > 0 {
			w++
		} else {
			w = 14. / 15
			if got := scores(m, history...)[0]; got != float32(w) {
				t.Errorf("%d back: score %v of the shared item, want its backoff %v", back, got, float32(w))
			}
			continue
		}
		if got := scores(m, history...)[12]; math.Abs(float64(got)-w) > 1e-6 {
			t.Errorf("%d back: score %v, want %v", back, got, w)
		}
	}
}

func TestCutSessions(t *testing.T) {
	type cut struct {
		items []int32
		at    int64
	}
	untimed := small()
	untimed.TrainTimes = nil
	tests := []struct {
		name    string
		split   *features.Split
		longest int
		want    []cut
	}{
		{"whole", small(), 0, []cut{{[]int32{2, 3, 1}, 40}, {[]int32{0, 1, 2}, 30}, {[]int32{0, 1, 0, 1}, 20}}},
		{"twos", small(), 2, []cut{
			{[]int32{3, 1}, 40}, {[]int32{1, 2}, 30}, {[]int32{2}, 20}, {[]int32{0, 1}, 20}, {[]int32{0, 1}, 10}, {[]int32{0}, 10},
		}},
		{"not cut", small(), Whole, []cut{{[]int32{2, 3, 1}, 40}, {[]int32{0, 1, 2}, 30}, {[]int32{0, 1, 0, 1}, 20}}},
		{"no times", untimed, 3, []cut{
			{[]int32{2, 3, 1}, 0}, {[]int32{1, 0, 1}, 0}, {[]int32{0}, 0}, {[]int32{0, 1, 2}, 0},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []cut
			for _, s := range cutSessions(tt.split, tt.longest) {
				got = append(got, cut(s))
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(cut{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// world is a larger split on which every kind is checked alike.
func world() *features.Split {
	d, _ := features.World(1, features.WorldOptions{Users: 300, Items: 120, MaxLength: 30})
	return features.LeaveOneOut(d)
}

// queries of all shapes; 120 items.
func queries(s *features.Split) []features.Query {
	qs := []features.Query{{K: 5}, {History: []int32{7}, K: 0}, {History: []int32{7, 7, 7}, K: 1000}}
	for i, c := range s.Test[:20] {
		blocked := make([]uint64, 2)
		for _, item := range c.Input {
			blocked[item/64] |= 1 << (item % 64)
		}
		q := features.Query{History: c.Input, Blocked: blocked, K: 1 + i}
		if i%3 == 0 {
			q.Candidates = []int32{c.Target, 3, c.Input[0], 119}
		}
		qs = append(qs, q)
	}
	return qs
}

func TestRankAgreesWithScore(t *testing.T) {
	s := world()
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			r := fit(t, kind, s, Options{}).NewRanker()
			qs := queries(s)
			got := make([][]kernel.Scored, len(qs))
			r.Rank(got, qs)
			all := make([]float32, len(qs)*s.Items)
			r.Score(all, qs)
			for i, q := range qs {
				want := bestOf(all[i*s.Items:(i+1)*s.Items], q)
				if diff := cmp.Diff(want, got[i], cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("query %d: %s", i, diff)
				}
			}
		})
	}
}

func TestCandidatesNamedTwiceAreRankedOnce(t *testing.T) {
	for _, kind := range Kinds() {
		r := fit(t, kind, small(), Options{}).NewRanker()
		got := make([][]kernel.Scored, 2) // the second query must not remember the first
		r.Rank(got, []features.Query{{History: []int32{0}, K: 3, Candidates: []int32{2, 2, 1}}, {History: []int32{0}, K: 3, Candidates: []int32{2, 1, 1}}})
		for _, list := range got {
			var items []int32
			for _, s := range list {
				items = append(items, s.Item)
			}
			if slices.Sort(items); !slices.Equal(items, []int32{1, 2}) {
				t.Errorf("%s: candidates 2, 2, 1 are ranked as %v", kind, list)
			}
		}
	}
}

// bestOf is the plain form of ranking: pick the best K times.
func bestOf(row []float32, q features.Query) []kernel.Scored {
	allowed := map[int32]bool{}
	for i := range row {
		allowed[int32(i)] = q.Candidates == nil
	}
	for _, c := range q.Candidates {
		allowed[c] = true
	}
	var out []kernel.Scored
	for len(out) < q.K {
		best := int32(-1)
		for i := range int32(len(row)) {
			blocked := q.Blocked != nil && q.Blocked[i/64]>>(i%64)&1 == 1
			if allowed[i] && !blocked && (best < 0 || row[i] > row[best]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		allowed[best] = false
		out = append(out, kernel.Scored{Item: best, Score: row[best]})
	}
	return out
}

func TestRankersAllocateNothingWarm(t *testing.T) {
	s := world()
	for _, kind := range Kinds() {
		r := fit(t, kind, s, Options{}).NewRanker()
		qs := queries(s)
		dst := make([][]kernel.Scored, len(qs))
		r.Rank(dst, qs)
		if n := testing.AllocsPerRun(5, func() { r.Rank(dst, qs) }); n != 0 {
			t.Errorf("%s: %v allocations", kind, n)
		}
	}
}

// What a ranker answered before must not change what it answers next.
func TestQueriesDoNotInfluenceEachOther(t *testing.T) {
	s := world()
	for _, kind := range Kinds() {
		m := fit(t, kind, s, Options{})
		used := m.NewRanker()
		row, fresh := make([]float32, s.Items), make([]float32, s.Items)
		for _, c := range s.Test[:30] {
			q := []features.Query{{History: c.Input}}
			used.Score(row, q)
			m.NewRanker().Score(fresh, q)
			if !cmp.Equal(row, fresh) {
				t.Fatalf("%s: a used ranker and a new one differ on %v", kind, c.Input)
			}
		}
	}
}

func hitRate(t *testing.T, m *Model, s *features.Split) float64 {
	t.Helper()
	r, hits := m.NewRanker(), 0
	dst := make([][]kernel.Scored, 1)
	for _, c := range s.Test {
		r.Rank(dst, []features.Query{{History: c.Input, K: 10}})
		for _, got := range dst[0] {
			if got.Item == c.Target {
				hits++
			}
		}
	}
	return float64(hits) / float64(len(s.Test))
}

// In a world where the last item tells much, and the ones before it more, the
// baselines come in this order.
func TestBaselinesLearnTheWorld(t *testing.T) {
	s := world()
	pop := hitRate(t, fit(t, Popularity, s, Options{}), s)
	knn := hitRate(t, fit(t, VMISKNN, s, Options{}), s)
	next := hitRate(t, fit(t, Transition, s, Options{}), s)
	t.Logf("HR@10: popularity %.3f, VMIS-kNN %.3f, transition %.3f", pop, knn, next)
	if knn < pop+0.1 || next < pop+0.1 {
		t.Errorf("HR@10: popularity %.3f, VMIS-kNN %.3f, transition %.3f", pop, knn, next)
	}
}

func save(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSaveLoadScoresAlike(t *testing.T) {
	s := world()
	for _, kind := range Kinds() {
		m := fit(t, kind, s, Options{SessionLength: 10, Sample: 50})
		data := save(t, m)
		got, err := Load(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if got.Describe() != m.Describe() || got.Items() != m.Items() || got.Kind() != kind || got.Window() != m.Window() {
			t.Errorf("loaded %s with %d items, saved %s with %d", got.Describe(), got.Items(), m.Describe(), m.Items())
		}
		for _, c := range s.Test {
			if !cmp.Equal(scores(got, c.Input...), scores(m, c.Input...)) {
				t.Fatalf("%s: scores differ after %v", kind, c.Input)
			}
		}
		if !bytes.Equal(data, save(t, got)) {
			t.Errorf("%s: saved again the file differs", kind)
		}
	}
}

func vec(name string, data ...float32) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: []int{len(data)}, Data: data}
}

func TestLoadRefuses(t *testing.T) {
	counts := vec("counts", 3, 1, 0)
	length, items, count := vec("next.length", 1, 0, 1), vec("next.item", 2, 0), vec("next.count", 5, 1)
	nan := float32(math.NaN())
	const pop, next, knn = `{"kind":"popularity"}`, `{"kind":"transition"}`, `{"kind":"vmis-knn"}`
	tests := []struct {
		name    string
		meta    string
		tensors []safetensors.Tensor
	}{
		{"metadata is not JSON", `kind`, []safetensors.Tensor{counts}},
		{"unknown kind", `{"kind":"oracle"}`, []safetensors.Tensor{counts}},
		{"no counts", pop, nil},
		{"no items", pop, []safetensors.Tensor{vec("counts")}},
		{"counts in two dimensions", pop, []safetensors.Tensor{{Name: "counts", Shape: []int{1, 2}, Data: []float32{1, 2}}}},
		{"negative count", pop, []safetensors.Tensor{vec("counts", -1)}},
		{"count not a number", pop, []safetensors.Tensor{vec("counts", nan)}},
		{"count infinite", pop, []safetensors.Tensor{vec("counts", float32(math.Inf(1)))}},
		{"count with a fraction", pop, []safetensors.Tensor{vec("counts", 1.5)}},
		{"no followers", next, []safetensors.Tensor{counts}},
		{"rows short", next, []safetensors.Tensor{counts, vec("next.length", 1, 1), items, count}},
		{"lengths do not add up", next, []safetensors.Tensor{counts, vec("next.length", 1, 1, 1), items, count}},
		{"follower out of range", next, []safetensors.Tensor{counts, length, vec("next.item", 2, 3), count}},
		{"follower counts short", next, []safetensors.Tensor{counts, length, items, vec("next.count", 5)}},
		{"no sessions", knn, []safetensors.Tensor{counts}},
		{"session item twice", knn, []safetensors.Tensor{counts, vec("session.length", 2), vec("session.item", 1, 1)}},
		{"session too long", knn, []safetensors.Tensor{counts, vec("session.length", 3), vec("session.item", 1, 0)}},
		{"options out of range", `{"kind":"vmis-knn","options":{"m":-4}}`, []safetensors.Tensor{counts, vec("session.length"), vec("session.item")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := safetensors.Write(&b, tt.tensors, map[string]string{MetadataKey: tt.meta}); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(bytes.NewReader(b.Bytes()), int64(b.Len())); err == nil {
				t.Error("loaded")
			}
		})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, []safetensors.Tensor{counts}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(bytes.NewReader(b.Bytes()), int64(b.Len())); !errors.Is(err, ErrNotBaseline) {
		t.Errorf("without metadata: %v, want ErrNotBaseline", err)
	}
}

func TestFitRefuses(t *testing.T) {
	for _, tt := range []struct {
		kind  Kind
		split *features.Split
		opt   Options
	}{
		{"oracle", small(), Options{}},
		{Popularity, &features.Split{}, Options{}},
		{VMISKNN, small(), Options{Neighbours: -1}},
		{VMISKNN, small(), Options{MaxLength: 1 << 20}},
	} {
		if _, err := Fit(tt.kind, tt.split, tt.opt); err == nil {
			t.Errorf("%s %+v: no error", tt.kind, tt.opt)
		}
	}
}

func TestDescribe(t *testing.T) {
	got := fmt.Sprint(fit(t, Popularity, small(), Options{}).Describe(), ", ",
		fit(t, VMISKNN, small(), Options{SessionLength: 8}).Describe())
	if want := "popularity, vmis-knn m5000 k100 L5 S8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever is loaded must rank without panicking.
func FuzzLoad(f *testing.F) {
	for _, kind := range Kinds() {
		f.Add(save(f, fit(f, kind, small(), Options{})))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Load(bytes.NewReader(data), int64(len(data)))
		if err != nil || m.Items() > 1000 {
			return
		}
		last := int32(m.Items() - 1)
		dst := make([][]kernel.Scored, 1)
		m.NewRanker().Rank(dst, []features.Query{{History: []int32{0, last, last}, K: 3}})
	})
}
