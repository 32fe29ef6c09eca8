package tensor

import (
	"math"

	"seqrec/internal/kernel"
)

var _ TargetDevice = CPU{}

// GatherColumns copies rows of the table into a block of columns.
func (CPU) GatherColumns(dst Mat, col int, table Mat, idx Index, scale float32) {
	checkColumns("GatherColumns", dst, col, table.Cols)
	if idx.N != dst.Rows {
		panic("tensor: GatherColumns: one index a row")
	}
	w := table.Cols
	for i, row := range idx.V {
		to, from := dst.V[i*dst.Cols+col:][:w], table.V[int(row)*w:][:w]
		if scale == 1 {
			copy(to, from)
		} else {
			kernel.Scale(to, scale, from)
		}
	}
}

// ScatterAddColumns adds a block of columns into rows of the table.
func (CPU) ScatterAddColumns(table Mat, idx Index, src Mat, col int, scale float32) {
	checkColumns("ScatterAddColumns", src, col, table.Cols)
	if idx.N != src.Rows {
		panic("tensor: ScatterAddColumns: one index a row")
	}
	w := table.Cols
	for i, row := range idx.V {
		kernel.Axpy(table.V[int(row)*w:][:w], scale, src.V[i*src.Cols+col:][:w])
	}
}

// CopyColumns copies or adds a block of columns.
func (CPU) CopyColumns(dst Mat, dstCol int, src Mat, srcCol, n int, acc bool) {
	checkColumns("CopyColumns", dst, dstCol, n)
	checkColumns("CopyColumns", src, srcCol, n)
	if dst.Rows != src.Rows {
		panic("tensor: CopyColumns: rows differ")
	}
	for i := range dst.Rows {
		to, from := dst.V[i*dst.Cols+dstCol:][:n], src.V[i*src.Cols+srcCol:][:n]
		if acc {
			kernel.Add(to, to, from)
		} else {
			copy(to, from)
		}
	}
}

func checkColumns(verb string, m Mat, col, n int) {
	if col < 0 || n < 0 || col+n > m.Cols {
		panic("tensor: " + verb + ": columns outside the matrix")
	}
}

// Moments sums row by row in float64: batches are large and means small.
func (CPU) Moments(mean, variance, x Mat) {
	sums, squares := make([]float64, x.Cols), make([]float64, x.Cols)
	n := float64(max(x.Rows, 1))
	for i := range x.Rows {
		for j, v := range x.V[i*x.Cols:][:x.Cols] {
			sums[j] += float64(v)
		}
	}
	for j := range sums {
		sums[j] /= n
	}
	for i := range x.Rows {
		for j, v := range x.V[i*x.Cols:][:x.Cols] {
			d := float64(v) - sums[j]
			squares[j] += d * d
		}
	}
	for j := range sums {
		mean.V[j], variance.V[j] = float32(sums[j]), float32(squares[j]/n)
	}
}

// Normalise applies moments, gain and bias column by column.
func (CPU) Normalise(y, x, mean, variance, gain, bias Mat, eps float32) {
	sameShape("Normalise", y, x)
	scale, shift := make([]float32, x.Cols), make([]float32, x.Cols)
	for j := range scale {
		scale[j] = gain.V[j] * reciprocalRoot(variance.V[j]+eps)
		shift[j] = bias.V[j] - mean.V[j]*scale[j]
	}
	for i := range x.Rows {
		to := y.V[i*x.Cols:][:x.Cols]
		kernel.Mul(to, x.V[i*x.Cols:][:x.Cols], scale)
		kernel.Add(to, to, shift)
	}
}

// NormaliseBackward is the gradient of batch normalisation (Ioffe & Szegedy
// 2015, section 3): with h the normalised column and e = dy*gain,
//
//	dx = (e - mean(e) - h*mean(e*h)) / sqrt(variance + eps)
func (CPU) NormaliseBackward(dx, dgain, dbias, dy, x, mean, variance, gain Mat, eps float32) {
	n, cols := float64(max(x.Rows, 1)), x.Cols
	plain, times := make([]float64, cols), make([]float64, cols) // sums of dy and of dy*h
	rstd := make([]float32, cols)
	for j := range rstd {
		rstd[j] = reciprocalRoot(variance.V[j] + eps)
	}
	for i := range x.Rows {
		for j, g := range dy.V[i*cols:][:cols] {
			plain[j] += float64(g)
			times[j] += float64(g * (x.V[i*cols+j] - mean.V[j]) * rstd[j])
		}
	}
	for j := range rstd {
		dgain.V[j] += float32(times[j])
		dbias.V[j] += float32(plain[j])
		plain[j], times[j] = plain[j]/n, times[j]/n
	}
	for i := range x.Rows {
		for j, g := range dy.V[i*cols:][:cols] {
			h := (x.V[i*cols+j] - mean.V[j]) * rstd[j]
			dx.V[i*cols+j] += gain.V[j] * rstd[j] * (g - float32(plain[j]) - h*float32(times[j]))
		}
	}
}

func reciprocalRoot(x float32) float32 { return float32(1 / math.Sqrt(float64(x))) }

// PReLU is slope*x + (1-slope)*max(x, 0): signs are no matter of branches, which
// random ones would mislead.
func (CPU) PReLU(y, x, slope Mat) {
	sameShape("PReLU", y, x)
	kernel.Relu(y.V, x.V)
	kernel.Scale(y.V, 1-slope.V[0], y.V)
	kernel.Axpy(y.V, slope.V[0], x.V)
}

// PReLUBackward adds to dx, and to dslope the sum of dy*x where x <= 0.
func (CPU) PReLUBackward(dx, dslope, dy, x, slope Mat) {
	a, sum := slope.V[0], 0.0
	for i, v := range x.V {
		g := dy.V[i]
		if v <= 0 {
			sum += float64(g * v)
			g *= a
		}
		dx.V[i] += g
	}
	dslope.V[0] += float32(sum)
}

// Sign keeps the signs.
func (CPU) Sign(dst, src Mat) {
	sameShape("Sign", dst, src)
	for i, v := range src.V {
		dst.V[i] = -1
		if v >= 0 {
			dst.V[i] = 1
		}
	}
}
