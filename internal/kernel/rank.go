package kernel

import "math"

// Rank is a Scored as one number: the higher the better. Ranks of items that are
// not negative are in the order of TopK, and much quicker to sort. A score of -0
// counts as 0; NaN has no place in the order.
type Rank uint64

// Rank returns the rank of s.
func (s Scored) Rank() Rank { return Rank(orderOf(s.Score))<<32 | Rank(^uint32(s.Item)) }

// Scored returns what has the rank.
func (r Rank) Scored() Scored { return Scored{int32(^uint32(r)), floatOf(uint32(r >> 32))} }

// orderOf maps floats to whole numbers in the same order. -0 counts as 0.
func orderOf(v float32) uint32 {
	b := math.Float32bits(v + 0)
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// floatOf is the inverse of orderOf.
func floatOf(order uint32) float32 {
	return math.Float32frombits(order ^ (^uint32(int32(order)>>31) | 1<<31))
}
