package features

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Negatives draws the items that a sampled loss compares a target with. What is
// drawn is a function of the seed, the step and the place in dst. One goroutine
// uses it at a time.
type Negatives struct {
	seed    uint64
	items   int
	weights []float64 // nil when uniform; else the probability of each item, and
	other   []int32   // the alias table of it: item i, when drawn, stands
	stay    []float64 // with probability stay[i], else other[i] is meant
	order   []int32   // scratch of Shared
	key     []float64 // scratch of Shared
	column  []int32   // scratch of Accidental: place in shared plus one
}

// NewUniformNegatives draws every one of n items alike. It panics when n < 1.
func NewUniformNegatives(n int, seed uint64) *Negatives {
	if n < 1 {
		panic("features: negatives: no items")
	}
	return &Negatives{seed: seed, items: n}
}

// NewPopularityNegatives draws item i in proportion to (counts[i]+1)^power. The
// one added keeps every item possible and so every log q finite. A power of 0
// is uniform, 1 the counts themselves; word2vec made 0.75 usual.
func NewPopularityNegatives(counts []int64, power float64, seed uint64) (*Negatives, error) {
	if len(counts) == 0 {
		return nil, errors.New("popularity negatives: no items")
	}
	if !(power >= 0 && power <= 4) {
		return nil, fmt.Errorf("popularity negatives: power %g is outside 0 to 4", power)
	}
	n := &Negatives{seed: seed, items: len(counts), weights: make([]float64, len(counts))}
	total := 0.0
	for i, c := range counts {
		if c < 0 {
			return nil, fmt.Errorf("popularity negatives: item %d has the count %d", i, c)
		}
		n.weights[i] = math.Pow(float64(c)+1, power)
		total += n.weights[i]
	}
	for i := range n.weights {
		n.weights[i] /= total
	}
	n.alias()
	return n, nil
}

// alias builds Walker's table by Vose's method (IEEE Transactions on Software
// Engineering 17(9), 1991): every draw is then two look-ups.
func (n *Negatives) alias() {
	n.other, n.stay = make([]int32, n.items), make([]float64, n.items)
	var small, large []int32
	for i, w := range n.weights {
		n.stay[i] = w * float64(n.items)
		if n.stay[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		n.other[s] = l
		n.stay[l] -= 1 - n.stay[s]
		if n.stay[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// What is left differs from 1 by rounding only.
	for _, i := range append(small, large...) {
		n.stay[i] = 1
	}
}

// Fill draws every dst[i] on its own, with replacement; a draw may hit the
// target it is meant to be compared with.
func (n *Negatives) Fill(dst []int32, step uint64) {
	for i := range dst {
		item := below(draw(n.seed, step, uint64(i), 'n'), n.items)
		if n.weights != nil && unit(draw(n.seed, step, uint64(i), 'a')) >= n.stay[item] {
			item = int(n.other[item])
		}
		dst[i] = int32(item)
	}
}

// Shared draws len(dst) different items, one list for a whole batch. It panics
// when there are not so many. Weighted draws take the largest of log weight
// plus Gumbel noise, which is drawing one after another without replacement
// (Efraimidis & Spirakis, Information Processing Letters 97, 2006).
func (n *Negatives) Shared(dst []int32, step uint64) {
	if len(dst) > n.items {
		panic(fmt.Sprintf("features: negatives: %d different of %d items", len(dst), n.items))
	}
	if n.order == nil {
		n.order = make([]int32, n.items)
	}
	for i := range n.order {
		n.order[i] = int32(i)
	}
	if n.weights == nil {
		for i := range dst {
			j := i + below(draw(n.seed, step, uint64(i), 's'), n.items-i)
			n.order[i], n.order[j] = n.order[j], n.order[i]
		}
		copy(dst, n.order)
		return
	}
	if n.key == nil {
		n.key = make([]float64, n.items)
	}
	for i, w := range n.weights {
		n.key[i] = math.Log(w) - math.Log(-math.Log(unit(draw(n.seed, step, uint64(i), 's'))))
	}
	slices.SortFunc(n.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(n.key[b], n.key[a]), cmp.Compare(a, b))
	})
	copy(dst, n.order)
}

// LogQ returns the log probability with which Fill draws each item: what the
// logQ correction takes off a logit (Yi et al., RecSys 2019).
func (n *Negatives) LogQ() []float32 {
	out := make([]float32, n.items)
	for i := range out {
		if n.weights == nil {
			out[i] = float32(-math.Log(float64(n.items)))
		} else {
			out[i] = float32(math.Log(n.weights[i]))
		}
	}
	return out
}

// Accidental finds the targets that a shared list hit: dst[t] becomes the place
// of targets[t] in shared, or -1. That one logit is to be masked. The items of
// shared must differ; targets may be -1.
func (n *Negatives) Accidental(dst, shared, targets []int32) {
	if len(dst) != len(targets) {
		panic("features: negatives: dst and targets differ in length")
	}
	if n.column == nil {
		n.column = make([]int32, n.items)
	}
	for j, item := range shared {
		n.column[item] = int32(j) + 1
	}
	for t, item := range targets {
		dst[t] = -1
		if item >= 0 {
			dst[t] = n.column[item] - 1
		}
	}
	for _, item := range shared {
		n.column[item] = 0
	}
}

// Counts returns how many training events each of n items has.
func Counts(train [][]int32, n int) []int64 {
	counts := make([]int64, n)
	for _, items := range train {
		for _, item := range items {
			counts[item]++
		}
	}
	return counts
}
