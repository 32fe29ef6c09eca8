package tensor

import "seqrec/internal/kernel"

// Device runs the arithmetic. It is wide on purpose: one method per verb, like
// BLAS, so that a second device implements the same list and one conformance
// suite (devicetest) runs every verb on it.
//
// Matrices and indices name memory on the device; only Upload, Download and
// the scalar results of the losses cross to the host. A broken shape is the
// caller's fault and panics. A Device may be used by many goroutines at once as
// long as they write to different memory.
type Device interface {
	// Name says what runs: "cpu/avx512".
	Name() string

	// Alloc returns n zeroed floats.
	Alloc(n int) Block
	// Index makes row numbers known to the device. The CPU keeps the slice, so
	// it must not change while the Index is in use.
	Index(rows []int32) Index
	Upload(dst Mat, src []float32)
	Download(dst []float32, src Mat)
	Zero(dst Mat)
	Copy(dst, src Mat)

	// Gemm sets (or, with acc, adds to) dst = op(a) op(b), where op transposes
	// when the flag is set. Both flags together are not offered.
	Gemm(dst, a Mat, ta bool, b Mat, tb bool, acc bool)
	// AddBias adds the one-row bias to every row of dst.
	AddBias(dst, bias Mat)
	// SumRows adds the sum of the rows of src to the one-row dst.
	SumRows(dst, src Mat)
	// Axpy adds alpha*src to dst.
	Axpy(dst Mat, alpha float32, src Mat)
	// Scale sets dst = alpha*src.
	Scale(dst Mat, alpha float32, src Mat)
	// Mul sets dst = a*b element by element; with acc it adds.
	Mul(dst, a, b Mat, acc bool)
	// SquareSum is the sum of squares: in float32 within short fixed pieces, in
	// float64 across them.
	SquareSum(src Mat) float64

	// Gather sets row i of dst to row idx[i] of table.
	Gather(dst, table Mat, idx Index)
	// ScatterAdd adds row i of src to row idx[i] of table, i ascending.
	ScatterAdd(table Mat, idx Index, src Mat)

	// Activate sets dst = f(src); ActivateBackward adds dy*f'(x) to dx.
	Activate(f Activation, dst, src Mat)
	ActivateBackward(f Activation, dx, dy, x Mat)
	// LayerNorm normalises each row of x to mean 0 and variance 1, then applies
	// gain and bias. mean and rstd (one float a row) are kept for the backward;
	// they are empty when nothing is learned.
	LayerNorm(y, x, gain, bias Mat, eps float32, mean, rstd Mat)
	LayerNormBackward(dx, dgain, dbias, dy, x, gain, mean, rstd Mat)
	// Dropout sets dst = src/(1-p) where the counter-based generator keeps the
	// element and 0 elsewhere. The same key gives the same mask, so the backward
	// calls it again instead of storing it.
	Dropout(dst, src Mat, p float32, key DropKey)

	// Attend is softmax attention over packed sequences; see AttendArgs.
	Attend(a AttendArgs)
	AttendBackward(a AttendArgs, g AttendGrads)

	// CrossEntropy, SampledCrossEntropy and BinaryCrossEntropy return the loss
	// summed over rows times a.Scale and, when a.Learn is set, add its
	// gradients. None of them stores a rows x items matrix.
	CrossEntropy(a CatalogueArgs) float64
	SampledCrossEntropy(a SampledArgs) float64
	BinaryCrossEntropy(a BinaryArgs) float64

	// TopK offers every row of table to top with the score row . state + bias
	// (state is one row; bias is 1 x N or empty). Bit i of blocked keeps row i
	// out. Only the winners come to the host.
	TopK(top *kernel.TopK, table, bias, state Mat, blocked []uint64)
	// ScoreAt sets dst[i], in host memory, to the score of row rows[i], to the
	// bits that TopK gives it.
	ScoreAt(dst []float32, table, bias, state Mat, rows Index)

	// AdamW makes one optimiser step on w with gradient g and moments m, v.
	AdamW(w, g, m, v Mat, o kernel.AdamW)
}

// Activation names an element-wise function.
type Activation string

// The activations every device knows.
const (
	ReLU    Activation = "relu"
	GELU    Activation = "gelu" // x * Phi(x), the exact (erf) form
	SiLU    Activation = "silu" // x * sigmoid(x)
	Sigmoid Activation = "sigmoid"
)

// DropKey picks one dropout mask: a stream (one per training run, step and
// chunk) and the first counter in it.
type DropKey struct {
	Stream uint64
	Offset uint64
}

// Drop adds dropout to an operation; the zero value drops nothing.
type Drop struct {
	P   float32
	Key DropKey
}
