package kernel

import (
	"math"
	"slices"
)

// Scored is an item and how well it matched.
type Scored struct {
	Item  int32
	Score float32
}

// before orders by score, highest first, ties by the lower item.
func (s Scored) before(o Scored) bool {
	return s.Score > o.Score || s.Score == o.Score && s.Item < o.Item
}

// TopK keeps the k best of the scores it is shown. The result does not depend on
// the order in which they are shown. The zero value keeps none; call Reset first.
// A TopK is for one goroutine and allocates nothing once it has been used with
// its largest k.
type TopK struct {
	k      int
	heap   []Scored // the worst of the kept at index 0
	high   int32    // highest item offered to the heap so far
	scores []float32
	rough  roughScratch
}

// Reset forgets everything and keeps the best k from now on; k <= 0 keeps none.
func (t *TopK) Reset(k int) {
	t.k = max(k, 0)
	t.heap = slices.Grow(t.heap[:0], t.k)
	t.high = -1
}

// Scan offers scores[i] as the score of item first+i. Bit n of blocked keeps item
// n out; items past its end are free. NaN never enters.
//
//	for i: if !NaN(scores[i]) && !blocked(first+i) { offer(first+i, scores[i]) }
func (t *TopK) Scan(scores []float32, first int32, blocked []uint64) {
	if first < 0 {
		panic(badIndex)
	}
	if t.k == 0 || len(scores) == 0 {
		return
	}
	i := 0
	for ; i < len(scores) && len(t.heap) < t.k; i++ {
		t.offer(scores[i], first+int32(i), blocked)
	}
	for i < len(scores) {
		i += firstAtLeast(scores[i:], t.bar(first+int32(i)))
		if i < len(scores) {
			t.offer(scores[i], first+int32(i), blocked)
			i++
		}
	}
}

// bar is the lowest score with which item could enter the full heap. Beyond the
// highest item seen an equal score loses its tie, so the next float is needed.
func (t *TopK) bar(item int32) float32 {
	worst := t.heap[0].Score
	if item > t.high {
		return math.Nextafter32(worst, float32(math.Inf(1)))
	}
	return worst
}

// offer puts one item where it belongs.
func (t *TopK) offer(score float32, item int32, blocked []uint64) {
	t.high = max(t.high, item)
	if score != score || isBlocked(blocked, item) {
		return
	}
	s := Scored{item, score}
	if len(t.heap) < t.k {
		t.heap = append(t.heap, s)
		up(t.heap)
		return
	}
	if s.before(t.heap[0]) {
		t.heap[0] = s
		down(t.heap)
	}
}

// Sorted returns the kept items best first, ties by the lower item, in the memory
// of dst where it suffices (what dst held is overwritten). What t keeps does not
// change.
func (t *TopK) Sorted(dst []Scored) []Scored {
	dst = append(dst[:0], t.heap...)
	slices.SortFunc(dst, func(a, b Scored) int {
		if a.before(b) {
			return -1
		}
		if b.before(a) {
			return 1
		}
		return 0
	})
	return dst
}

// Len returns how many items are kept so far.
func (t *TopK) Len() int { return len(t.heap) }

func (t *TopK) buffer() []float32 {
	if t.scores == nil {
		t.scores = make([]float32, scoreBlock)
	}
	return t.scores
}

func isBlocked(blocked []uint64, item int32) bool {
	word := int(item) >> 6
	return word < len(blocked) && blocked[word]>>(uint(item)&63)&1 != 0
}

// up moves the last entry of the heap to its place.
func up(h []Scored) {
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !h[parent].before(h[i]) {
			return
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
}

// down moves the first entry of the heap to its place.
func down(h []Scored) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[child].before(h[right]) {
			child = right
		}
		if !h[i].before(h[child]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// firstAtLeastGeneric returns the first index with x[i] >= bar, or len(x).
func firstAtLeastGeneric(x []float32, bar float32) int {
	for i, v := range x {
		if v >= bar {
			return i
		}
	}
	return len(x)
}
