package lifelong

// State is what is kept of one user's history between requests, so that a
// request pays for its new events alone. It is valid for the model that made it
// and for the events appended so far. Any number of scorers may read a state at
// once; Append must be alone.
type State struct {
	model   *Model
	history History
}

// NewState makes the state of an empty history.
func (m *Model) NewState() *State { return &State{model: m} }

// Append adds events that are newer than all before, oldest first. Times and
// kinds must be there for all events of a state or for none. It costs O(1) an
// event, amortised.
func (s *State) Append(h History) {
	s.history.Items = append(s.history.Items, h.Items...)
	s.history.Times = append(s.history.Times, h.Times...)
	s.history.Kinds = append(s.history.Kinds, h.Kinds...)
}

// History is the events so far. It must not be written.
func (s *State) History() History { return s.history }

// Len is the number of events, those of unknown items included.
func (s *State) Len() int { return s.history.Len() }

// Bytes is about the memory that the state takes.
func (s *State) Bytes() int64 {
	return int64(4*cap(s.history.Items) + 8*cap(s.history.Times) + 4*cap(s.history.Kinds) + 128)
}

// ScoreState is Score after the history of a state.
func (s *Scorer) ScoreState(dst []float32, st *State, candidates []int32, at int64) {
	s.Score(dst, st.history, candidates, at)
}

// ExplainState is Explain after the history of a state.
func (s *Scorer) ExplainState(st *State, candidate int32, at int64) []Moment {
	return s.Explain(st.history, candidate, at)
}
