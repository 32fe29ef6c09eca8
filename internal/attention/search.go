package attention

import (
	"math"
	"slices"

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

	bias   []float32     // by slot: the largest bias of its events, NaN if none can be found
	second []float32     // by slot: the largest of the others
	count  []int32       // by slot: how many events it has
	best   []int32       // by slot: the newest event with the largest bias
	names  []int32       // by slot: how many events came after that
	behind []float32     // by event: its bias less that of its slot, NaN if it cannot be found
	reach  int           // how many slots a query is likely to need
	more   []kernel.Rank // a query's events that are not the best of their slots
	lists  []kernel.Rank // events of crowded slots, named like slots, the least behind first
	listAt [][2]int32    // by slot: where its list lies in lists; {0, 0} for not made yet

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
		s.spread(h, s.search.Best(i), k)
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
	s.best, s.names, s.count = resize(s.best, h.Items()), resize(s.names, h.Items()), resize(s.count, h.Items())
	clear(s.count)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for slot := range s.bias {
		s.bias[slot], s.second[slot], s.best[slot] = -inf, -inf, -1
	}
	for event, slot := range h.slotOf {
		if slot < 0 {
			continue
		}
		s.count[slot]++
		if b := biasOf(bias, int32(event)); b >= s.bias[slot] {
			s.second[slot], s.bias[slot], s.best[slot] = s.bias[slot], b, int32(event)
		} else if b > s.second[slot] {
			s.second[slot] = b
		}
	}
	s.lists, s.listAt = s.lists[:0], resize(s.listAt, h.Items())
	clear(s.listAt)
	s.behind = resize(s.behind, h.Events())
	for event, slot := range h.slotOf {
		s.behind[event] = 0
		if b := biasOf(bias, int32(event)); slot >= 0 && b != s.bias[slot] {
			s.behind[event] = b - s.bias[slot]
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
// which are in order, merged with their other events. Where items repeat, the k best
// events lie in the first few slots, about as many as for the query before: where
// these hold k events that reach the last slot's best, later slots can add none.
func (s *Searcher) spread(h *History, slots []kernel.Scored, k int) {
	s.more = s.more[:0]
	if len(slots) > 0 && h.Events() > h.Items() {
		reach := reachOf(slots, s.reach)
		s.others(h, slots[:reach], slots[reach-1].Score, k)
		if reach+len(s.more) < k {
			bar := slots[len(slots)-1].Score
			if len(slots) < k {
				bar = float32(math.Inf(-1)) // there are no other slots
			}
			s.others(h, slots, bar, k)
		}
	}
	slices.Sort(s.more)
	used := s.merge(slots, k, int32(h.Events()-1))
	s.reach = used + used/8 + 8
}

// reachOf returns about as many slots as wanted, and all whose scores equal the last.
func reachOf(slots []kernel.Scored, want int) int {
	reach := max(1, min(want, len(slots)))
	for reach < len(slots) && slots[reach].Score == slots[reach-1].Score {
		reach++
	}
	return reach
}

// others collects in s.more the events of the slots that reach the bar, except the
// best of each slot.
func (s *Searcher) others(h *History, slots []kernel.Scored, bar float32, k int) {
	s.more = s.more[:0]
	for _, found := range slots {
		bar = s.walk(h, found, bar, k)
	}
}

// walk adds the events of a slot that reach the bar, except the best of them, to
// s.more, and returns the bar for the next slot.
func (s *Searcher) walk(h *History, found kernel.Scored, bar float32, k int) float32 {
	last := int32(h.Events() - 1)
	slot := h.slotOf[last-found.Item]
	if found.Score+(s.second[slot]-s.bias[slot]) < bar {
		return bar
	}
	if at := s.listAt[slot]; at[1] > 0 {
		return s.walkList(s.lists[at[0]:at[1]], found, bar, k)
	}
	if s.count[slot] > crowded {
		return s.walkList(s.list(h, slot), found, bar, k)
	}
	for event := h.newest[slot]; event >= 0; event = h.previous[event] {
		if score := found.Score + s.behind[event]; score >= bar && event != s.best[slot] {
			bar = s.take(kernel.Scored{Item: last - event, Score: score}, bar, k)
		}
	}
	return bar
}

// crowded is how many events a slot has for which a list in order is worth making:
// the queries of a search meet the same slots again and again.
const crowded = 8

// list makes the list of a crowded slot: its events that can be found, except the
// best, each scored by how far it is behind that.
func (s *Searcher) list(h *History, slot int32) []kernel.Rank {
	first, last := len(s.lists), int32(h.Events()-1)
	for event := h.newest[slot]; event >= 0; event = h.previous[event] {
		if b := s.behind[event]; b == b && event != s.best[slot] {
			s.lists = append(s.lists, kernel.Scored{Item: last - event, Score: b}.Rank())
		}
	}
	made := s.lists[first:]
	slices.Sort(made)
	slices.Reverse(made)
	s.listAt[slot] = [2]int32{int32(first), int32(len(s.lists))}
	return made
}

// walkList is walk on a list in order, which ends at the first event below the bar.
func (s *Searcher) walkList(list []kernel.Rank, found kernel.Scored, bar float32, k int) float32 {
	for _, rank := range list {
		e := rank.Scored()
		score := found.Score + e.Score
		if !(score >= bar) {
			break
		}
		bar = s.take(kernel.Scored{Item: e.Item, Score: score}, bar, k)
	}
	return bar
}

// take adds an event to s.more, of which it keeps the best when there are many, and
// returns the bar for the next.
func (s *Searcher) take(e kernel.Scored, bar float32, k int) float32 {
	s.more = append(s.more, e.Rank())
	if len(s.more) >= 4*k {
		slices.Sort(s.more)
		s.more = append(s.more[:0], s.more[len(s.more)-k:]...)
		bar = s.more[0].Scored().Score
	}
	return bar
}

// merge ends a query's hits with the k best of the slots, best first, and of s.more,
// best last. It returns how many of them are slots.
func (s *Searcher) merge(slots []kernel.Scored, k int, last int32) (used int) {
	more := s.more
	for n := 0; n < k && len(slots)+len(more) > 0; n++ {
		var next kernel.Scored
		if len(more) > 0 {
			next = more[len(more)-1].Scored()
		}
		if len(more) == 0 || len(slots) > 0 && slots[0].Rank() > next.Rank() {
			next, slots = slots[0], slots[1:]
			used++
		} else {
			more = more[:len(more)-1]
		}
		s.hits = append(s.hits, Hit{last - next.Item, next.Score})
	}
	s.ends = append(s.ends, len(s.hits))
	return used
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
