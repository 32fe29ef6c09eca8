package eval

import (
	"fmt"
	"math"
)

// Presence measures from counts how much it tells about a target that a history
// has a behaviour of some code (a category, or an item) at some place: the ground
// truth that the search of DARE is held against (arXiv 2410.02604, after Zhou et
// al., WWW 2024).
//
// Over the rows whose target has code t, let Y be the label and X whether a
// behaviour of code c stands in place p of the history, counted from the newest.
// The relevance of such a behaviour for such a target is the mutual information
// of the two, in bits, of the observed frequencies,
//
//	I(t, c, p) = sum over x, y in {0, 1} of P(x, y) log2( P(x, y) / (P(x) P(y)) )
//
// without smoothing: it is 0 where X or Y never varies, and a rare pair can look
// more telling than it is, so count many rows. What makes a target less likely
// tells as much as what makes it likelier. Places may share a bucket, and X then
// is whether c occurs in the bucket at all: long histories need that, since a
// single place of them is seen too seldom.
//
// It takes about 40 bytes for each (t, c, bucket) that occurs.
type Presence struct {
	buckets []int32
	codes   int32
	targets []presenceCount
	pairs   map[[3]int32]presenceCount // by target code, behaviour code, bucket
	seen    map[[2]int32]bool          // scratch: what the row at hand has been counted for
}

// presenceCount counts rows, and those of them with a positive label.
type presenceCount struct{ rows, positives int32 }

// NewPresence counts behaviours and targets of codes 0 to codes-1. buckets gives
// the bucket of each place, 0 the newest; places past its end are not looked at.
// OwnBuckets and PowerBuckets make such lists.
func NewPresence(codes int, buckets []int32) (*Presence, error) {
	if codes < 1 || codes > math.MaxInt32 || len(buckets) == 0 {
		return nil, fmt.Errorf("presence of %d codes in %d places", codes, len(buckets))
	}
	p := &Presence{
		buckets: buckets, codes: int32(codes), targets: make([]presenceCount, codes),
		pairs: map[[3]int32]presenceCount{}, seen: map[[2]int32]bool{},
	}
	for i, b := range buckets {
		if b < 0 {
			return nil, fmt.Errorf("presence: place %d has bucket %d", i, b)
		}
	}
	return p, nil
}

// OwnBuckets gives each of n places a bucket of its own: the paper's measure.
func OwnBuckets(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// PowerBuckets puts n places into buckets of 1, 2, 4, 8, ... places, so that
// what is long past is told less finely apart.
func PowerBuckets(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(math.Ilogb(float64(i + 1)))
	}
	return out
}

// Add counts one row: the code of its target, the codes of its history, oldest
// first (-1 is none), and its label.
func (p *Presence) Add(target int32, history []int32, label bool) error {
	if err := p.check(target, history); err != nil {
		return fmt.Errorf("count presence: %w", err)
	}
	p.targets[target].add(label)
	clear(p.seen)
	for place := range min(len(history), len(p.buckets)) {
		code := history[len(history)-1-place]
		if at := [2]int32{code, p.buckets[place]}; code >= 0 && !p.seen[at] {
			p.seen[at] = true
			key := [3]int32{target, at[0], at[1]}
			c := p.pairs[key]
			c.add(label)
			p.pairs[key] = c
		}
	}
	return nil
}

func (c *presenceCount) add(label bool) {
	c.rows++
	if label {
		c.positives++
	}
}

// Relevance writes the relevance of each event of a history (codes, oldest
// first) for a target to dst, of the same length: what SelectionNDCG takes. An
// event past the places looked at has 0, as has one without a code.
func (p *Presence) Relevance(dst []float64, target int32, history []int32) error {
	if len(dst) != len(history) {
		panic("eval: presence: dst must be as long as the history")
	}
	if err := p.check(target, history); err != nil {
		return fmt.Errorf("relevance by presence: %w", err)
	}
	for i, code := range history {
		dst[i] = 0
		if place := len(history) - 1 - i; code >= 0 && place < len(p.buckets) {
			dst[i] = information(p.targets[target], p.pairs[[3]int32{target, code, p.buckets[place]}])
		}
	}
	return nil
}

func (p *Presence) check(target int32, history []int32) error {
	if target < 0 || target >= p.codes {
		return fmt.Errorf("target of code %d, want 0 to %d", target, p.codes-1)
	}
	for i, code := range history {
		if code < -1 || code >= p.codes {
			return fmt.Errorf("event %d of code %d, want -1 to %d", i, code, p.codes-1)
		}
	}
	return nil
}

// information is the mutual information, in bits, of the label and of being
// among the rows of part, which all count has counted too.
func information(all, part presenceCount) float64 {
	n := float64(all.rows)
	x := [2]float64{n - float64(part.rows), float64(part.rows)}
	y := [2]float64{n - float64(all.positives), float64(all.positives)}
	both := [2][2]float64{1: {x[1] - float64(part.positives), float64(part.positives)}}
	both[0] = [2]float64{y[0] - both[1][0], y[1] - both[1][1]}
	bits := 0.0
	for i := range both {
		for j, c := range both[i] {
			if c > 0 {
				bits += c / n * math.Log2(c*n/(x[i]*y[j]))
			}
		}
	}
	return max(bits, 0) // rounding can leave less than nothing of independence
}
