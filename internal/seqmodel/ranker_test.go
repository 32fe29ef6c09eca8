package seqmodel

import (
	"math"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// TestRankerMemoryIsBounded: however many queries arrive at once, one pass holds
// a bounded number of states, empty histories included.
func TestRankerMemoryIsBounded(t *testing.T) {
	m := tiny(t)
	r := newRanker(m)
	queries := make([]features.Query, 3*rankTokens+1)
	for i := range queries {
		if i%3 == 0 {
			queries[i].History = []int32{int32(i % 5), 1}
		}
		queries[i].K = 1
	}
	dst := make([][]kernel.Scored, len(queries))
	r.Rank(dst, queries)
	r.encode(queries, 0)
	if r.states.Rows > rankTokens {
		t.Errorf("%d states in one pass, want at most %d", r.states.Rows, rankTokens)
	}
	for i, list := range dst {
		if len(list) != 1 {
			t.Fatalf("query %d has %d answers", i, len(list))
		}
	}
}

// TestShortBitmapBlocksNothingBeyond: bits past the end of Blocked are clear,
// for candidates as for the catalogue.
func TestShortBitmapBlocksNothingBeyond(t *testing.T) {
	m, err := New(Config{Items: 130, Width: 4, Length: 3, Blocks: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	blocked := []uint64{1 << 5}
	dst := make([][]kernel.Scored, 2)
	m.NewRanker().Rank(dst, []features.Query{
		{History: []int32{1}, K: 200, Blocked: blocked},
		{History: []int32{1}, K: 200, Blocked: blocked, Candidates: []int32{5, 64, 129}},
	})
	if len(dst[0]) != 129 || len(dst[1]) != 2 {
		t.Errorf("%d of the catalogue and %d candidates, want 129 and 2", len(dst[0]), len(dst[1]))
	}
}

// TestEncodeGivesTheScoredState: the state times the table is the score.
func TestEncodeGivesTheScoredState(t *testing.T) {
	m := tiny(t)
	queries := []features.Query{{History: []int32{1, 4}}, {}, {History: []int32{0, 1, 2, 3, 4}}}
	table, d := m.ItemVectors()
	states, scores := make([]float32, len(queries)*d), make([]float32, len(queries)*m.Items())
	r := newRanker(m)
	r.Encode(states, queries)
	r.Score(scores, queries)
	for q := range queries {
		for i := range m.Items() {
			want := kernel.Dot(states[q*d:(q+1)*d], table[i*d:(i+1)*d])
			if got := scores[q*m.Items()+i]; math.Abs(float64(got-want)) > 1e-6 {
				t.Errorf("query %d, item %d: score %v, state times row %v", q, i, got, want)
			}
		}
	}
}

func TestCandidatesNamedTwiceAreRankedOnce(t *testing.T) {
	m, err := New(Config{Items: 9, Width: 4, Length: 5, Blocks: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]kernel.Scored, 1)
	m.NewRanker().Rank(got, []features.Query{{History: []int32{0}, K: 3, Candidates: []int32{2, 2, 1}}})
	if list := got[0]; len(list) != 2 || list[0].Item+list[1].Item != 3 || list[0].Item == list[1].Item {
		t.Errorf("candidates 2, 2, 1 are ranked as %v", list)
	}
}
