package lifelong

import "seqrec/internal/tensor"

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
	packed packed    // the state that in holds
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
	s.pack(h, at)
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
		s.reset()
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

// packed says what an input was packed from: all events of a state, at one moment.
type packed struct {
	state  *State
	events int
	at     int64
}

// reset empties the input.
func (s *Scorer) reset() {
	s.in.reset()
	s.packed = packed{}
}

func (s *Scorer) run(dst []float32) {
	if len(dst) == 0 {
		return
	}
	s.tape.Reset(0)
	hidden, _ := s.model.forward(s.tape, &s.in)
	s.model.main.logits(s.tape, dst, hidden)
}
