package lifelong

import (
	"slices"

	"seqrec/internal/tensor"
)

// scorePairs bounds the pairs of one forward pass of a Scorer, so that its memory
// is bounded however many candidates and events there are.
const scorePairs = 1 << 20

// Scorer scores candidates with one model by running the network that was
// trained. It owns scratch memory, so one goroutine uses it at a time.
type Scorer struct {
	model  *Model
	tape   *tensor.Tape
	in     input
	groups clusterer
	events []int32   // the event of each packed behaviour, for Explain
	recall recall    // for states that remember
	sums   []float32 // what they aggregate, [candidates][width]
}

// NewScorer makes a scorer with scratch memory of its own.
func (m *Model) NewScorer() *Scorer {
	return &Scorer{model: m, tape: tensor.NewTape(m.params.Device()), in: input{config: m.config}}
}

// Score sets dst[i] to the log odds of candidates[i] after the whole history: a
// higher one is likelier. Candidates are item numbers of the model. A history of
// any length is answered, an empty one by the candidates alone. at is the moment
// of the question, 0 when unknown.
func (s *Scorer) Score(dst []float32, h History, candidates []int32, at int64) {
	if len(candidates) == 0 {
		return
	}
	s.in.reset()
	s.model.pack(&s.in, &s.groups, h, nil, at)
	step := max(1, scorePairs/max(1, len(s.in.history.items)))
	for lo := 0; lo < len(candidates); lo += step {
		hi := min(lo+step, len(candidates))
		s.in.ask(s.model.categories, candidates[lo:hi])
		s.run(dst[lo:hi])
	}
}

// ScoreExamples sets dst, one after the other, to the log odds of the candidates
// of every example, each after the newest Length events of its history, as in
// training.
func (s *Scorer) ScoreExamples(dst []float32, examples []Example) {
	at := 0
	for lo := 0; lo < len(examples); {
		s.in.reset()
		pairs, hi := 0, lo
		for ; hi < len(examples) && (hi == lo || pairs < scorePairs); hi++ {
			e := &examples[hi]
			h := e.History.newest(s.model.config.Length)
			s.model.pack(&s.in, &s.groups, h, e.Candidates, e.At)
			pairs += h.Len() * len(e.Candidates)
		}
		n := len(s.in.candidates.items)
		s.run(dst[at : at+n])
		at, lo = at+n, hi
	}
}

func (s *Scorer) run(dst []float32) {
	if len(dst) == 0 {
		return
	}
	s.tape.Reset(0)
	hidden, _ := s.model.forward(s.tape, &s.in)
	s.model.main.logits(s.tape, dst, hidden)
}

// Moment is a past event that a score rests on.
type Moment struct {
	Event  int     // index in the history
	Weight float32 // share of the attention, 0 to 1
}

// Explain gives the events of the history that search kept for a candidate, with
// their weights, heaviest first, equal weights by the newer event. The weights of
// a clustered model are shared out among the members of a cluster.
func (s *Scorer) Explain(h History, candidate int32, at int64) []Moment {
	s.in.reset()
	s.model.pack(&s.in, &s.groups, h, []int32{candidate}, at)
	s.tape.Reset(0)
	s.in.explain, s.in.weights = true, s.in.weights[:0]
	s.model.search.aggregate(s.tape, &s.in)
	s.in.explain = false
	list := s.moments(h)
	slices.SortFunc(list, heaviest)
	return list
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

// moments turns what the last pass selected into events of the history.
func (s *Scorer) moments(h History) (list []Moment) {
	if s.model.config.Model == "twin-v2" {
		clusters := make([][]int32, 0, len(s.groups.ends))
		s.groups.each(func(members []int32, _ int32) { clusters = append(clusters, members) })
		for i, key := range s.in.sel.Keys {
			for _, e := range clusters[key] {
				list = append(list, Moment{int(e), s.in.weights[i] / float32(len(clusters[key]))})
			}
		}
		return list
	}
	s.events = s.events[:0]
	for i, item := range h.Items {
		if item >= 0 {
			s.events = append(s.events, int32(i))
		}
	}
	for i, key := range s.in.sel.Keys {
		list = append(list, Moment{int(s.events[key]), s.in.weights[i]})
	}
	return list
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
