package attention

import (
	"fmt"
	"math"

	"seqrec/internal/kernel"
)

// Buckets is the whole state of SDIM (arXiv 2205.10249): running sums of event
// vectors by signature, one table for each group of signs. An event and a target
// cost O(bits*width) however long the history is; nothing is searched.
//
// Any number of goroutines may call Attend while none calls Add.
type Buckets struct {
	signs  *Signs
	tau    int // signs in a signature
	groups int
	width  int
	events int
	sums   []float32 // [groups][1<<tau][width]
	code   []uint64
}

// NewBuckets makes empty tables for vectors of width values. tau signs, 1 to 16,
// make one signature, and must divide the bits of signs.
func NewBuckets(signs *Signs, tau, width int) (*Buckets, error) {
	if tau < 1 || tau > 16 || signs.bits%tau != 0 || width < 1 {
		return nil, fmt.Errorf("make buckets: signatures of %d of %d signs for width %d, want 1 to 16 that divide them and a positive width", tau, signs.bits, width)
	}
	groups := signs.bits / tau
	return &Buckets{
		signs: signs, tau: tau, groups: groups, width: width,
		sums: make([]float32, groups<<tau*width), code: make([]uint64, signs.Words()),
	}, nil
}

// Add takes in one event: key is hashed, value is summed. In the paper they are the
// same vector. An event with a NaN or an infinity in either is left out, since its
// bucket would never be rid of it.
func (b *Buckets) Add(key, value []float32) {
	if len(value) != b.width {
		panic("attention: value of another width")
	}
	if !finite(key) || !finite(value) {
		return
	}
	b.signs.Code(b.code, key)
	for g := range b.groups {
		bucket := b.bucket(g, b.code)
		kernel.Axpy(bucket, 1, value)
	}
	b.events++
}

// Attend writes what the target finds to dst: the mean over groups of the sum of
// the values whose keys have the target's signature, scaled to length 1. An empty
// bucket counts as zeros, like one whose sum is zero or beyond float32.
//
//	dst = 1/groups Σg sum(g)/|sum(g)|
func (b *Buckets) Attend(dst, target []float32) {
	if len(dst) != b.width {
		panic("attention: value of another width")
	}
	var room [MaxBits / 64]uint64
	code := room[:b.signs.Words()]
	b.signs.Code(code, target)
	clear(dst)
	for g := range b.groups {
		bucket, square := b.bucket(g, code), 0.0
		for _, v := range bucket {
			square += float64(v) * float64(v)
		}
		if square == 0 || math.IsInf(square, 1) || square != square {
			continue
		}
		factor := 1 / (math.Sqrt(square) * float64(b.groups))
		for p, v := range bucket {
			dst[p] += float32(factor * float64(v)) // in float64, lest a tiny sum's factor overflow
		}
	}
}

// Events returns how many events were taken in.
func (b *Buckets) Events() int { return b.events }

// Bytes returns how much memory the tables take.
func (b *Buckets) Bytes() int { return 4*cap(b.sums) + 8*cap(b.code) }

// bucket returns the running sum of group g that a code names.
func (b *Buckets) bucket(g int, code []uint64) []float32 {
	signature := 0
	for i := range b.tau {
		at := g*b.tau + i
		signature |= int(code[at/64]>>(at%64)&1) << i
	}
	return b.sums[(g<<b.tau+signature)*b.width:][:b.width]
}

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 { // NaN for NaN and for an infinity
			return false
		}
	}
	return true
}
