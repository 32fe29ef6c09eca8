package eval

import (
	"math"
	"math/bits"
)

// Cutoffs are the list lengths at which metrics are reported.
var cutoffs = [...]int{1, 5, 10, 20, 50}

// deepest is the longest cutoff: ranks beyond it only count in the overall MRR.
const deepest = 50

// Interval is a mean over cases with the bounds of its bootstrap interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Cutoff holds the metrics of lists of length K. With one right answer a case:
// HR is the share of cases whose rank is at most K (recall@K is the same),
// NDCG the mean of 1/log2(rank+1) and MRR the mean of 1/rank, both 0 beyond K.
type Cutoff struct {
	K    int      `json:"k"`
	HR   Interval `json:"hr"`
	NDCG Interval `json:"ndcg"`
	MRR  Interval `json:"mrr"`
}

// tally is what any sample of cases needs for all metrics: how often each rank
// to the deepest cutoff occurred, and the sum of 1/rank over all ranks.
type tally struct {
	cases      int
	counts     [deepest + 1]int // by rank; 0 counts nothing
	reciprocal float64
}

// add counts one case. Rank 0 is a miss: the model does not know the target.
func (t *tally) add(rank int32) {
	t.cases++
	if rank <= 0 {
		return
	}
	t.reciprocal += 1 / float64(rank)
	if rank <= deepest {
		t.counts[rank]++
	}
}

// values gives the metrics of a tally in the order of metricNames.
func (t *tally) values(dst []float64) []float64 {
	dst = dst[:0]
	n := float64(max(t.cases, 1))
	var hits int
	var gain, reciprocal float64
	next := 1
	for _, k := range cutoffs {
		for ; next <= k; next++ {
			c := t.counts[next]
			hits += c
			gain += float64(c) * discount(next)
			reciprocal += float64(c) / float64(next)
		}
		dst = append(dst, float64(hits)/n, gain/n, reciprocal/n)
	}
	return append(dst, t.reciprocal/n)
}

// discount is the gain of a hit at rank r: 1/log2(r+1).
func discount(r int) float64 { return discounts[r] }

var discounts = func() (d [deepest + 1]float64) {
	for r := 1; r <= deepest; r++ {
		d[r] = 1 / math.Log2(float64(r+1))
	}
	return d
}()

// metricCount is the length of the slice that tally.values gives: three
// metrics a cutoff and the overall MRR.
const metricCount = 3*len(cutoffs) + 1

// assemble turns a flat list of intervals (tally.values' order) into cutoffs.
func assemble(flat []Interval) (at []Cutoff, mrr Interval) {
	for i, k := range cutoffs {
		at = append(at, Cutoff{K: k, HR: flat[3*i], NDCG: flat[3*i+1], MRR: flat[3*i+2]})
	}
	return at, flat[3*len(cutoffs)]
}

func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(max(len(x), 1))
}

func countBits(words []uint64) (n int) {
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}
