package lifelong_test

import (
	"runtime"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
)

// TestScoreInPasses: candidates that do not fit into one pass score as each alone
// does, and memory is that of a pass.
func TestScoreInPasses(t *testing.T) {
	m := make30(t, members()["din"], 3)
	h := randomHistory(4000, 1)
	many := make([]int32, 300)
	for i := range many {
		many[i] = int32(i % 30)
	}
	got, one := make([]float32, len(many)), make([]float32, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.NewScorer().Score(got, h, many, last(h))
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 64 {
		t.Errorf("%d MiB for %d pairs", used, len(many)*h.Len())
	}
	s := m.NewScorer()
	for _, i := range []int{0, 29, 30, 299} {
		s.Score(one, h, many[i:i+1], last(h))
		near(t, "alone", got[i:i+1], one, 1e-5)
	}
}

// BenchmarkScoreClusters is a question about so many candidates that it takes
// many passes; the clusters are those of all of them.
func BenchmarkScoreClusters(b *testing.B) {
	m := make30(b, lifelong.Config{Model: "twin-v2", Items: 3706, Categories: 19}, 1)
	h, candidates := longHistory(100_000, 3706, 1), make([]int32, 200)
	dst, s := make([]float32, len(candidates)), m.NewScorer()
	for b.Loop() {
		s.Score(dst, h, candidates, 0)
	}
}
