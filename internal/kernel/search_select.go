package kernel

import (
	"math"
	"math/bits"
	"slices"
)

// shortlist is what passed the bar of one query, in no particular order. The memory
// of its scores ends at a multiple of PanelWidth.
type shortlist struct {
	scores []float32 // none is NaN
	names  []int32
}

// keepBest moves the k best entries, k < len(l.scores), to the front and returns the
// score of the worst of them.
//
// The bar is found by halving: counting how many of some hundreds reach a value is a
// few vectors' work, without a branch that cannot be foreseen.
func (s *Search) keepBest(l shortlist, k int) float32 {
	bar, count := nearTop(l.scores, k, k)
	if count != k {
		return s.keepRanked(l, k)
	}
	kept := 0
	whole := wholePanels(l.scores)
	for from := 0; from < len(whole); from += searchSpan {
		part := whole[from:min(from+searchSpan, len(whole))]
		for _, place := range s.kept[:placesAtLeast(&s.kept, part, bar)] {
			l.scores[kept], l.names[kept] = part[place], l.names[from+int(place)]
			kept++
		}
	}
	return bar
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

// keepRanked is keepBest where scores are equal around the bar.
func (s *Search) keepRanked(l shortlist, k int) float32 {
	ranks := s.rank(l)
	selectBest(ranks, k)
	for i, rank := range ranks[:k] {
		e := rank.Scored()
		l.scores[i], l.names[i] = e.Score, e.Item
	}
	return ranks[k-1].Scored().Score
}

// sortList writes the best of the list to dst, best first, and returns how many.
func (s *Search) sortList(dst []Scored, l shortlist) int {
	k := min(len(dst), len(l.scores))
	if k < len(l.scores) {
		s.keepBest(l, k)
		l = shortlist{l.scores[:k], l.names[:k]}
	}
	if s.sortFew(dst, l) {
		return k
	}
	ranks := s.rank(l)
	slices.Sort(ranks)
	for i, rank := range ranks {
		dst[k-1-i] = rank.Scored()
	}
	return k
}

// sortMost is how many scores are sorted by counting.
const sortMost = 256

// sortFew sorts by counting for each score how many are above it, which again needs
// no branch. It declines where scores are equal, or too many.
func (s *Search) sortFew(dst []Scored, l shortlist) bool {
	n := len(l.scores)
	if n > sortMost {
		return false
	}
	copy(s.few[:], l.scores)
	countAbove(&s.above, &s.few, n)
	total := 0
	for i, score := range l.scores {
		place := s.above[i]
		dst[place] = Scored{l.names[i], score}
		total += int(place)
	}
	return total == n*(n-1)/2
}

func countAboveGeneric(above *[sortMost]int32, x *[sortMost]float32, n int) {
	for i, v := range x[:n] {
		above[i] = 0
		for _, other := range x[:n] {
			if other > v {
				above[i]++
			}
		}
	}
}

// nearTop returns a value that at least place of the scores reach, and how many do:
// no more than most if there is such a value. If fewer than place scores are
// numbers, it is -Inf.
func nearTop(scores []float32, place, most int) (float32, int) {
	low, high := bracketTop(scores, place)
	for high-low > 1 {
		middle := low + (high-low)/2
		bar := floatOf(middle)
		switch count := countAtLeast(scores, bar); {
		case count < place:
			high = middle
		case count > most:
			low = middle
		default:
			return bar, count
		}
	}
	return floatOf(low), countAtLeast(scores, floatOf(low))
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
