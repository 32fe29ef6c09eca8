package tensor

// AttendArgs is softmax attention over packed sequences, for all heads at once:
//
//	weights = softmax(scale * q k^T)    out = dropout(weights) v
//
// (Vaswani et al. 2017, eq. 1). Sequence b owns query rows
// QOffsets[b]..QOffsets[b+1]-1 and key rows KOffsets[b]..KOffsets[b+1]-1. The
// queries stand for the newest rows of the keys: with nq queries and nk keys
// query i is key nk-nq+i, and when Causal it sees keys 0..nk-nq+i. So training
// passes the same offsets twice and serving asks only for the rows it needs.
// A query without any visible key gets zeros.
type AttendArgs struct {
	Out      Mat // Tq x H*Dv
	Q        Mat // Tq x H*Dk
	K        Mat // Tk x H*Dk
	V        Mat // Tk x H*Dv
	Weights  Mat // AttendWeights floats, kept for the backward; empty when nothing is learned
	Scratch  Mat // AttendScratch floats
	QOffsets Index
	KOffsets Index
	Heads    int
	Causal   bool
	Scale    float32
	Drop     Drop // on the weights
}

// AttendGrads are the gradients of one Attend: DOut is read, the others are
// added to.
type AttendGrads struct{ DOut, DQ, DK, DV Mat }

// attendRows is how many queries share one matrix product. Causal attention
// wastes half a block per row of blocks, a smaller block starves the product.
const attendRows = 32

// AttendSizes counts the floats that Weights and Scratch need.
func AttendSizes(qOffsets, kOffsets []int32, heads int) (weights, scratch int) {
	longest := 0
	for b := range len(qOffsets) - 1 {
		nq := int(qOffsets[b+1] - qOffsets[b])
		nk := int(kOffsets[b+1] - kOffsets[b])
		weights += nq * nk * heads
		longest = max(longest, nk)
	}
	return weights, 2 * attendRows * longest
}

// Attend is AttendArgs as an operation on the tape. Out, Weights, Scratch and
// the dropout key are filled in here; the rest of a comes from the caller.
func (t *Tape) Attend(q, k, v *Var, a AttendArgs, dropout float32) *Var {
	out := t.newVar(q.Rows, v.Cols)
	weights, scratch := AttendSizes(a.QOffsets.V, a.KOffsets.V, a.Heads)
	a.Out, a.Q, a.K, a.V = out.Mat, q.Mat, k.Mat, v.Mat
	a.Scratch = t.arena.mat(1, scratch)
	if !t.Learning() {
		t.dev.Attend(a)
		return out
	}
	a.Weights = t.arena.mat(1, weights)
	a.Drop = t.NextDrop(dropout, weights)
	t.dev.Attend(a)
	t.recordAttend(out, q, k, v, a)
	return out
}

// recordAttend is apart so that a tape that does not learn never moves a to
// the heap.
func (t *Tape) recordAttend(out, q, k, v *Var, a AttendArgs) {
	t.Record(func() {
		if out.touched {
			t.dev.AttendBackward(a, AttendGrads{DOut: out.grad, DQ: t.Grad(q), DK: t.Grad(k), DV: t.Grad(v)})
		}
	})
}
