package tensor

// PairUnitArgs scores every (query, key) pair by a small network, the activation
// unit of DIN (Zhou et al., KDD 2018, arXiv 1706.06978, section 4.3):
//
//	h = (q*k) Product + k Key + Hidden_q    S = Scale * PReLU(h) Out
//
// Hidden is what the query alone adds: its product with weights of its own, and
// the bias. U is the number of hidden units. No vector of a pair is kept: the
// backward makes h again.
type PairUnitArgs struct {
	S                  Mat // pairs x 1
	Q                  Mat // Tq x D
	K                  Mat // Tk x D
	Hidden             Mat // Tq x U
	Product, Key       Mat // D x U
	Slope              Mat // one number, of the PReLU
	Out                Mat // U x 1
	Scratch            Mat // PairUnitScratch floats
	QOffsets, KOffsets Index
	Scale              float32
}

// PairUnitGrads are the gradients of one PairUnit: DS is read, the others are
// added to.
type PairUnitGrads struct{ DS, DQ, DK, DHidden, DProduct, DKey, DSlope, DOut Mat }

// PairUnit is the weights of an activation unit.
type PairUnit struct {
	Product, Key *Param // D x U
	Slope        *Param // one number
	Out          *Param // U x 1
}

// PairUnit is PairUnitArgs as an operation: the score of every pair.
func (t *Tape) PairUnit(q, k, hidden *Var, w PairUnit, qOffsets, kOffsets Index, scale float32) *Var {
	s, dev := t.newVar(PairCount(qOffsets.V, kOffsets.V), 1), t.target()
	a := PairUnitArgs{S: s.Mat, Q: q.Mat, K: k.Mat, Hidden: hidden.Mat,
		Product: w.Product.Val, Key: w.Key.Val, Slope: w.Slope.Val, Out: w.Out.Val,
		Scratch: t.arena.mat(1, PairUnitScratch(k.Cols, hidden.Cols)), QOffsets: qOffsets, KOffsets: kOffsets, Scale: scale}
	dev.PairUnit(a)
	if t.Learning() {
		t.recordPairUnit(s, q, k, hidden, w, a)
	}
	return s
}

// recordPairUnit is apart so that a tape that does not learn never moves a to the
// heap.
func (t *Tape) recordPairUnit(s, q, k, hidden *Var, w PairUnit, a PairUnitArgs) {
	t.Record(func() {
		if s.touched {
			t.target().PairUnitBackward(a, PairUnitGrads{DS: s.grad, DQ: t.Grad(q), DK: t.Grad(k), DHidden: t.Grad(hidden),
				DProduct: t.grads.Of(w.Product), DKey: t.grads.Of(w.Key), DSlope: t.grads.Of(w.Slope), DOut: t.grads.Of(w.Out)})
		}
	})
}
