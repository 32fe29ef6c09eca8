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
	last   int32 // the newest event
	hits   []Hit // of one query

	bias    []float32      // by slot: the largest bias of its events, NaN if none can be found
	entries kernel.Entries // the events that can be found, by slot, then as place and cut order them; named by their age

	coded  bool  // whether hits holds all results of a search by codes
	ends   []int // of each query's hits then
	scores []float32
	ages   []int32
	top    kernel.TopK // of events, named like entries
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
// looks at the events of those items alone that reach what the k best events so far
// leave to reach. That is exact: no event scores more than its item. Where scores are
// equal the newer event comes first. To make this hold to the last bit, the score of
// an event is
//
//	score(item with its largest bias) + (bias[event] - largest bias)
//
// Of an item with more than k events only the k with the largest bias, of equal bias
// the newest, can be found: also where rounding brings others up to the same score.
func (s *Searcher) Search(h *History, queries, bias []float32, k int) {
	count := rows(queries, h.Width())
	s.coded, s.last = false, int32(h.Events()-1)
	s.prepare(h, bias, k)
	s.search.Run(count, queries, h.Width(), h.keys, h.common, s.bias, s.entries, k)
}

// Hits returns what the last search found for query i: the best first, where scores
// are equal the newer. It is valid until the next call.
func (s *Searcher) Hits(i int) []Hit {
	if s.coded {
		return s.hits[s.ends[i]:s.ends[i+1]]
	}
	s.hits = s.hits[:0]
	for _, e := range s.search.Best(i) {
		s.hits = append(s.hits, Hit{s.last - e.Item, e.Score})
	}
	return s.hits
}

// Found returns what the last search found for query i, in an order that the history
// and what is found decide: scores, and the ages of the events, 0 for the newest. It
// is valid until the next call.
func (s *Searcher) Found(i int) (scores []float32, ages []int32) {
	if !s.coded {
		return s.search.Found(i)
	}
	hits := s.Hits(i)
	s.scores, s.ages = resize(s.scores, len(hits)), resize(s.ages, len(hits))
	for j, hit := range hits {
		s.scores[j], s.ages[j] = hit.Score, s.last-hit.Event
	}
	return s.scores, s.ages
}

// rows returns how many rows of that width x holds.
func rows(x []float32, width int) int {
	if width == 0 || len(x)%width != 0 {
		panic("attention: queries of another width")
	}
	return len(x) / width
}

// prepare sorts events by slot. Where none of a slot can be found, the NaN of the
// bias keeps the slot out; where there are more than k, only the best k can be found.
func (s *Searcher) prepare(h *History, bias []float32, k int) {
	checkBias(h, bias)
	slots, most := h.keys.Rows(), int32(0)
	starts := resize(s.entries.Starts, slots+1)
	s.entries.Starts, s.bias = starts, resize(s.bias, slots)
	clear(starts)
	inf := float32(math.Inf(1))
	for slot := range s.bias {
		s.bias[slot] = -inf
	}
	for event, slot := range h.slotOf {
		if b := biasOf(bias, int32(event)); slot >= 0 && b == b {
			starts[slot+1]++
			s.bias[slot] = max(s.bias[slot], b)
		}
	}
	for slot := range s.bias {
		if starts[slot+1] == 0 {
			s.bias[slot] = float32(math.NaN())
		}
		most = max(most, starts[slot+1])
		starts[slot+1] += starts[slot]
	}
	s.place(h, bias)
	if int(most) > k {
		s.cut(k)
	}
}

// cut leaves no slot more than the k entries with the largest bias, best first: of
// equal ones the newer. Popular items have many more events than can be found.
func (s *Searcher) cut(k int) {
	e, to, from := &s.entries, 0, 0
	for slot := range s.bias {
		end := int(e.Starts[slot+1])
		names, behind := e.Names[from:end], e.Behind[from:end]
		if len(names) > k {
			s.top.Reset(k)
			for i := len(names) - 1; i >= 0; i-- { // few enter that do not stay: they are oldest first
				s.top.Scan(behind[i:i+1], names[i], nil)
			}
			s.found = s.top.Sorted(s.found)
			for i, best := range s.found {
				names[i], behind[i] = best.Item, best.Score
			}
			names, behind = names[:len(s.found)], behind[:len(s.found)]
		}
		copy(e.Names[to:], names)
		copy(e.Behind[to:], behind)
		to, from = to+len(names), end
		e.Starts[slot+1] = int32(to)
	}
	e.Names, e.Behind = e.Names[:to], e.Behind[:to]
}

// place fills in the entries, of which only the starts are known: of each slot, the
// oldest first.
func (s *Searcher) place(h *History, bias []float32) {
	starts := s.entries.Starts
	count := int(starts[len(starts)-1])
	s.entries.Behind = resize(s.entries.Behind, count+kernel.EntryRoom)[:count]
	s.entries.Names = resize(s.entries.Names, count+kernel.EntryRoom)[:count]
	for event, slot := range h.slotOf {
		b := biasOf(bias, int32(event))
		if slot < 0 || b != b {
			continue
		}
		at := starts[slot]
		starts[slot]++
		s.entries.Names[at], s.entries.Behind[at] = s.last-int32(event), 0
		if b != s.bias[slot] { // both may be -Inf
			s.entries.Behind[at] = b - s.bias[slot]
		}
	}
	// Each start is now where the next slot starts.
	copy(starts[1:], starts)
	starts[0] = 0
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

// keep ends a query's hits with what is in s.top.
func (s *Searcher) keep() {
	s.found = s.top.Sorted(s.found)
	for _, e := range s.found {
		s.hits = append(s.hits, Hit{s.last - e.Item, e.Score})
	}
	s.ends = append(s.ends, len(s.hits))
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
