package lifelong

import "math"

// Blend writes the final scores of candidates to dst: what the first stage said
// of them and the log odds of the second, each brought to mean 0 and standard
// deviation 1 over the candidates, since the two have no unit in common:
//
//	dst = z(retrieval) + weight * z(logOdds)
//
// Scores that are all equal count as zeros. A weight of 0 leaves the order of
// the first stage. dst may be either input.
func Blend(dst, retrieval, logOdds []float32, weight float64) {
	BlendBeside(dst, retrieval, logOdds, weight, len(dst))
}

// BlendBeside is Blend for n candidates and more behind them, which are brought to
// the scale of the n and change nothing of their scores.
func BlendBeside(dst, retrieval, logOdds []float32, weight float64, n int) {
	shift1, scale1 := standard(retrieval[:n])
	shift2, scale2 := standard(logOdds[:n])
	for i := range dst {
		dst[i] = float32((float64(retrieval[i])-shift1)*scale1 + weight*(float64(logOdds[i])-shift2)*scale2)
	}
}

// standard gives the mean of x and one over its standard deviation, or 0 where
// there is none. Rounding alone may part equal scores: that is no deviation.
func standard(x []float32) (mean, inverse float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(max(len(x), 1))
	var squares float64
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	sd := math.Sqrt(squares / float64(max(len(x), 1)))
	if !(sd > 1e-9*math.Abs(mean)) || math.IsInf(sd, 0) {
		return mean, 0
	}
	return mean, 1 / sd
}
