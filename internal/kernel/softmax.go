package kernel

import "math"

// Exp writes the exponential of each value; exp(-Inf) is 0 and NaN stays NaN.
//
//	dst[i] = exp(x[i])
func Exp(dst, x []float32) {
	checkSame(len(dst), len(x))
	expSum(dst, x, 1, 0)
}

// ExpSum writes scaled and shifted exponentials and returns their sum.
//
//	dst[i] = exp(scale*x[i] - shift); return Σi dst[i]
func ExpSum(dst, x []float32, scale, shift float32) float32 {
	checkSame(len(dst), len(x))
	return expSum(dst, x, scale, shift)
}

// Softmax replaces x by softmax(scale*x), scale > 0, and returns the logarithm of
// the sum of the exponentials. A row that is empty or all -Inf becomes zeros and
// returns -Inf, so a position that may look at nothing attends to nothing.
//
//	lse = log(Σi exp(scale*x[i])); x[i] = exp(scale*x[i] - lse)
func Softmax(x []float32, scale float32) (lse float32) {
	top, total := softmax(x, scale)
	if math.IsInf(float64(top), -1) {
		clear(x)
		return top
	}
	return scale*top + float32(math.Log(float64(total)))
}

// SoftmaxBackward turns the gradient dy of y = softmax(scale*x) into that of x.
// dx may be dy.
//
//	dx[i] = scale*y[i]*(dy[i] - Σj y[j]*dy[j])
func SoftmaxBackward(dx, y, dy []float32, scale float32) {
	checkSame(len(dx), len(y))
	checkSame(len(dx), len(dy))
	softmaxBackward(dx, y, dy, scale, dot(y, dy))
}

// softmaxSteps is Softmax one step at a time: the twin of the fused routines, and
// the way of rows too long for one call. It returns the maximum and the sum of the
// exponentials, and leaves x alone if the maximum is -Inf.
func softmaxSteps(x []float32, factor float32) (top, total float32) {
	top = maximum(x)
	if math.IsInf(float64(top), -1) {
		return top, 0
	}
	total = expSum(x, x, factor, factor*top)
	scale(x, 1/total, x)
	return top, total
}

func expSumGeneric(dst, x []float32, scale, shift float32) float32 {
	x = x[:len(dst)]
	var total float32
	for i := range dst {
		dst[i] = float32(math.Exp(float64(scale*x[i] - shift)))
		total += dst[i]
	}
	return total
}

func softmaxBackwardGeneric(dx, y, dy []float32, scale, inner float32) {
	y, dy = y[:len(dx)], dy[:len(dx)]
	for i := range dx {
		dx[i] = scale * y[i] * (dy[i] - inner)
	}
}
