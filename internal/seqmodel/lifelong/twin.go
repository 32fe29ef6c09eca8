package lifelong

import (
	"math"

	"seqrec/internal/tensor"
)

// twin searches by the very attention that aggregates afterwards, with one set
// of tables for both (Chang et al., KDD 2023, arXiv 2302.02352). Here, as in the
// comparisons of DARE, semantic and temporal scores are scaled apart and there is
// no projection; Projections adds one for queries and one for keys:
//
//	s_i = <Wq r_t, Wk r_i> / sqrt(width)
//
// twin-v2 is the same over clusters of like events, whose scores gain the
// logarithm of their size (Si et al., CIKM 2024, arXiv 2407.16357); see cluster.
type twin struct {
	tables *tables
	wq, wk *tensor.Param // nil for none
	k      int
	aux    bool
}

func newTWIN(p *tensor.Params, c Config, represent *tables) *twin {
	m := &twin{tables: represent, k: c.Select, aux: !c.NoAuxiliary}
	if c.Projections {
		w := represent.width()
		m.wq, m.wk = p.Add("query.weight", w, w, true), p.Add("key.weight", w, w, true)
	}
	return m
}

func (m *twin) auxiliary() bool { return true }

func (m *twin) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	if m.wq == nil { // in the order of dare, so that dare with shared tables learns the same to the bit
		q, k := m.tables.queries(t, &in.candidates), m.tables.vectors(t, &in.history)
		return searchByScore(t, in, q, k, m.tables, m.k, m.aux)
	}
	k := m.tables.vectors(t, &in.history)
	scale := float32(1 / math.Sqrt(float64(m.tables.width())))
	q := t.Linear(m.tables.lookup(t, &in.candidates, scale, scale), m.wq, nil)
	return searchByScore(t, in, q, t.Linear(k, m.wk, nil), m.tables, m.k, m.aux)
}
