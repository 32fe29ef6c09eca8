//go:build amd64 && !purego

package kernel

func relu(y, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		reluGeneric(y, x)
		return
	}
	for i := 0; i < len(y); i += run {
		n := min(run, len(y)-i)
		if path == pathAVX512 {
			reluAVX512(n, &y[i], &x[i])
		} else {
			reluAVX2(n, &y[i], &x[i])
		}
	}
}

func reluBackward(dx, dy, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		reluBackwardGeneric(dx, dy, x)
		return
	}
	for i := 0; i < len(dx); i += run {
		n := min(run, len(dx)-i)
		if path == pathAVX512 {
			reluBackwardAVX512(n, &dx[i], &dy[i], &x[i])
		} else {
			reluBackwardAVX2(n, &dx[i], &dy[i], &x[i])
		}
	}
}

func gelu(y, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		geluGeneric(y, x)
		return
	}
	for i := 0; i < len(y); i += run {
		n := min(run, len(y)-i)
		if path == pathAVX512 {
			geluAVX512(n, &y[i], &x[i])
		} else {
			geluAVX2(n, &y[i], &x[i])
		}
	}
}

func geluBackward(dx, dy, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		geluBackwardGeneric(dx, dy, x)
		return
	}
	for i := 0; i < len(dx); i += run {
		n := min(run, len(dx)-i)
		if path == pathAVX512 {
			geluBackwardAVX512(n, &dx[i], &dy[i], &x[i])
		} else {
			geluBackwardAVX2(n, &dx[i], &dy[i], &x[i])
		}
	}
}

func silu(y, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		siluGeneric(y, x)
		return
	}
	for i := 0; i < len(y); i += run {
		n := min(run, len(y)-i)
		if path == pathAVX512 {
			siluAVX512(n, &y[i], &x[i])
		} else {
			siluAVX2(n, &y[i], &x[i])
		}
	}
}

func siluBackward(dx, dy, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		siluBackwardGeneric(dx, dy, x)
		return
	}
	for i := 0; i < len(dx); i += run {
		n := min(run, len(dx)-i)
		if path == pathAVX512 {
			siluBackwardAVX512(n, &dx[i], &dy[i], &x[i])
		} else {
			siluBackwardAVX2(n, &dx[i], &dy[i], &x[i])
		}
	}
}

func sigmoid(y, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		sigmoidGeneric(y, x)
		return
	}
	for i := 0; i < len(y); i += run {
		n := min(run, len(y)-i)
		if path == pathAVX512 {
			sigmoidAVX512(n, &y[i], &x[i])
		} else {
			sigmoidAVX2(n, &y[i], &x[i])
		}
	}
}

func sigmoidBackward(dx, dy, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		sigmoidBackwardGeneric(dx, dy, x)
		return
	}
	for i := 0; i < len(dx); i += run {
		n := min(run, len(dx)-i)
		if path == pathAVX512 {
			sigmoidBackwardAVX512(n, &dx[i], &dy[i], &x[i])
		} else {
			sigmoidBackwardAVX2(n, &dx[i], &dy[i], &x[i])
		}
	}
}

func dropout(y, x []float32, factor float32, threshold, counter, key0, key1 uint32) {
	path := chosen.Load()
	if path == pathGeneric {
		dropoutGeneric(y, x, factor, threshold, counter, key0, key1)
		return
	}
	for i := 0; i < len(y); i += run {
		n := min(run, len(y)-i)
		if path == pathAVX512 {
			dropoutAVX512(n, &y[i], &x[i], factor, threshold, counter+uint32(i), key0, key1)
		} else {
			dropoutAVX2(n, &y[i], &x[i], factor, threshold, counter+uint32(i), key0, key1)
		}
	}
}

func adamW(w, g, m, v []float32, f *adamFactors) {
	path := chosen.Load()
	if path == pathGeneric {
		adamWGeneric(w, g, m, v, f)
		return
	}
	for i := 0; i < len(w); i += run {
		n := min(run, len(w)-i)
		if path == pathAVX512 {
			adamWAVX512(n, &w[i], &g[i], &m[i], &v[i], &f.beta1)
		} else {
			adamWAVX2(n, &w[i], &g[i], &m[i], &v[i], &f.beta1)
		}
	}
}
