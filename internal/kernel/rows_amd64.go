//go:build amd64 && !purego

package kernel

// rowsPerCall is how many rows of cols values one assembly call gets. A row
// longer than run is cut by AddBias and SumRows, whose rows may be a catalogue
// long; those of the others are states.
func rowsPerCall(cols int) int { return max(1, run/cols) }

func addBias(x []float32, rows, cols int, bias []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		addBiasGeneric(x, rows, cols, bias)
		return
	}
	for lo, step := 0, rowsPerCall(cols); lo < rows; lo += step {
		n, i := min(step, rows-lo), lo*cols
		for c := 0; c < cols; c += run { // more than once only with one row a call
			width := min(run, cols-c)
			if path == pathAVX512 {
				addBiasAVX512(n, width, &x[i+c], &bias[c])
			} else {
				addBiasAVX2(n, width, &x[i+c], &bias[c])
			}
		}
	}
}

func sumRows(dst, x []float32, rows, cols int) {
	path := chosen.Load()
	if path == pathGeneric {
		sumRowsGeneric(dst, x, rows, cols)
		return
	}
	for lo, step := 0, rowsPerCall(cols); lo < rows; lo += step {
		n, i := min(step, rows-lo), lo*cols
		for c := 0; c < cols; c += run { // more than once only with one row a call
			width := min(run, cols-c)
			if path == pathAVX512 {
				sumRowsAVX512(n, width, &dst[c], &x[i+c])
			} else {
				sumRowsAVX2(n, width, &dst[c], &x[i+c])
			}
		}
	}
}

func scatterAdd(table []float32, rows, cols int, idx []int32, src []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		scatterAddGeneric(table, rows, cols, idx, src)
		return
	}
	for lo, step := 0, rowsPerCall(cols); lo < rows; lo += step {
		n, i := min(step, rows-lo), lo*cols
		if path == pathAVX512 {
			scatterAddAVX512(n, cols, &table[0], &idx[lo], &src[i])
		} else {
			scatterAddAVX2(n, cols, &table[0], &idx[lo], &src[i])
		}
	}
}

func layerNorm(y, x, gain, bias []float32, rows, cols int, eps float32, mean, rstd []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		layerNormGeneric(y, x, gain, bias, rows, cols, eps, mean, rstd)
		return
	}
	share := 1 / float32(cols)
	for lo, step := 0, rowsPerCall(cols); lo < rows; lo += step {
		n, i := min(step, rows-lo), lo*cols
		var mu, rs *float32
		if mean != nil {
			mu, rs = &mean[lo], &rstd[lo]
		}
		if path == pathAVX512 {
			layerNormAVX512(n, cols, &y[i], &x[i], &gain[0], &bias[0], eps, share, mu, rs)
		} else {
			layerNormAVX2(n, cols, &y[i], &x[i], &gain[0], &bias[0], eps, share, mu, rs)
		}
	}
}

func layerNormBackward(dx, dgain, dbias, dy, x, gain []float32, rows, cols int, mean, rstd []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		layerNormBackwardGeneric(dx, dgain, dbias, dy, x, gain, rows, cols, mean, rstd)
		return
	}
	share := 1 / float32(cols)
	for lo, step := 0, rowsPerCall(cols); lo < rows; lo += step {
		n, i := min(step, rows-lo), lo*cols
		if path == pathAVX512 {
			layerNormBackwardAVX512(n, cols, &dx[i], &dgain[0], &dbias[0], &dy[i], &x[i], &gain[0], &mean[lo], &rstd[lo], share)
		} else {
			layerNormBackwardAVX2(n, cols, &dx[i], &dgain[0], &dbias[0], &dy[i], &x[i], &gain[0], &mean[lo], &rstd[lo], share)
		}
	}
}
