package seqmodel

import (
	"math"
	"slices"
	"testing"

	"seqrec/internal/features"
)

// lossBatch has one target a sequence, at its end, so that the scores behind
// each loss are those of the whole history.
var lossBatch = features.Batch{
	Items:   []int32{1, 4, 2, 6, 3, 0, 5, 5, 2, 1},
	Targets: []int32{-1, -1, -1, -1, 8, -1, 7, -1, -1, 3},
	Offsets: []int32{0, 5, 7, 10},
}

// TestLossValues holds the sampled losses, as the trainer runs them, against
// their formulas in float64 over the ranker's scores and the negatives drawn.
func TestLossValues(t *testing.T) {
	const items = 9
	counts := []int64{5, 1, 0, 30, 2, 2, 9, 4, 1}
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	binary := func(beta float64) func(s []float64, p int32, tr *Trainer, own []int32) float64 {
		return func(s []float64, p int32, _ *Trainer, own []int32) float64 {
			sum := beta * softplus(-s[p])
			for _, n := range own {
				sum += softplus(s[n])
			}
			return sum / float64(len(own)+1)
		}
	}
	sampled := func(s []float64, p int32, tr *Trainer, _ []int32) float64 {
		logit := slices.Clone(s)
		if tr.c.Loss.LogQ {
			for i, q := range tr.draw.draw.LogQ() {
				logit[i] -= float64(q)
			}
		}
		sum := math.Exp(logit[p])
		for _, n := range tr.draw.shared {
			if n != p {
				sum += math.Exp(logit[n])
			}
		}
		return math.Log(sum) - logit[p]
	}
	for name, c := range map[string]struct {
		loss Loss
		want func(s []float64, p int32, tr *Trainer, own []int32) float64
	}{
		"bce":                  {Loss{Kind: BinaryCrossEntropy, Negatives: 3}, binary(1)},
		"gbce":                 {Loss{Kind: Generalised, Negatives: 4, Calibration: new(0.75)}, binary(1 - 0.75*0.5)},
		"sampled":              {Loss{Kind: SampledCrossEntropy, Negatives: 5}, sampled},
		"sampled of all items": {Loss{Kind: SampledCrossEntropy, Negatives: 100}, sampled},
		"sampled with log q":   {Loss{Kind: SampledCrossEntropy, Negatives: 6, Popularity: 1, LogQ: true}, sampled},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := New(Config{Items: items, Width: 8, Length: 5, Blocks: 1, OutputBias: true}, 2)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := NewTrainer(m, TrainConfig{Loss: c.loss, Lanes: 1, Counts: counts})
			if err != nil {
				t.Fatal(err)
			}
			got := tr.gradients(&lossBatch)
			var want float64
			l := tr.lanes[0]
			k := len(l.negs.list) / len(l.targets)
			scores := make([]float32, items)
			for i, j := range l.source {
				b := slices.Index(lossBatch.Offsets, j+1) - 1
				m.NewRanker().Score(scores, []features.Query{{History: lossBatch.Items[lossBatch.Offsets[b] : j+1]}})
				want += c.want(widen(scores), lossBatch.Targets[j], tr, l.negs.list[i*k:(i+1)*k]) / float64(len(l.source))
			}
			if len(l.source) != 3 || !(math.Abs(got-want) <= 1e-5*want) {
				t.Errorf("loss of %d targets is %v, want %v", len(l.source), got, want)
			}
		})
	}
}

// TestNegativesDependOnThePlaceAlone: neither lanes nor chunks change what a
// target is held against, and another step does.
func TestNegativesDependOnThePlaceAlone(t *testing.T) {
	draws := func(lanes, chunk, step int) map[int32][]int32 {
		m, err := New(Config{Items: 1000, Width: 4, Length: 5, Blocks: 1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := NewTrainer(m, TrainConfig{Loss: Loss{Kind: Generalised, Negatives: 4}, Lanes: lanes, Chunk: chunk})
		if err != nil {
			t.Fatal(err)
		}
		tr.adam.Step = step
		tr.gradients(&lossBatch)
		got := map[int32][]int32{}
		for _, l := range tr.lanes {
			for i, j := range l.source { // of the lane's last chunk
				got[j] = l.negs.list[i*4 : (i+1)*4]
			}
		}
		return got
	}
	one, three, later := draws(1, 1000, 0), draws(3, 1, 0), draws(1, 1000, 1)
	if len(one) != 3 || len(three) != 3 {
		t.Fatalf("%d and %d targets, want 3", len(one), len(three))
	}
	for j, list := range one {
		if !slices.Equal(list, three[j]) {
			t.Errorf("place %d: %v with one lane, %v with three", j, list, three[j])
		}
		if slices.Equal(list, later[j]) {
			t.Errorf("place %d: the next step draws %v again", j, list)
		}
	}
}
