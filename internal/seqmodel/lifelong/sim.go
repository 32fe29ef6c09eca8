package lifelong

import (
	"seqrec/internal/attention"
	"seqrec/internal/tensor"
)

// sim searches, then attends with several heads to what it found (Qi et al., CIKM
// 2020, arXiv 2006.05639). The soft search has projections of its own, which its
// own head trains:
//
//	s_i = <Wa e_t, Wb e_i>    S = the K largest    u = MultiHead(r_t, r_S, r_S)
//
// with e the semantic part; the auxiliary head sees the sum of r weighted by
// softmax(s), where the paper weighs by s itself. The hard search keeps the K
// newest behaviours of the candidate's category and learns nothing.
type sim struct {
	tables *tables
	wa, wb *tensor.Param // nil for the hard search
	heads  *attention.MultiHead
	k      int
	aux    bool
}

func newSIM(p *tensor.Params, c Config, represent *tables) (*sim, error) {
	m := &sim{tables: represent, k: c.Select, aux: !c.NoAuxiliary && c.Model == "sim"}
	if c.Model == "sim" {
		w := represent.semantic
		m.wa, m.wb = p.Add("search.target.weight", w, w, true), p.Add("search.behaviour.weight", w, w, true)
	}
	w := represent.width()
	var err error
	m.heads, err = attention.NewMultiHead(p, "heads.", attention.MultiHeadConfig{Kind: "softmax", Width: w, KeyWidth: w, ValueWidth: w,
		Config: attention.Config{Heads: c.Heads}})
	return m, err
}

func (m *sim) auxiliary() bool { return m.wa != nil }

func (m *sim) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	var s *tensor.Var
	if m.wa != nil {
		s, full = m.soft(t, in)
	} else {
		m.hard(in)
	}
	qo, ko := in.selected(t)
	if in.explain {
		m.explain(t, in, s, qo, ko)
	}
	return m.heads.Forward(t, m.tables.vectors(t, &in.candidates), m.tables.vectors(t, &in.picked), qo, ko), full
}

// soft selects by the learned search and, while learning, aggregates all.
func (m *sim) soft(t *tensor.Tape, in *input) (s, full *tensor.Var) {
	r := m.tables.vectors(t, &in.history)
	target := t.Columns(m.tables.vectors(t, &in.candidates), 0, m.tables.semantic)
	qo, ko := in.offsets(t)
	s = t.PairScores(t.Linear(target, m.wa, nil), t.Linear(t.Columns(r, 0, m.tables.semantic), m.wb, nil), tensor.Mat{}, qo, ko, 1)
	t.SelectPairs(&in.sel, s.Mat, qo, ko, m.k)
	if m.aux && t.Learning() {
		full, _ = t.Aggregate(s, r, qo, ko)
	}
	return s, full
}

// hard selects the newest k behaviours of each candidate's category.
func (m *sim) hard(in *input) {
	sel := &in.sel
	sel.Pairs, sel.Keys, sel.Offsets = sel.Pairs[:0], sel.Keys[:0], append(sel.Offsets[:0], 0)
	for b := range len(in.qOffsets) - 1 {
		for r := in.qOffsets[b]; r < in.qOffsets[b+1]; r++ {
			first := len(sel.Keys)
			for i := in.kOffsets[b+1] - 1; i >= in.kOffsets[b] && len(sel.Keys)-first < m.k; i-- {
				if in.history.categories[i] == in.candidates.categories[r] {
					sel.Keys = append(sel.Keys, i)
				}
			}
			reverse(sel.Keys[first:])
			sel.Offsets = append(sel.Offsets, int32(len(sel.Keys)))
		}
	}
}

func reverse(s []int32) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// explain weighs the selected behaviours by the search that found them; the
// hard search knows no difference between them.
func (m *sim) explain(t *tensor.Tape, in *input, s *tensor.Var, qo, ko tensor.Index) {
	chosen := t.NewVar(len(in.sel.Keys), 1)
	if s != nil {
		t.Device().Gather(chosen.Mat, s.Mat, t.Device().Index(in.sel.Pairs))
	} else {
		t.Device().Zero(chosen.Mat)
	}
	_, weights := t.Aggregate(chosen, chosen, qo, ko)
	in.keepWeights(t, weights)
}
