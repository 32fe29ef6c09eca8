package kernel

import (
	"math/bits"
	"slices"
)

// selectBest moves the k highest of the ranks, which are all different, to the
// front and the lowest of those to place k-1. 1 <= k <= len(list).
func selectBest(list []uint64, k int) {
	for tries := 2 * bits.Len(uint(len(list))); len(list) > 16 && tries > 0; tries-- {
		switch place := partition(list); {
		case place == k-1:
			return
		case place > k-1:
			list = list[:place]
		default:
			list, k = list[place+1:], k-place-1
		}
	}
	slices.Sort(list)
	slices.Reverse(list)
}

// partition moves the ranks above some pivot before it and returns its place.
func partition(list []uint64) int {
	a, b, c := list[0], list[len(list)/2], list[len(list)-1]
	switch middle := max(min(a, b), min(max(a, b), c)); middle {
	case b:
		list[0], list[len(list)/2] = b, a
	case c:
		list[0], list[len(list)-1] = c, a
	}
	pivot, place := list[0], 1
	for i := 1; i < len(list); i++ {
		v := list[i]
		list[i] = list[place]
		list[place] = v
		next := place + 1
		if v > pivot { // a conditional move: half of these could not be foreseen
			place = next
		}
	}
	place--
	list[0], list[place] = list[place], pivot
	return place
}

// sortBest writes the best of the list to dst, best first, and returns how many.
// The list is left in another order.
func sortBest(dst []Scored, list []uint64) int {
	k := min(len(dst), len(list))
	if k == 0 {
		return 0
	}
	selectBest(list, k)
	list = list[:k]
	slices.Sort(list)
	for i, rank := range list {
		dst[k-1-i] = Scored{nameOf(rank), scoreOf(rank)}
	}
	return k
}
