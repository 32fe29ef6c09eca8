package kernel

import "math"

// Relu writes the positive part of each value; NaN stays NaN. y may be x.
//
//	y[i] = max(x[i], 0)
func Relu(y, x []float32) {
	checkSame(len(y), len(x))
	relu(y, x)
}

// ReluBackward adds the gradient of Relu at x. dx may be dy only if the caller
// wants the sum of both.
//
//	if x[i] > 0 { dx[i] += dy[i] }
func ReluBackward(dx, dy, x []float32) {
	checkSame(len(dx), len(dy))
	checkSame(len(dx), len(x))
	reluBackward(dx, dy, x)
}

// Gelu applies the Gaussian error linear unit in its exact (erf) form, to about
// 1e-6. y may be x. Hendrycks, Gimpel, Gaussian Error Linear Units, 2016, eq. 1.
//
//	y[i] = x[i] * (1 + erf(x[i]/√2)) / 2
func Gelu(y, x []float32) {
	checkSame(len(y), len(x))
	gelu(y, x)
}

// GeluBackward adds the gradient of Gelu at x.
//
//	dx[i] += dy[i] * ((1 + erf(x[i]/√2))/2 + x[i]*exp(-x[i]²/2)/√(2π))
func GeluBackward(dx, dy, x []float32) {
	checkSame(len(dx), len(dy))
	checkSame(len(dx), len(x))
	geluBackward(dx, dy, x)
}

// Silu applies x times the logistic function of x. y may be x.
//
//	y[i] = x[i] / (1 + exp(-x[i]))
func Silu(y, x []float32) {
	checkSame(len(y), len(x))
	silu(y, x)
}

// SiluBackward adds the gradient of Silu at x.
//
//	s = 1/(1+exp(-x[i])); dx[i] += dy[i] * s * (1 + x[i]*(1-s))
func SiluBackward(dx, dy, x []float32) {
	checkSame(len(dx), len(dy))
	checkSame(len(dx), len(x))
	siluBackward(dx, dy, x)
}

// Sigmoid applies the logistic function. y may be x.
//
//	y[i] = 1 / (1 + exp(-x[i]))
func Sigmoid(y, x []float32) {
	checkSame(len(y), len(x))
	sigmoid(y, x)
}

// SigmoidBackward adds the gradient of Sigmoid at x.
//
//	s = 1/(1+exp(-x[i])); dx[i] += dy[i] * s * (1-s)
func SigmoidBackward(dx, dy, x []float32) {
	checkSame(len(dx), len(dy))
	checkSame(len(dx), len(x))
	sigmoidBackward(dx, dy, x)
}

// Softplus returns log(1 + exp(x)) without overflow.
func Softplus(x float32) float32 {
	v := float64(x)
	return float32(math.Max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))))
}

func logistic(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func normalCDF(x float32) float32 {
	return float32(0.5 * math.Erfc(-float64(x)*(math.Sqrt2/2)))
}

func normalPDF(x float32) float32 {
	const norm = 0.39894228040143267794 // 1/√(2π)
	return float32(norm * math.Exp(-0.5*float64(x)*float64(x)))
}

func reluGeneric(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = max(x[i], 0)
	}
}

func reluBackwardGeneric(dx, dy, x []float32) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	for i := range dx {
		if x[i] > 0 {
			dx[i] += dy[i]
		}
	}
}

func geluGeneric(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = x[i] * normalCDF(x[i])
	}
}

func geluBackwardGeneric(dx, dy, x []float32) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	for i := range dx {
		dx[i] += dy[i] * (normalCDF(x[i]) + x[i]*normalPDF(x[i]))
	}
}

func siluGeneric(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = x[i] * logistic(x[i])
	}
}

func siluBackwardGeneric(dx, dy, x []float32) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	for i := range dx {
		s := logistic(x[i])
		dx[i] += dy[i] * s * (1 + x[i]*(1-s))
	}
}

func sigmoidGeneric(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = logistic(x[i])
	}
}

func sigmoidBackwardGeneric(dx, dy, x []float32) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	for i := range dx {
		s := logistic(x[i])
		dx[i] += dy[i] * s * (1 - s)
	}
}
