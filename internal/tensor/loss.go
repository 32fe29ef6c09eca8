package tensor

import "fmt"

// CatalogueArgs is softmax cross-entropy over the whole catalogue:
//
//	s = H Table^T + Bias    loss = Scale * sum over rows r of logsumexp(s_r) - s_r[target_r]
//
// with gradient G = Scale*(softmax(s) - onehot(target)): DH += G Table,
// DTable += G^T H, DBias += sum over rows of G.
type CatalogueArgs struct {
	H       Mat   // R x D, states at positions that have a target
	Table   Mat   // N x D
	Bias    Mat   // 1 x N, or empty
	Targets Index // R
	Scale   float32
	Learn   bool
	DH      Mat
	DTable  Mat
	DBias   Mat // empty when Bias is
	Scratch Mat // CatalogueScratch(R, N) floats
}

// SampledArgs is softmax cross-entropy over the target and K negatives that
// the whole call shares. A negative that equals the row's target is masked.
// With LogQ (1 x N log sampling probabilities) every logit loses log q of its
// item (Bengio & Senecal 2008; Yi et al. 2019).
type SampledArgs struct {
	H         Mat // R x D
	Table     Mat // N x D
	Bias      Mat // 1 x N, or empty
	LogQ      Mat // 1 x N, or empty
	Targets   Index
	Negatives Index // K
	Scale     float32
	Learn     bool
	DH        Mat
	DTable    Mat
	DBias     Mat
	Scratch   Mat // SampledScratch(K, D) floats
}

// BinaryArgs is binary cross-entropy against K negatives of each row:
//
//	loss = Scale * sum over rows of Beta*softplus(-s_p) + sum over negatives of softplus(s_n)
//
// Beta = 1 is the loss of SASRec (Kang & McAuley 2018, eq. 6); gBCE (Petrov &
// Macdonald 2023, eq. 9) is Beta < 1.
type BinaryArgs struct {
	H         Mat // R x D
	Table     Mat // N x D
	Bias      Mat // 1 x N, or empty
	Targets   Index
	Negatives Index // R*K, row r owns K of them
	Beta      float32
	Scale     float32
	Learn     bool
	DH        Mat
	DTable    Mat
	DBias     Mat
}

// CrossEntropy is CatalogueArgs as the last operation of a tape: it returns the
// loss and, while learning, seeds the gradients of h, table and bias (nil for
// none).
func (t *Tape) CrossEntropy(h *Var, table, bias *Param, targets Index, scale float32) float64 {
	checkTargets(h, table, targets)
	a := CatalogueArgs{H: h.Mat, Table: table.Val, Targets: targets, Scale: scale, Learn: t.Learning(),
		Scratch: t.arena.mat(1, CatalogueScratch(h.Rows, table.Val.Rows))}
	a.Bias, a.DH, a.DTable, a.DBias = t.lossGrads(h, table, bias)
	return t.dev.CrossEntropy(a)
}

// SampledCrossEntropy is SampledArgs as the last operation of a tape.
func (t *Tape) SampledCrossEntropy(h *Var, table, bias *Param, targets, negatives Index, logQ Mat, scale float32) float64 {
	checkTargets(h, table, targets)
	a := SampledArgs{H: h.Mat, Table: table.Val, LogQ: logQ, Targets: targets, Negatives: negatives,
		Scale: scale, Learn: t.Learning(), Scratch: t.arena.mat(1, SampledScratch(negatives.N, h.Cols))}
	a.Bias, a.DH, a.DTable, a.DBias = t.lossGrads(h, table, bias)
	return t.dev.SampledCrossEntropy(a)
}

// BinaryCrossEntropy is BinaryArgs as the last operation of a tape.
func (t *Tape) BinaryCrossEntropy(h *Var, table, bias *Param, targets, negatives Index, beta, scale float32) float64 {
	checkTargets(h, table, targets)
	if h.Rows > 0 && negatives.N%h.Rows != 0 {
		panic(fmt.Sprintf("tensor: %d negatives do not divide into %d rows", negatives.N, h.Rows))
	}
	a := BinaryArgs{H: h.Mat, Table: table.Val, Targets: targets, Negatives: negatives,
		Beta: beta, Scale: scale, Learn: t.Learning()}
	a.Bias, a.DH, a.DTable, a.DBias = t.lossGrads(h, table, bias)
	return t.dev.BinaryCrossEntropy(a)
}

// checkTargets panics unless every row has a target in the table: one beyond it
// would pass unseen through a streamed loss.
func checkTargets(h *Var, table *Param, targets Index) {
	if targets.N != h.Rows {
		panic(fmt.Sprintf("tensor: %d targets for %d rows", targets.N, h.Rows))
	}
	for _, p := range targets.V {
		if p < 0 || int(p) >= table.Val.Rows {
			panic(fmt.Sprintf("tensor: target %d in a table of %d rows", p, table.Val.Rows))
		}
	}
}

func (t *Tape) lossGrads(h *Var, table, bias *Param) (b, dh, dtable, dbias Mat) {
	if bias != nil {
		b = bias.Val
	}
	if !t.Learning() {
		return b, dh, dtable, dbias
	}
	dh, dtable = t.Grad(h), t.grads.Of(table)
	if bias != nil {
		dbias = t.grads.Of(bias)
	}
	return b, dh, dtable, dbias
}
