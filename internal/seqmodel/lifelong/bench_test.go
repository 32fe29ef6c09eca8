package lifelong_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
)

// catalogue is a config of the size of MovieLens-1M.
func catalogue(kind string) lifelong.Config {
	return lifelong.Config{Model: kind, Items: 3706, Categories: 19}
}

func longHistory(n, items int, seed uint64) lifelong.History {
	rng := rand.New(rand.NewPCG(seed, 2))
	h := lifelong.History{Items: make([]int32, n)}
	for i := range h.Items {
		h.Items[i] = int32(math.Pow(float64(items), rng.Float64())) - 1
	}
	return h
}

// BenchmarkStep is one step of training: 128 histories of 200 events with three
// candidates each.
func BenchmarkStep(b *testing.B) {
	for _, kind := range lifelong.Kinds() {
		b.Run(kind, func(b *testing.B) {
			m := make30(b, catalogue(kind), 1)
			tr, err := lifelong.NewTrainer(m, lifelong.TrainConfig{Workers: 1})
			if err != nil {
				b.Fatal(err)
			}
			batch := make([]lifelong.Example, 128)
			for i := range batch {
				batch[i] = lifelong.Example{History: longHistory(200, 3706, uint64(i)), Candidates: []int32{int32(i), 7, 9}}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Step(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScoreState is search, aggregation and head of 500 candidates over a
// history that the state remembers.
func BenchmarkScoreState(b *testing.B) {
	for _, kind := range []string{"dare", "eta", "sdim"} {
		for _, n := range []int{1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				c := catalogue(kind)
				c.Items, c.Categories, c.Select, c.Length = 100_000, 100, 100, 1000
				m := make30(b, c, 1)
				st := m.NewState()
				order := rand.New(rand.NewPCG(4, 2)).Perm(c.Items) // popular items lie anywhere
				h := longHistory(n, c.Items, 3)
				for i, item := range h.Items {
					h.Items[i] = int32(order[max(item, 0)])
				}
				st.Append(h)
				s := m.NewScorer()
				candidates, dst := make([]int32, 500), make([]float32, 500)
				for i := range candidates {
					candidates[i] = int32(order[i*7])
				}
				b.ReportAllocs()
				for b.Loop() {
					s.ScoreState(dst, st, candidates, 0)
				}
			})
		}
	}
}
