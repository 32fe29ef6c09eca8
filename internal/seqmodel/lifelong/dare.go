package lifelong

import "seqrec/internal/tensor"

// dare searches and attends with embedding tables of their own, so that the
// search learns what is relevant without serving the representation as well
// (Feng et al., "Long-Sequence Recommendation Models Need Decoupled Embeddings",
// ICLR 2025, arXiv 2410.02604):
//
//	s_i = <a_t, a_i> semantic / sqrt(width) + <a_t, a_i> temporal / sqrt(width)
//	S = the K largest s_i    u = sum over S of softmax(s)_i r_i
//
// With SharedTables a = r, which is TWIN without projections.
type dare struct {
	attend, represent *tables
	k                 int
	aux               bool
}

func newDARE(p *tensor.Params, c Config, represent *tables) *dare {
	m := &dare{attend: represent, represent: represent, k: c.Select, aux: !c.NoAuxiliary}
	if !c.SharedTables {
		m.attend = newTables(p, "attend.", c, c.AttentionWidth)
	}
	return m
}

func (m *dare) auxiliary() bool { return true }

func (m *dare) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	q, k := m.attend.queries(t, &in.candidates), m.attend.vectors(t, &in.history)
	return searchByScore(t, in, q, k, m.represent, m.k, m.aux)
}

// searchByScore keeps the k behaviours with the highest inner product and attends
// to them with the same scores; for the auxiliary head it attends to all.
func searchByScore(t *tensor.Tape, in *input, q, key *tensor.Var, values *tables, k int, aux bool) (u, full *tensor.Var) {
	qo, ko := in.offsets(t)
	s := t.PairScores(q, key, in.bias(t), qo, ko, 1)
	t.SelectPairs(&in.sel, s.Mat, qo, ko, k)
	u = in.attendSelected(t, s, values)
	if aux && t.Learning() {
		full, _ = t.Aggregate(s, values.vectors(t, &in.history), qo, ko)
	}
	return u, full
}
