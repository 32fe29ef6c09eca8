package lifelong

import (
	"math"
	"slices"
)

// Moment is a past event that a score rests on.
type Moment struct {
	Event  int     // index in the history
	Weight float32 // share of the attention, 0 to 1; see Explainer
}

// heaviest orders moments by weight, equal weights by the newer event.
func heaviest(a, b Moment) int {
	switch {
	case a.Weight > b.Weight:
		return -1
	case a.Weight < b.Weight:
		return 1
	}
	return b.Event - a.Event
}

// Explain gives the events of the history that search kept for a candidate, with
// their weights, heaviest first, equal weights by the newer event.
func (s *Scorer) Explain(h History, candidate int32, at int64) []Moment {
	s.pack(h, at)
	return s.explainPacked(h).Moments(candidate, math.MaxInt)
}

// Selected gives the events of the history that search kept for a candidate,
// heaviest first.
func (s *Scorer) Selected(h History, candidate int32, at int64) []int {
	var events []int
	for _, m := range s.Explain(h, candidate, at) {
		events = append(events, m.Event)
	}
	return events
}

// Explainer tells which events of one history the scores of candidates rest on.
// What all candidates have in common is done once, when it is made. It uses the
// scratch of its Scorer, which must not be used for anything else in between.
//
// The weight of an event is its share of the softmax of the scores it was selected
// by; of sim that is the search, which several heads follow; sim-hard knows no
// difference between the events it selects. A cluster's share is divided among its
// members. For sdim it is the share of the hash groups in which the event collides with
// the candidate, over the number of events that do so there: what its vector counts
// before the sums of the groups are brought to one length.
type Explainer struct {
	explain func(candidate int32, top *topMoments)
}

// Moments gives the heaviest events behind the score of a candidate, at most that
// many, heaviest first, equal weights by the newer event.
func (e *Explainer) Moments(candidate int32, most int) []Moment {
	top := topMoments{most: most}
	e.explain(candidate, &top)
	return top.sorted()
}

// explaining is the optional interface of a search that can explain without running
// the network.
type explaining interface {
	// explainer prepares for one history.
	explainer(m *Model, h History) func(candidate int32, top *topMoments)
}

// ExplainState prepares explanations after the history of a state, at the moment of
// the question at. They equal those of Explain within rounding. It costs less if the
// scorer has just scored candidates by that state at that moment.
func (s *Scorer) ExplainState(st *State, at int64) *Explainer {
	if search, ok := s.model.search.(explaining); ok {
		return &Explainer{search.explainer(s.model, st.history)}
	}
	if memory, ok := st.memory.(*searchMemory); ok {
		return &Explainer{func(candidate int32, top *topMoments) { memory.explain(s, st, candidate, at, top) }}
	}
	if want := (packed{st, st.Len(), at}); s.packed != want {
		s.pack(st.history, at)
		s.packed = want
	}
	return s.explainPacked(st.history)
}

// pack makes h the history of the input, and clusters it where clusters are asked.
func (s *Scorer) pack(h History, at int64) {
	s.reset()
	s.model.pack(&s.in, &s.groups, h, nil, at)
}

// explainPacked runs the network for each candidate, on the history of the input.
func (s *Scorer) explainPacked(h History) *Explainer {
	members := s.members(h)
	return &Explainer{func(candidate int32, top *topMoments) {
		s.in.ask(s.model.categories, []int32{candidate})
		s.tape.Reset(0)
		s.in.explain, s.in.weights = true, s.in.weights[:0]
		s.model.search.aggregate(s.tape, &s.in)
		s.in.explain = false
		for i, key := range s.in.sel.Keys {
			events := members(key)
			for _, e := range events {
				top.offer(Moment{int(e), s.in.weights[i] / float32(len(events))})
			}
		}
	}}
}

// members gives the events that each packed behaviour stands for.
func (s *Scorer) members(h History) func(key int32) []int32 {
	if s.model.config.Model == "twin-v2" {
		clusters := make([][]int32, 0, len(s.groups.ends))
		s.groups.each(func(members []int32, _ int32) { clusters = append(clusters, members) })
		return func(key int32) []int32 { return clusters[key] }
	}
	events := make([]int32, 0, h.Len())
	for i, item := range h.Items {
		if item >= 0 {
			events = append(events, int32(i))
		}
	}
	return func(key int32) []int32 { return events[key : key+1] }
}

// topMoments keeps the heaviest of the moments offered to it.
type topMoments struct {
	most int
	list []Moment
}

// sortedMoments is up to how many moments are kept in order: more are sorted once.
const sortedMoments = 64

func (t *topMoments) offer(m Moment) {
	switch n := len(t.list); {
	case t.most > sortedMoments:
		t.list = append(t.list, m)
		return
	case n < t.most:
		t.list = append(t.list, m)
	case n == 0 || heaviest(t.list[n-1], m) <= 0:
		return
	}
	at, _ := slices.BinarySearchFunc(t.list[:len(t.list)-1], m, heaviest)
	copy(t.list[at+1:], t.list[at:len(t.list)-1])
	t.list[at] = m
}

func (t *topMoments) sorted() []Moment {
	if t.most > sortedMoments {
		slices.SortFunc(t.list, heaviest)
	}
	return t.list[:min(len(t.list), max(t.most, 0))]
}
