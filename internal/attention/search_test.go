package attention

import (
	"slices"
	"testing"
)

// hitsOf are the hits of all queries.
func hitsOf(s *Searcher, queries int) (all [][]Hit) {
	for i := range queries {
		all = append(all, slices.Clone(s.Hits(i)))
	}
	return all
}

func TestSearchSmall(t *testing.T) {
	h := NewHistory(2, F32)
	table := [][]float32{{1, 0}, {0, 1}, {-1, 0}}
	h.Append([]int32{0, 1, -1, 2, 0}, func(dst []float32, item int32) { copy(dst, table[item]) })
	var s Searcher
	s.Search(h, []float32{2, 1, 0, 0}, []float32{0, 0, 0, 0, 1}, 3)
	want := [][]Hit{{{4, 3}, {0, 2}, {1, 1}}, {{4, 1}, {3, 0}, {1, 0}}}
	if got := hitsOf(&s, 2); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("hits %v, want %v", got, want)
	}
}
