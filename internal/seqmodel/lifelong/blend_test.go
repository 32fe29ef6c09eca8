package lifelong_test

import (
	"math"
	"slices"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
)

func TestBlend(t *testing.T) {
	for name, c := range map[string]struct {
		retrieval, odds []float32
		weight          float64
		want            []float32
	}{
		"both":               {[]float32{1, 3}, []float32{-10, -30}, 0.5, []float32{-0.5, 0.5}},
		"retrieval alone":    {[]float32{2, 8}, []float32{5, 1}, 0, []float32{-1, 1}},
		"nothing to tell":    {[]float32{4, 4}, []float32{7, 9}, 2, []float32{-2, 2}},
		"second says nought": {[]float32{4, 6}, []float32{7, 7}, 2, []float32{-1, 1}},
		"one candidate":      {[]float32{4}, []float32{7}, 2, []float32{0}},
		"none":               {nil, nil, 1, nil},
	} {
		got := make([]float32, len(c.retrieval))
		lifelong.Blend(got, c.retrieval, c.odds, c.weight)
		if !slices.EqualFunc(got, c.want, func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-6 }) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
