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

	bias  []float32   // by slot: the largest bias of its events
	best  []int32     // by slot: the newest event with that bias, -1 for none
	names []int32     // by slot: how many events ago that was
	top   kernel.TopK // of events, named like slots
	found []kernel.Scored
	codes hamming
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
// NaN or +Inf. The score of a key that meets a query depends on these two alone, not
// on what else is searched.
//
// The search goes over distinct items, each with the largest bias of its events, and
// then over the events of the k best. That is exact: an event of any other item
// scores no more than the best event of its own item, which comes after the best
// events of k items. Where scores are equal the newer event comes first, on both
// levels.
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

// prepare finds the best event of each slot.
func (s *Searcher) prepare(h *History, bias []float32) {
	checkBias(h, bias)
	s.bias = resize(s.bias, h.Items())
	s.best = resize(s.best, h.Items())
	s.names = resize(s.names, h.Items())
	for slot := range s.best {
		s.bias[slot], s.best[slot] = float32(math.NaN()), -1
	}
	for event, slot := range h.slotOf {
		if slot < 0 {
			continue
		}
		b := biasOf(bias, int32(event))
		if b != b {
			continue
		}
		if s.best[slot] < 0 || b >= s.bias[slot] {
			s.bias[slot], s.best[slot] = b, int32(event)
		}
	}
	for slot, event := range s.best {
		// A slot without an event that can be found has a NaN for its bias, so its
		// name is never seen.
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

// spread turns the best slots of a query into its best events.
func (s *Searcher) spread(h *History, bias []float32, slots []kernel.Scored, k int) {
	s.top.Reset(min(k, h.Events()))
	last := int32(h.Events() - 1)
	for _, found := range slots {
		slot := h.slotOf[last-found.Item]
		for event := h.newest[slot]; event >= 0; event = h.previous[event] {
			score := [1]float32{found.Score}
			if b := biasOf(bias, event); b != s.bias[slot] {
				score[0] += b - s.bias[slot]
			}
			s.top.Scan(score[:], last-event, nil)
		}
	}
	s.keep(last)
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
