//go:build amd64 && !purego

package kernel

import "math"

// run is the most elements one assembly call gets: at most some 30 microseconds of
// the slowest loop with data from memory.
const run = 16384

func dot(x, y []float32) float32 {
	path := chosen.Load()
	if path == pathGeneric {
		return dotGeneric(x, y)
	}
	result := float32(0)
	for i := 0; i < len(x); i += run {
		n := min(run, len(x)-i)
		if path == pathAVX512 {
			result += dotAVX512(n, &x[i], &y[i])
		} else {
			result += dotAVX2(n, &x[i], &y[i])
		}
	}
	return result
}

func sum(x []float32) float32 {
	path := chosen.Load()
	if path == pathGeneric {
		return sumGeneric(x)
	}
	result := float32(0)
	for i := 0; i < len(x); i += run {
		n := min(run, len(x)-i)
		if path == pathAVX512 {
			result += sumAVX512(n, &x[i])
		} else {
			result += sumAVX2(n, &x[i])
		}
	}
	return result
}

func maximum(x []float32) float32 {
	path := chosen.Load()
	if path == pathGeneric {
		return maxGeneric(x)
	}
	result := float32(math.Inf(-1))
	for i := 0; i < len(x); i += run {
		n := min(run, len(x)-i)
		if path == pathAVX512 {
			result = max(result, maxAVX512(n, &x[i]))
		} else {
			result = max(result, maxAVX2(n, &x[i]))
		}
	}
	return result
}

func expSum(dst, x []float32, scale, shift float32) float32 {
	path := chosen.Load()
	if path == pathGeneric {
		return expSumGeneric(dst, x, scale, shift)
	}
	result := float32(0)
	for i := 0; i < len(x); i += run {
		n := min(run, len(x)-i)
		if path == pathAVX512 {
			result += expSumAVX512(n, &dst[i], &x[i], scale, shift)
		} else {
			result += expSumAVX2(n, &dst[i], &x[i], scale, shift)
		}
	}
	return result
}

func axpy(y []float32, alpha float32, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		axpyGeneric(y, alpha, x)
		return
	}
	for i := 0; i < len(y); i += run {
		n := min(run, len(y)-i)
		if path == pathAVX512 {
			axpyAVX512(n, &y[i], alpha, &x[i])
		} else {
			axpyAVX2(n, &y[i], alpha, &x[i])
		}
	}
}

func add(dst, a, b []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		addGeneric(dst, a, b)
		return
	}
	for i := 0; i < len(dst); i += run {
		n := min(run, len(dst)-i)
		if path == pathAVX512 {
			addAVX512(n, &dst[i], &a[i], &b[i])
		} else {
			addAVX2(n, &dst[i], &a[i], &b[i])
		}
	}
}

func mul(dst, a, b []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		mulGeneric(dst, a, b)
		return
	}
	for i := 0; i < len(dst); i += run {
		n := min(run, len(dst)-i)
		if path == pathAVX512 {
			mulAVX512(n, &dst[i], &a[i], &b[i])
		} else {
			mulAVX2(n, &dst[i], &a[i], &b[i])
		}
	}
}

func scale(dst []float32, alpha float32, x []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		scaleGeneric(dst, alpha, x)
		return
	}
	for i := 0; i < len(dst); i += run {
		n := min(run, len(dst)-i)
		if path == pathAVX512 {
			scaleAVX512(n, &dst[i], alpha, &x[i])
		} else {
			scaleAVX2(n, &dst[i], alpha, &x[i])
		}
	}
}

func softmaxBackward(dx, y, dy []float32, scale, inner float32) {
	path := chosen.Load()
	if path == pathGeneric {
		softmaxBackwardGeneric(dx, y, dy, scale, inner)
		return
	}
	for i := 0; i < len(dx); i += run {
		n := min(run, len(dx)-i)
		if path == pathAVX512 {
			softmaxBackwardAVX512(n, &dx[i], &y[i], &dy[i], scale, inner)
		} else {
			softmaxBackwardAVX2(n, &dx[i], &y[i], &dy[i], scale, inner)
		}
	}
}

func softmax(x []float32, factor float32) (top, total float32) {
	path := chosen.Load()
	if path == pathGeneric || len(x) == 0 || len(x) > run {
		return softmaxSteps(x, factor)
	}
	if path == pathAVX512 {
		return softmaxAVX512(len(x), &x[0], factor)
	}
	return softmaxAVX2(len(x), &x[0], factor)
}
