package seqmodel_test

import (
	"fmt"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel"
)

// BenchmarkRank is one request in process: encode a history and take the top
// 10 of 3,416 items that are not in it, on one core.
func BenchmarkRank(b *testing.B) {
	for _, length := range []int{50, 200} {
		b.Run(fmt.Sprintf("L%d", length), func(b *testing.B) {
			m, err := seqmodel.New(seqmodel.Config{Items: 3416, Length: length, OutputProjection: true}, 1)
			if err != nil {
				b.Fatal(err)
			}
			q := []features.Query{{History: make([]int32, length), Blocked: make([]uint64, (3416+63)/64), K: 10}}
			for i := range q[0].History {
				item := int32(i * 17 % 3416)
				q[0].History[i] = item
				q[0].Blocked[item>>6] |= 1 << (item & 63)
			}
			r := m.NewRanker()
			dst := make([][]kernel.Scored, 1)
			r.Rank(dst, q)
			b.ReportAllocs()
			for b.Loop() {
				r.Rank(dst, q)
			}
		})
	}
}

// BenchmarkStep is one optimiser step on a batch like MovieLens-1M's: 128
// histories of mean length 107, full cross-entropy over 3,416 items.
func BenchmarkStep(b *testing.B) {
	m, err := seqmodel.New(seqmodel.Config{Items: 3416, OutputProjection: true, Dropout: 0.2, AttentionDropout: 0.2}, 1)
	if err != nil {
		b.Fatal(err)
	}
	tr, err := seqmodel.NewTrainer(m, seqmodel.TrainConfig{})
	if err != nil {
		b.Fatal(err)
	}
	batch := features.Batch{Offsets: []int32{0}}
	for s := range 128 {
		n := 14 + s*186/127
		for i := range n {
			batch.Items = append(batch.Items, int32((s*31+i*17)%3416))
			batch.Targets = append(batch.Targets, int32((s*31+(i+1)*17)%3416))
		}
		batch.Offsets = append(batch.Offsets, int32(len(batch.Items)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Step(&batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch.Items)*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
