package kernel

import "math"

func dotGeneric(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func axpyGeneric(y []float32, alpha float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += alpha * x[i]
	}
}

func addGeneric(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func mulGeneric(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func scaleGeneric(dst []float32, alpha float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = alpha * x[i]
	}
}

func sumGeneric(x []float32) float32 {
	var s float32
	for _, v := range x {
		s += v
	}
	return s
}

func maxGeneric(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v != v {
			return v
		}
		if v > m {
			m = v
		}
	}
	return m
}

func addBiasGeneric(x []float32, rows, cols int, bias []float32) {
	for r := range rows {
		row := x[r*cols : (r+1)*cols]
		addGeneric(row, row, bias)
	}
}

func sumRowsGeneric(dst, x []float32, rows, cols int) {
	for r := range rows {
		addGeneric(dst, dst, x[r*cols:(r+1)*cols])
	}
}

func scatterAddGeneric(table []float32, rows, cols int, idx []int32, src []float32) {
	for i, r := range idx[:rows] {
		row := table[int(r)*cols : int(r)*cols+cols]
		addGeneric(row, row, src[i*cols:(i+1)*cols])
	}
}
