package kernel

import "math"

// LayerNorm normalises each row of the packed rows×cols matrix x to mean 0 and
// variance 1, then applies gain and bias (both of length cols). mean and rstd
// (length rows) keep the moments for the backward pass; both are nil when not
// learning. y may be x. Ba, Kiros, Hinton, Layer Normalization, 2016, eq. 4.
//
//	mean[r] = Σc x[r,c] / cols
//	rstd[r] = 1/sqrt(Σc (x[r,c]-mean[r])² / cols + eps)
//	y[r,c]  = (x[r,c]-mean[r])*rstd[r]*gain[c] + bias[c]
func LayerNorm(y, x, gain, bias []float32, rows, cols int, eps float32, mean, rstd []float32) {
	checkMatrix(rows, cols, cols, len(x))
	checkMatrix(rows, cols, cols, len(y))
	checkSame(len(gain), cols)
	checkSame(len(bias), cols)
	if mean != nil || rstd != nil {
		checkSame(len(mean), rows)
		checkSame(len(rstd), rows)
	}
	if rows == 0 || cols == 0 {
		return
	}
	layerNorm(y, x, gain, bias, rows, cols, eps, mean, rstd)
}

// LayerNormBackward adds the gradients of a LayerNorm to dx (rows×cols), dgain
// and dbias (cols), from the gradient dy of its output, its input x, its gain
// and the moments it kept.
//
//	h = (x[r,c]-mean[r])*rstd[r]; e = dy[r,c]*gain[c]
//	dgain[c] += dy[r,c]*h; dbias[c] += dy[r,c]
//	dx[r,c] += rstd[r]*(e - mean over c of e - h*(mean over c of e*h))
func LayerNormBackward(dx, dgain, dbias, dy, x, gain []float32, rows, cols int, mean, rstd []float32) {
	checkMatrix(rows, cols, cols, len(dx))
	checkMatrix(rows, cols, cols, len(dy))
	checkMatrix(rows, cols, cols, len(x))
	checkSame(len(dgain), cols)
	checkSame(len(dbias), cols)
	checkSame(len(gain), cols)
	checkSame(len(mean), rows)
	checkSame(len(rstd), rows)
	if rows == 0 || cols == 0 {
		return
	}
	layerNormBackward(dx, dgain, dbias, dy, x, gain, rows, cols, mean, rstd)
}

func layerNormGeneric(y, x, gain, bias []float32, rows, cols int, eps float32, mean, rstd []float32) {
	for r := range rows {
		in, out := x[r*cols:(r+1)*cols], y[r*cols:(r+1)*cols]
		mu := sumGeneric(in) / float32(cols)
		var square float32
		for _, v := range in {
			square += (v - mu) * (v - mu)
		}
		rs := float32(1 / math.Sqrt(float64(square/float32(cols)+eps)))
		for c := range out {
			out[c] = (in[c]-mu)*rs*gain[c] + bias[c]
		}
		if mean != nil {
			mean[r], rstd[r] = mu, rs
		}
	}
}

func layerNormBackwardGeneric(dx, dgain, dbias, dy, x, gain []float32, rows, cols int, mean, rstd []float32) {
	for r := range rows {
		in, up, down := x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], dx[r*cols:(r+1)*cols]
		mu, rs := mean[r], rstd[r]
		var se, seh float32
		for c := range in {
			h := (in[c] - mu) * rs
			e := up[c] * gain[c]
			se += e
			seh += e * h
			dgain[c] += up[c] * h
			dbias[c] += up[c]
		}
		me, meh := se/float32(cols), seh/float32(cols)
		for c := range in {
			h := (in[c] - mu) * rs
			down[c] += rs * (up[c]*gain[c] - me - h*meh)
		}
	}
}
