package lifelong

import "seqrec/internal/tensor"

// din scores every pair of candidate and behaviour by a small network (Zhou et
// al., KDD 2018, arXiv 1706.06978); here, as in the comparisons of DARE, the
// scores are divided by the width and search keeps the K largest for a softmax:
//
//	s_i = w2 . PReLU(W1 [q ; k_i ; q-k_i ; q*k_i] + b1) / width
//
// W1 is kept in three blocks: that of q-k only adds to those of q and of k.
type din struct {
	tables                            *tables
	query, key, product, bias1, slope *tensor.Param
	w2                                *tensor.Param
	k                                 int
	aux                               bool
}

// dinHidden is the width of the hidden layer.
const dinHidden = 36

func newDIN(p *tensor.Params, c Config, represent *tables) *din {
	w := represent.width()
	return &din{tables: represent, k: c.Select, aux: !c.NoAuxiliary,
		query: p.Add("unit.query.weight", w, dinHidden, true), key: p.Add("unit.key.weight", w, dinHidden, true),
		product: p.Add("unit.product.weight", w, dinHidden, true), bias1: p.Add("unit.bias", 1, dinHidden, false),
		slope: p.Add("unit.slope", 1, 1, false), w2: p.Add("unit.out.weight", dinHidden, 1, true)}
}

func (m *din) auxiliary() bool { return true }

func (m *din) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	q, k := m.tables.vectors(t, &in.candidates), m.tables.vectors(t, &in.history)
	qo, ko := in.offsets(t)
	unit := tensor.PairUnit{Product: m.product, Key: m.key, Slope: m.slope, Out: m.w2}
	s := t.PairUnit(q, k, t.Linear(q, m.query, m.bias1), unit, qo, ko, 1/float32(m.tables.width()))
	t.SelectPairs(&in.sel, s.Mat, qo, ko, m.k)
	u = in.attendSelected(t, s, m.tables)
	if m.aux && t.Learning() {
		full, _ = t.Aggregate(s, k, qo, ko)
	}
	return u, full
}
