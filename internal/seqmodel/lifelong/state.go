package lifelong

// State is what is kept of one user's history between requests, so that a
// request pays for its new events alone. It is valid for the model that made it
// and for the events appended so far. Any number of scorers may read a state at
// once; Append must be alone.
type State struct {
	model   *Model
	history History
	memory  memory // nil for members that read the whole history each time
}

// NewState makes the state of an empty history.
func (m *Model) NewState() *State {
	st := &State{model: m}
	if r, ok := m.search.(remembering); ok {
		st.memory = r.newMemory(m)
	}
	return st
}

// Append adds events that are newer than all before, oldest first. Times and
// kinds must be there for all events of a state or for none. It costs O(1) an
// event, amortised.
func (s *State) Append(h History) {
	s.history.Items = append(s.history.Items, h.Items...)
	s.history.Times = append(s.history.Times, h.Times...)
	s.history.Kinds = append(s.history.Kinds, h.Kinds...)
	if s.memory != nil {
		s.memory.append(h)
	}
}

// Remembers says whether the state holds anything that is costly to build again: not
// for members that read the whole history at each question.
func (s *State) Remembers() bool { return s.memory != nil }

// History is the events so far. It must not be written.
func (s *State) History() History { return s.history }

// Len is the number of events, those of unknown items included.
func (s *State) Len() int { return s.history.Len() }

// Bytes is about the memory that the state takes.
func (s *State) Bytes() int64 {
	n := 4*cap(s.history.Items) + 8*cap(s.history.Times) + 4*cap(s.history.Kinds) + 128
	if s.memory != nil {
		n += s.memory.bytes()
	}
	return int64(n)
}

// ScoreState is Score after the history of a state. Members that remember answer
// from their memory; what they say equals Score within rounding, and does not
// depend on how the events were appended.
func (s *Scorer) ScoreState(dst []float32, st *State, candidates []int32, at int64) {
	if st.memory == nil {
		if len(candidates) > 0 {
			s.Score(dst, st.history, candidates, at)
			s.packed = packed{st, st.Len(), at}
		}
		return
	}
	if len(candidates) == 0 {
		return
	}
	width := s.model.represent.width()
	s.sums = resize(s.sums, len(candidates)*width)
	st.memory.aggregate(s.sums, s, st, candidates, at)
	for lo := 0; lo < len(candidates); lo += headRows {
		hi := min(lo+headRows, len(candidates))
		s.judge(dst[lo:hi], s.sums[lo*width:hi*width], candidates[lo:hi])
	}
}

// headRows is how many candidates go through the head at once: the hidden layers of
// so many stay in the second cache.
const headRows = 48

// judge runs the head on what a memory aggregated for candidates.
func (s *Scorer) judge(dst, sums []float32, candidates []int32) {
	s.reset()
	s.in.addCandidates(s.model.categories, candidates)
	s.tape.Reset(0)
	u := s.tape.NewVar(len(candidates), s.model.represent.width())
	copy(u.V, sums)
	target := s.model.represent.vectors(s.tape, &s.in.candidates)
	hidden := s.model.main.forward(s.tape, &s.in, s.model.features(s.tape, target, u), s.model.config.Epsilon)
	s.model.main.logits(s.tape, dst, hidden)
}
