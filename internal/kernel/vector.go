package kernel

// Dot returns the inner product of two vectors of equal length.
//
//	Σi a[i]*b[i]
func Dot(a, b []float32) float32 {
	checkSame(len(a), len(b))
	return dot(a, b)
}

// Axpy adds a multiple of x to y.
//
//	y[i] += alpha*x[i]
func Axpy(y []float32, alpha float32, x []float32) {
	checkSame(len(y), len(x))
	axpy(y, alpha, x)
}

// Add writes the sum of two vectors.
//
//	dst[i] = a[i] + b[i]
func Add(dst, a, b []float32) {
	checkSame(len(dst), len(a))
	checkSame(len(dst), len(b))
	add(dst, a, b)
}

// Mul writes the element-wise product of two vectors.
//
//	dst[i] = a[i] * b[i]
func Mul(dst, a, b []float32) {
	checkSame(len(dst), len(a))
	checkSame(len(dst), len(b))
	mul(dst, a, b)
}

// Scale writes a multiple of x.
//
//	dst[i] = alpha*x[i]
func Scale(dst []float32, alpha float32, x []float32) {
	checkSame(len(dst), len(x))
	scale(dst, alpha, x)
}

// Sum returns the sum of x, 0 if it is empty.
//
//	Σi x[i]
func Sum(x []float32) float32 { return sum(x) }

// Max returns the largest value of x: NaN if any value is NaN, -Inf if x is empty.
//
//	max over i of x[i]
func Max(x []float32) float32 { return maximum(x) }

// AddBias adds the vector bias to each row of the packed rows×cols matrix x.
//
//	x[r*cols+c] += bias[c]
func AddBias(x []float32, rows, cols int, bias []float32) {
	checkMatrix(rows, cols, cols, len(x))
	checkSame(len(bias), cols)
	if rows > 0 && cols > 0 {
		addBias(x, rows, cols, bias)
	}
}

// SumRows adds the rows of the packed rows×cols matrix x into dst, first row first.
//
//	dst[c] += Σr x[r*cols+c]
func SumRows(dst []float32, x []float32, rows, cols int) {
	checkMatrix(rows, cols, cols, len(x))
	checkSame(len(dst), cols)
	if rows > 0 && cols > 0 {
		sumRows(dst, x, rows, cols)
	}
}
