package tensor

import (
	"seqrec/internal/kernel"
)

// CPU is the Device made of internal/kernel. It computes on the calling
// goroutine; parallelism is one tape per lane.
type CPU struct{}

var _ Device = CPU{}

// Name is "cpu/" and the instruction set in use.
func (CPU) Name() string { return "cpu/" + kernel.Features() }

// Alloc returns n zeroed floats.
func (CPU) Alloc(n int) Block { return Block{V: make([]float32, n)} }

// Index keeps the slice.
func (CPU) Index(rows []int32) Index { return Index{V: rows, N: len(rows)} }

// Upload copies src into dst.
func (CPU) Upload(dst Mat, src []float32) {
	if len(src) != dst.Len() {
		panic("tensor: Upload: wrong length")
	}
	copy(dst.V, src)
}

// Download copies src into dst.
func (CPU) Download(dst []float32, src Mat) {
	if len(dst) != src.Len() {
		panic("tensor: Download: wrong length")
	}
	copy(dst, src.V)
}

// Zero clears dst.
func (CPU) Zero(dst Mat) { clear(dst.V) }

// Copy sets dst to src.
func (CPU) Copy(dst, src Mat) {
	sameShape("Copy", dst, src)
	copy(dst.V, src.V)
}

// Gemm is dst = op(a) op(b), or += with acc.
func (CPU) Gemm(dst, a Mat, ta bool, b Mat, tb bool, acc bool) {
	m, k := a.Rows, a.Cols
	if ta {
		m, k = k, m
	}
	kb, n := b.Rows, b.Cols
	if tb {
		kb, n = n, kb
	}
	if k != kb || dst.Rows != m || dst.Cols != n {
		panic("tensor: Gemm: shapes do not fit")
	}
	switch {
	case ta && tb:
		panic("tensor: Gemm: both operands transposed")
	case ta:
		kernel.GemmTN(m, n, k, a.V, a.Cols, b.V, b.Cols, dst.V, dst.Cols, acc)
	case tb:
		kernel.GemmNT(m, n, k, a.V, a.Cols, b.V, b.Cols, dst.V, dst.Cols, acc)
	default:
		kernel.GemmNN(m, n, k, a.V, a.Cols, b.V, b.Cols, dst.V, dst.Cols, acc)
	}
}

// AddBias adds bias to every row of dst.
func (CPU) AddBias(dst, bias Mat) { kernel.AddBias(dst.V, dst.Rows, dst.Cols, bias.V) }

// SumRows adds the sum of the rows of src to dst.
func (CPU) SumRows(dst, src Mat) { kernel.SumRows(dst.V, src.V, src.Rows, src.Cols) }

// Axpy adds alpha*src to dst.
func (CPU) Axpy(dst Mat, alpha float32, src Mat) {
	sameShape("Axpy", dst, src)
	kernel.Axpy(dst.V, alpha, src.V)
}

// Scale sets dst = alpha*src.
func (CPU) Scale(dst Mat, alpha float32, src Mat) {
	sameShape("Scale", dst, src)
	kernel.Scale(dst.V, alpha, src.V)
}

// Mul sets (or adds) the element-wise product.
func (CPU) Mul(dst, a, b Mat, acc bool) {
	sameShape("Mul", dst, a)
	sameShape("Mul", a, b)
	if !acc {
		kernel.Mul(dst.V, a.V, b.V)
		return
	}
	for i, x := range a.V {
		dst.V[i] += x * b.V[i]
	}
}

// SquareSum sums squares piecewise: float32 inside a piece, float64 across.
func (CPU) SquareSum(src Mat) float64 {
	const piece = 1024
	var sum float64
	for lo := 0; lo < len(src.V); lo += piece {
		p := src.V[lo:min(lo+piece, len(src.V))]
		sum += float64(kernel.Dot(p, p))
	}
	return sum
}

// Gather copies rows of the table.
func (CPU) Gather(dst, table Mat, idx Index) {
	kernel.Gather(dst.V, table.V, table.Cols, idx.V)
}

// ScatterAdd adds rows into the table.
func (CPU) ScatterAdd(table Mat, idx Index, src Mat) {
	kernel.ScatterAdd(table.V, table.Cols, idx.V, src.V)
}

// Activate applies f.
func (CPU) Activate(f Activation, dst, src Mat) {
	switch f {
	case ReLU:
		kernel.Relu(dst.V, src.V)
	case GELU:
		kernel.Gelu(dst.V, src.V)
	case SiLU:
		kernel.Silu(dst.V, src.V)
	case Sigmoid:
		kernel.Sigmoid(dst.V, src.V)
	default:
		panic("tensor: unknown activation " + string(f))
	}
}

// ActivateBackward adds dy*f'(x) to dx.
func (CPU) ActivateBackward(f Activation, dx, dy, x Mat) {
	switch f {
	case ReLU:
		kernel.ReluBackward(dx.V, dy.V, x.V)
	case GELU:
		kernel.GeluBackward(dx.V, dy.V, x.V)
	case SiLU:
		kernel.SiluBackward(dx.V, dy.V, x.V)
	case Sigmoid:
		kernel.SigmoidBackward(dx.V, dy.V, x.V)
	default:
		panic("tensor: unknown activation " + string(f))
	}
}

// LayerNorm normalises the rows of x into y.
func (CPU) LayerNorm(y, x, gain, bias Mat, eps float32, mean, rstd Mat) {
	kernel.LayerNorm(y.V, x.V, gain.V, bias.V, x.Rows, x.Cols, eps, mean.V, rstd.V)
}

// LayerNormBackward adds the gradients of LayerNorm.
func (CPU) LayerNormBackward(dx, dgain, dbias, dy, x, gain, mean, rstd Mat) {
	kernel.LayerNormBackward(dx.V, dgain.V, dbias.V, dy.V, x.V, gain.V, x.Rows, x.Cols, mean.V, rstd.V)
}

// Dropout applies the mask of key.
func (CPU) Dropout(dst, src Mat, p float32, key DropKey) {
	kernel.Dropout(dst.V, src.V, p, key.Stream, key.Offset)
}

// AdamW makes one optimiser step.
func (CPU) AdamW(w, g, m, v Mat, o kernel.AdamW) { o.Update(w.V, g.V, m.V, v.V) }
