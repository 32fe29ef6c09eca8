package kernel

import (
	"math"
	"math/bits"
	"slices"
)

// shortlist is what passed the bar of one query, in the order of the entries. The
// memory of its scores ends at a multiple of PanelWidth.
type shortlist struct {
	scores []float32 // none is NaN
	names  []int32
}

// keepBest moves the k best entries, k < len(l.scores), to the front, in the order in
// which they are, and returns a score that they reach and no other exceeds.
//
// The bar is found by halving: counting how many of some hundreds reach a value is a
// few vectors' work, without a branch that cannot be foreseen.
func (s *Search) keepBest(l shortlist, k int) float32 {
	t := nearTop(l.scores, k, k)
	kept := 0
	whole := wholePanels(l.scores)
	for from := 0; from < len(whole); from += searchSpan {
		part := whole[from:min(from+searchSpan, len(whole))]
		n := passing(part, s.within, part, 0, t.low)
		copy(l.scores[kept:], part[:n])
		for _, place := range s.within[:n] {
			l.names[kept] = l.names[from+int(place)]
			kept++
		}
	}
	if kept > k {
		return s.settle(shortlist{l.scores[:kept], l.names[:kept]}, t, k)
	}
	return t.low
}

// settle is keepBest where all reach t.low and more than k do, since many are equal:
// of those that do not reach t.high, the best by their names stay.
func (s *Search) settle(l shortlist, t top, k int) float32 {
	ranks := resize(s.ranks, len(l.scores))[:0]
	for i, score := range l.scores {
		if !(score >= t.high) { // past +Inf nothing is
			ranks = append(ranks, Scored{l.names[i], score}.Rank())
		}
	}
	s.ranks = ranks
	stay := k - (len(l.scores) - len(ranks))
	selectBest(ranks, stay)
	worst := ranks[stay-1].Scored()
	kept := 0
	for i, score := range l.scores {
		name := l.names[i]
		l.scores[kept], l.names[kept] = score, name
		if score > worst.Score || score == worst.Score && name <= worst.Item {
			kept++
		}
	}
	return worst.Score
}

// wholePanels returns x and NaN up to a multiple of PanelWidth in the free memory
// behind it.
func wholePanels(x []float32) []float32 {
	n := len(x)
	x = x[:(n+PanelWidth-1)/PanelWidth*PanelWidth]
	for i := n; i < len(x); i++ {
		x[i] = float32(math.NaN())
	}
	return x
}

// top is where the best scores end: count of them reach low.
type top struct {
	low, high float32
	count     int
}

// nearTop narrows down where the best scores end: at least place reach low, fewer
// high. It ends when no more than most reach low or no number lies between. If fewer
// than place scores are numbers, low is -Inf.
func nearTop(scores []float32, place, most int) top {
	low, high := bracketTop(scores, place)
	t := top{count: countAtLeast(scores, floatOf(low))}
	for high-low > 1 && t.count > most {
		middle := low + (high-low)/2
		if count := countAtLeast(scores, floatOf(middle)); count < place {
			high = middle
		} else {
			low, t.count = middle, count
		}
	}
	t.low, t.high = floatOf(low), floatOf(high)
	return t
}

// bracketTop returns two values, as orders, of which at least place scores reach the
// lower (or it is -Inf) and fewer than place the higher. It goes down from the
// largest score in growing steps: the scores that nearTop is asked for lie there.
func bracketTop(scores []float32, place int) (low, high uint32) {
	bottom := orderOf(float32(math.Inf(-1)))
	top := maximum(scores)
	if top != top {
		top = float32(math.Inf(1))
	}
	high = orderOf(top) + 1
	for step := uint32(1 << 20); high-bottom > step && step < 1<<30; step *= 4 {
		low = high - step
		if countAtLeast(scores, floatOf(low)) >= place {
			return low, high
		}
		high = low
	}
	return bottom, high
}

// countAtLeastGeneric returns how many of x are at least bar.
func countAtLeastGeneric(x []float32, bar float32) int {
	count := 0
	for _, v := range x {
		if v >= bar {
			count++
		}
	}
	return count
}

// rank returns the list as ranks.
func (s *Search) rank(l shortlist) []Rank {
	s.ranks = resize(s.ranks, len(l.scores))
	for i, score := range l.scores {
		s.ranks[i] = Scored{l.names[i], score}.Rank()
	}
	return s.ranks
}

// selectBest moves the k highest of the ranks, which are all different, to the
// front and the lowest of those to place k-1. 1 <= k <= len(list).
func selectBest(list []Rank, k int) {
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
func partition(list []Rank) int {
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
		if v > pivot { // a conditional move
			place = next
		}
	}
	place--
	list[0], list[place] = list[place], pivot
	return place
}
