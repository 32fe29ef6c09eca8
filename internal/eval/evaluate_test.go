package eval

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// table is a ranker that looks the scores up by the first item of the history
// (row 0 for an empty one).
type table struct {
	rows [][]float32
}

func (r *table) Score(dst []float32, queries []features.Query) {
	n := len(r.rows[0])
	for q := range queries {
		row := 0
		if len(queries[q].History) > 0 {
			row = int(queries[q].History[0])
		}
		copy(dst[q*n:(q+1)*n], r.rows[row])
	}
}

func (r *table) Rank([][]kernel.Scored, []features.Query) { panic("not used") }

func factory(rows [][]float32) func() features.Ranker {
	return func() features.Ranker { return &table{rows: rows} }
}

func nan() float32 { return float32(math.NaN()) }

func TestRankWorkedByHand(t *testing.T) {
	inf := float32(math.Inf(1))
	tests := []struct {
		name    string
		scores  []float32
		history []int32
		target  int32
		want    int
	}{
		{"best", []float32{1, 5, 2}, nil, 1, 1},
		{"worst", []float32{1, 5, 2}, nil, 0, 3},
		{"tie goes to the lower item", []float32{3, 3, 3}, nil, 2, 3},
		{"tie, target is the lowest", []float32{3, 3, 3}, nil, 0, 1},
		{"history above is removed", []float32{9, 8, 7, 1}, []int32{0, 2}, 3, 2},
		{"history repeated counts once", []float32{9, 8, 7, 1}, []int32{0, 0, 0}, 3, 3},
		{"history tied below is removed", []float32{3, 3, 3}, []int32{0}, 2, 2},
		{"history tied above never counted", []float32{3, 3, 3}, []int32{2}, 1, 2},
		{"target in the history stays", []float32{9, 8, 7}, []int32{1, 0}, 1, 1},
		{"whole catalogue but the target is history", []float32{9, 8, 7}, []int32{0, 1}, 2, 1},
		{"minus infinity is a score", []float32{-inf, -inf, 0}, nil, 1, 3},
		{"plus infinity is a score", []float32{inf, inf, 0}, nil, 1, 2},
		{"negative zero ties with zero", []float32{0, float32(math.Copysign(0, -1))}, nil, 1, 2},
		{"one item", []float32{4}, nil, 0, 1},
		{"unknown target", []float32{4, 5}, nil, -1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMarks(len(tt.scores))
			m.fill(tt.history, tt.target)
			got, err := rank(tt.scores, tt.target, m)
			if err != nil || got != tt.want {
				t.Errorf("rank = %d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

func TestNotANumberIsAnErrorNamingTheCase(t *testing.T) {
	for name, c := range map[string]struct {
		scores []float32
		target int32
	}{
		"other item":     {[]float32{1, nan(), 2}, 2},
		"target":         {[]float32{1, nan(), 2}, 1},
		"only item":      {[]float32{nan()}, 0},
		"unknown target": {[]float32{1, nan()}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			cases := []features.Case{{User: 41, Target: 0}, {User: 42, Target: c.target}}
			cases[0].Target = c.target
			_, err := Evaluate(t.Context(), factory([][]float32{c.scores}), cases, len(c.scores), Options{Batch: 1, Workers: 1})
			if err == nil || !strings.Contains(err.Error(), "case 0 (user 41") || !strings.Contains(err.Error(), "not a number") {
				t.Errorf("error %v does not name the case", err)
			}
		})
	}
}

// rankBySorting is the definition read aloud: sort all candidates by
// descending score, then by item number, and look where the target is.
func rankBySorting(scores []float32, history []int32, target int32) int {
	var candidates []int32
	for j := range scores {
		if int32(j) == target || !slices.Contains(history, int32(j)) {
			candidates = append(candidates, int32(j))
		}
	}
	slices.SortFunc(candidates, func(a, b int32) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return int(a - b)
	})
	return 1 + slices.Index(candidates, target)
}

func FuzzRankEqualsSorting(f *testing.F) {
	f.Add(uint64(1), uint8(10), uint8(4))
	f.Add(uint64(2), uint8(1), uint8(1))
	f.Add(uint64(3), uint8(200), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, items, levels uint8) {
		if items == 0 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		scores := make([]float32, items)
		for i := range scores { // few levels make many ties
			scores[i] = float32(rng.IntN(int(levels)+1)) - 2
		}
		var history []int32
		for range rng.IntN(int(items) + 3) {
			history = append(history, int32(rng.IntN(int(items))))
		}
		target := int32(rng.IntN(int(items)))
		m := newMarks(int(items))
		m.fill(history, target)
		got, err := rank(scores, target, m)
		if want := rankBySorting(scores, history, target); err != nil || got != want {
			t.Fatalf("rank = %d, %v; sorting gives %d", got, err, want)
		}
	})
}

func TestMetricsWorkedByHand(t *testing.T) {
	// Ranks 1, 3, 12, 60 and one miss.
	scores := make([]float32, 100)
	for i := range scores {
		scores[i] = float32(100 - i) // rank of item i is i+1
	}
	var cases []features.Case
	for u, target := range []int32{0, 2, 11, 59, -1} {
		cases = append(cases, features.Case{User: u, Target: target})
	}
	r, err := Evaluate(t.Context(), factory([][]float32{scores}), cases, 100, Options{Batch: 2, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	log2 := math.Log2
	want := map[string]float64{
		"hr@1": 0.2, "ndcg@1": 0.2, "mrr@1": 0.2,
		"hr@5": 0.4, "ndcg@5": (1 + 0.5) / 5, "mrr@5": (1 + 1./3) / 5,
		"hr@10": 0.4, "ndcg@10": (1 + 0.5) / 5, "mrr@10": (1 + 1./3) / 5,
		"hr@20": 0.6, "ndcg@20": (1.5 + 1/log2(13)) / 5, "mrr@20": (1 + 1./3 + 1./12) / 5,
		"hr@50": 0.6, "ndcg@50": (1.5 + 1/log2(13)) / 5,
		"mrr": (1 + 1./3 + 1./12 + 1./60) / 5,
	}
	for name, w := range want {
		got, ok := r.Metric(name)
		if !ok || math.Abs(got.Mean-w) > 1e-12 {
			t.Errorf("%s = %v, want %v", name, got.Mean, w)
		}
	}
	if !slices.Equal(r.Ranks, []int32{1, 3, 12, 60, 0}) {
		t.Errorf("ranks %v", r.Ranks)
	}
	if r.Protocol.Unknown != 1 {
		t.Errorf("unknown targets %d, want 1", r.Protocol.Unknown)
	}
}

// TestOtherCatalogue holds that what only the model knows is not ranked, so that
// models of two catalogues answer the same questions.
func TestOtherCatalogue(t *testing.T) {
	rows := [][]float32{{9, 8, 7, 6, 5}}
	cases := []features.Case{{User: 0, Target: 2}, {User: 1, Target: 4}, {User: 2, Target: -1}}
	// Items 0 and 3 are the model's alone, and it lacks three of the catalogue.
	r, err := Evaluate(t.Context(), factory(rows), cases, 5, Options{Outside: []int32{0, 3}, Catalogue: 6})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{2, 3, 0}; !slices.Equal(r.Ranks, want) {
		t.Errorf("ranks %v, want %v", r.Ranks, want)
	}
	if r.Protocol.Items != 6 || r.Protocol.Unknown != 1 {
		t.Errorf("protocol %+v", r.Protocol)
	}
}

func TestCoveragePopularityNovelty(t *testing.T) {
	// Twelve items; the first user's history holds items 0 and 1, so its list is
	// items 2..11; the second, with no history, gets items 0..9.
	rows := [][]float32{make([]float32, 12)}
	for i := range rows[0] {
		rows[0][i] = float32(12 - i)
	}
	counts := []int64{40, 20, 10, 5, 5, 5, 5, 5, 5, 0, 0, 0}
	cases := []features.Case{
		{User: 0, Input: []int32{0, 1}, Target: 3},
		{User: 1, Target: 9},
	}
	r, err := Evaluate(t.Context(), factory(rows), cases, 12, Options{Counts: counts})
	if err != nil {
		t.Fatal(err)
	}
	if r.Coverage10 != 1 {
		t.Errorf("coverage %v, want 1", r.Coverage10)
	}
	if want := (4.0 + 10.0) / 2; math.Abs(r.Popularity10-want) > 1e-12 {
		t.Errorf("popularity %v, want %v", r.Popularity10, want)
	}
	bit := func(count float64) float64 { return -math.Log2((count + 1) / 112) }
	first := (bit(10) + 6*bit(5) + 3*bit(0)) / 10
	second := (bit(40) + bit(20) + bit(10) + 6*bit(5) + bit(0)) / 10
	if want := (first + second) / 2; math.Abs(r.Novelty10-want) > 1e-12 {
		t.Errorf("novelty %v, want %v", r.Novelty10, want)
	}
	if r.Protocol.Cold != 1 {
		t.Errorf("cold targets %d, want 1 (item 9)", r.Protocol.Cold)
	}
}

func TestBreakdowns(t *testing.T) {
	rows := [][]float32{{5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9}}
	cases := []features.Case{
		{User: 0, Target: 0},
		{User: 1, Target: 14},
		{User: 2, Input: []int32{0, 0, 0, 0, 0, 0}, Target: 1},
	}
	counts := make([]int64, 15)
	counts[0], counts[1] = 3, 3
	r, err := Evaluate(t.Context(), factory(rows), cases, 15, Options{Counts: counts})
	if err != nil {
		t.Fatal(err)
	}
	lengths := []Slice{{"0–4", 2, 0.5, 0.5}, {"5–9", 1, 1, 1}}
	if !slices.Equal(r.Lengths, lengths) {
		t.Errorf("lengths %v, want %v", r.Lengths, lengths)
	}
	targets := []Slice{{"0", 1, 0, 0}, {"1–4", 2, 1, 1}}
	if !slices.Equal(r.Targets, targets) {
		t.Errorf("targets %v, want %v", r.Targets, targets)
	}
}

// world makes n cases over items with random scores and histories.
func world(seed uint64, n, items int) ([][]float32, []features.Case) {
	rng := rand.New(rand.NewPCG(seed, 2))
	rows := make([][]float32, items)
	for i := range rows {
		rows[i] = make([]float32, items)
		for j := range rows[i] {
			rows[i][j] = float32(rng.IntN(40))
		}
	}
	var cases []features.Case
	for u := range n {
		c := features.Case{User: u, Target: int32(rng.IntN(items))}
		for range 1 + rng.IntN(8) {
			c.Input = append(c.Input, int32(rng.IntN(items)))
		}
		cases = append(cases, c)
	}
	return rows, cases
}

func TestWorkersAndBatchChangeNothing(t *testing.T) {
	rows, cases := world(1, 300, 70)
	counts := make([]int64, 70)
	for i := range counts {
		counts[i] = int64(i * i)
	}
	opt := Options{Counts: counts, Resamples: 50, Seed: 3, Workers: 1, Batch: 1}
	want, err := Evaluate(t.Context(), factory(rows), cases, 70, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Workers: 3, Batch: 7}, {Workers: 8, Batch: 64}, {Workers: 2, Batch: 1000}} {
		opt.Workers, opt.Batch = o.Workers, o.Batch
		got, err := Evaluate(t.Context(), factory(rows), cases, 70, opt)
		if err != nil {
			t.Fatal(err)
		}
		got.Seconds, want.Seconds = 0, 0
		if !slices.Equal(got.Ranks, want.Ranks) || !slices.Equal(got.flat(), want.flat()) ||
			got.Coverage10 != want.Coverage10 || got.Popularity10 != want.Popularity10 || got.Novelty10 != want.Novelty10 {
			t.Errorf("workers %d batch %d give another result", o.Workers, o.Batch)
		}
	}
}

func TestBadCasesAreNamed(t *testing.T) {
	rows := [][]float32{{1, 2, 3}}
	for name, c := range map[string]features.Case{
		"target too large":  {User: 7, Target: 3},
		"target negative":   {User: 7, Target: -2},
		"history too large": {User: 7, Input: []int32{3}},
		"history negative":  {User: 7, Input: []int32{-1}},
	} {
		_, err := Evaluate(t.Context(), factory(rows), []features.Case{c}, 3, Options{})
		if err == nil || !strings.Contains(err.Error(), "user 7") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Evaluate(t.Context(), factory(rows), nil, 3, Options{}); err == nil {
		t.Error("no cases gave no error")
	}
}

// TestPlacesCountForNothing: an event of an unknown item reaches the ranker, and
// changes no rank of its own and no length.
func TestPlacesCountForNothing(t *testing.T) {
	rows := [][]float32{{1, 2, 3}, {3, 2, 1}}
	var want *Result
	for _, history := range [][]int32{{1, 2}, {1, -1, 2, -1}} {
		r, err := Evaluate(t.Context(), factory(rows), []features.Case{{Input: history, Target: 0}}, 3, Options{Places: true, Counts: []int64{1, 1, 1}})
		if err != nil {
			t.Fatal(err)
		}
		r.Seconds = 0
		if want == nil {
			want = r
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("after %v: %s", history, diff)
		}
	}
	if _, err := Evaluate(t.Context(), factory(rows), []features.Case{{Input: []int32{-2}}}, 3, Options{Places: true}); err == nil {
		t.Error("item -2 is taken")
	}
}

func TestCancelStops(t *testing.T) {
	rows, cases := world(2, 50, 20)
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	_, err := Evaluate(ctx, factory(rows), cases, 20, Options{Workers: 1, Batch: 5, Progress: func(done, total int) {
		if calls++; done == 10 {
			stop()
		}
	}})
	if err != context.Canceled || calls != 2 {
		t.Errorf("error %v after %d calls, want canceled after 2", err, calls)
	}
}
