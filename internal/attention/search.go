package attention

import (
	"math"

	"seqrec/internal/kernel"
)

// Hit is an event that a search selected, and its score.
type Hit struct {
	Event int32
	Score float32
}

// Searcher runs searches and holds their results. The zero value is ready. It is
// for one goroutine, and allocates nothing once it has been used with its largest
// sizes.
type Searcher struct {
	search kernel.Search
	hits   []Hit
	ends   []int // of each query's hits

	bias   []float32 // by slot: the largest bias of its events, NaN if none can be found
	second []float32 // by slot: the largest of the others
	best   []int32   // by slot: the newest event with the largest bias
	names  []int32   // by slot: how many events came after that
	top    kernel.TopK
	found  []kernel.Scored
	codes  hamming
}

// Search finds for each query the k events with the best scores:
//
//	score(query, event) = <query, key of the event's item> + bias[event]
//
// queries is C×width, row by row; bias has one value for each event, or is nil for
// zeros. It is the search stage of SIM (arXiv 2006.05639), TWIN (2302.02352) and
// DARE (2410.02604): whatever scale the scores have belongs into the queries.
//
// An event is never found if its item is unknown, its score is NaN, or its bias is
// NaN or +Inf.
//
// The search goes over distinct items, each with the largest bias of its events, and
// then over the events of the k best. That is exact: an event of any other item
// comes after the best event of its own item, which comes after the best events of k
// items. Where scores are equal the newer event comes first, on both levels. To make
// this hold to the last bit, the score of an item's other events is
//
//	score(best event) + (bias[event] - bias[best event])
func (s *Searcher) Search(h *History, queries, bias []float32, k int) {
	count := rows(queries, h.Width())
	s.prepare(h, bias)
	s.search.Run(count, queries, h.Width(), h.keys, s.bias, s.names, k)
	s.begin()
	for i := range count {
		s.spread(h, bias, s.search.Best(i), k)
	}
}

// Hits returns what the last search found for query i: the best first, where scores
// are equal the newer. It is valid until the next search.
func (s *Searcher) Hits(i int) []Hit { return s.hits[s.ends[i]:s.ends[i+1]] }

// rows returns how many rows of that width x holds.
func rows(x []float32, width int) int {
	if width == 0 || len(x)%width != 0 {
		panic("attention: queries of another width")
	}
	return len(x) / width
}

func (s *Searcher) begin() {
	s.hits = s.hits[:0]
	s.ends = append(s.ends[:0], 0)
}

// prepare finds the best events of each slot. Where none can be found, the NaN of
// the bias keeps the slot out.
func (s *Searcher) prepare(h *History, bias []float32) {
	checkBias(h, bias)
	s.bias, s.second = resize(s.bias, h.Items()), resize(s.second, h.Items())
	s.best, s.names = resize(s.best, h.Items()), resize(s.names, h.Items())
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for slot := range s.bias {
		s.bias[slot], s.second[slot], s.best[slot] = -inf, -inf, -1
	}
	for event, slot := range h.slotOf {
		if slot < 0 {
			continue
		}
		if b := biasOf(bias, int32(event)); b >= s.bias[slot] {
			s.second[slot], s.bias[slot], s.best[slot] = s.bias[slot], b, int32(event)
		} else if b > s.second[slot] {
			s.second[slot] = b
		}
	}
	for slot, event := range s.best {
		if event < 0 {
			s.bias[slot] = nan
		}
		s.names[slot] = int32(h.Events()) - 1 - event
	}
}

func checkBias(h *History, bias []float32) {
	if bias != nil && len(bias) != h.Events() {
		panic("attention: a bias for each event is needed")
	}
}

// biasOf returns the bias of an event, NaN if none can be found with it.
func biasOf(bias []float32, event int32) float32 {
	if bias == nil {
		return 0
	}
	b := bias[event]
	if b > math.MaxFloat32 {
		return float32(math.NaN())
	}
	return b
}

// spread turns the best slots of a query into its best events: those of the slots,
// which are in order, merged with the other events that reach the k-th of them.
func (s *Searcher) spread(h *History, bias []float32, slots []kernel.Scored, k int) {
	bar := float32(math.Inf(-1))
	if len(slots) == k && k > 0 {
		bar = slots[k-1].Score
	}
	s.top.Reset(min(k, h.Events()))
	for _, found := range slots {
		s.others(h, bias, found, bar)
	}
	last := int32(h.Events() - 1)
	if s.top.Len() == 0 {
		for _, e := range slots {
			s.hits = append(s.hits, Hit{last - e.Item, e.Score})
		}
		s.ends = append(s.ends, len(s.hits))
		return
	}
	s.found = s.top.Sorted(s.found)
	s.merge(slots, s.found, k, last)
}

// others offers the events of a slot to s.top, except the best of them.
func (s *Searcher) others(h *History, bias []float32, found kernel.Scored, bar float32) {
	last := int32(h.Events() - 1)
	slot := h.slotOf[last-found.Item]
	if found.Score+(s.second[slot]-s.bias[slot]) < bar {
		return
	}
	for event := h.newest[slot]; event >= 0; event = h.previous[event] {
		if event == s.best[slot] {
			continue
		}
		score := [1]float32{found.Score}
		if b := biasOf(bias, event); b != s.bias[slot] {
			score[0] += b - s.bias[slot]
		}
		if score[0] >= bar {
			s.top.Scan(score[:], last-event, nil)
		}
	}
}

// merge ends a query's hits with the k best of two lists that are in order.
func (s *Searcher) merge(a, b []kernel.Scored, k int, last int32) {
	for n := 0; n < k && len(a)+len(b) > 0; n++ {
		from := &a
		if len(a) == 0 || len(b) > 0 && before(b[0], a[0]) {
			from = &b
		}
		s.hits = append(s.hits, Hit{last - (*from)[0].Item, (*from)[0].Score})
		*from = (*from)[1:]
	}
	s.ends = append(s.ends, len(s.hits))
}

// before orders by score, then by the name, which is the age.
func before(a, b kernel.Scored) bool {
	return a.Score > b.Score || a.Score == b.Score && a.Item < b.Item
}

// keep ends a query's hits with what is in s.top.
func (s *Searcher) keep(last int32) {
	s.found = s.top.Sorted(s.found)
	for _, e := range s.found {
		s.hits = append(s.hits, Hit{last - e.Item, e.Score})
	}
	s.ends = append(s.ends, len(s.hits))
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
