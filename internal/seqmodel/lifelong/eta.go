package lifelong

import "seqrec/internal/tensor"

// eta searches by the Hamming distance of hash codes and attends exactly to what
// it found (Chen et al. 2021, arXiv 2108.04468):
//
//	code = sign(e H), H fixed and Gaussian    S = the K codes nearest to the target's
//	u = sum over S of softmax(s)_i r_i
//
// with s the scores of twin. e is the part of a vector that the item alone
// decides: hashing the position would make neighbours in time collide.
type eta struct {
	tables *tables
	hash   *tensor.Param // bits x identity
	k      int
}

func newETA(p *tensor.Params, c Config, represent *tables) *eta {
	return &eta{tables: represent, hash: p.Add("hash", c.Bits, represent.identity, true), k: c.Select}
}

func (m *eta) auxiliary() bool { return false }

func (m *eta) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	q, k := m.tables.queries(t, &in.candidates), m.tables.vectors(t, &in.history)
	qo, ko := in.offsets(t)
	// <sign, sign> = bits - 2*distance, so the nearest codes score highest.
	near := t.PairScores(signs(t, q, m.hash), signs(t, k, m.hash), tensor.Mat{}, qo, ko, 1)
	t.SelectPairs(&in.sel, near.Mat, qo, ko, m.k)
	s := t.PairScores(q, k, tensor.Mat{}, qo, ko, 1)
	return in.attendSelected(t, s, m.tables), nil
}

// signs are the hash codes of the first columns of x, as 1 and -1. Scaling
// a row does not change them. No gradient passes.
func signs(t *tensor.Tape, x *tensor.Var, hash *tensor.Param) *tensor.Var {
	dev := t.Device()
	part := t.Columns(x, 0, hash.Val.Cols)
	y := t.NewVar(x.Rows, hash.Val.Rows)
	dev.Gemm(y.Mat, part.Mat, false, hash.Val, true, false)
	y.Mat = t.Sign(y.Mat)
	return y
}
