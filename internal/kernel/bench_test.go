package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func randoms(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func BenchmarkGemm(b *testing.B) {
	for _, p := range []product{
		{order: "NN", m: 6400, n: 64, k: 64},
		{order: "NN", m: 1000, n: 64, k: 64},
		{order: "NN", m: 6400, n: 128, k: 128},
		{order: "NN", m: 1000, n: 256, k: 64},
		{order: "NN", m: 1000, n: 64, k: 256},
		{order: "NN", m: 1, n: 64, k: 64},
		{order: "NN", m: 1, n: 128, k: 128},
		{order: "NN", m: 8, n: 64, k: 64},
		{order: "NN", m: 50, n: 64, k: 64},
		{order: "NN", m: 200, n: 64, k: 64},
		{order: "NN", m: 200, n: 64, k: 200},
		{order: "NN", m: 64, n: 64, k: 136},
		{order: "NN", m: 200, n: 32, k: 200},
		{order: "NN", m: 256, n: 64, k: 3416},
		{order: "NN", m: 512, n: 512, k: 512},
		{order: "NT", m: 1000, n: 64, k: 64},
		{order: "NT", m: 200, n: 200, k: 64},
		{order: "NT", m: 200, n: 200, k: 32},
		{order: "NT", m: 64, n: 136, k: 64},
		{order: "NT", m: 256, n: 3416, k: 64},
		{order: "NT", m: 256, n: 512, k: 64},
		{order: "NT", m: 1, n: 64, k: 64},
		{order: "TN", m: 64, n: 64, k: 1000},
		{order: "TN", m: 64, n: 64, k: 6400},
		{order: "TN", m: 200, n: 64, k: 200},
		{order: "TN", m: 3416, n: 64, k: 256, acc: true},
		{order: "TN", m: 512, n: 64, k: 256, acc: true},
		{order: "TN", m: 256, n: 64, k: 1000},
	} {
		benchGemm(b, p)
	}
}

func benchGemm(b *testing.B, p product) {
	for _, path := range Paths() {
		if path == "generic" {
			continue
		}
		b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", p.order, p.m, p.n, p.k, path), func(b *testing.B) {
			usePath(b, path)
			x, y, z := randoms(p.m*p.k), randoms(p.k*p.n), make([]float32, p.m*p.n)
			for b.Loop() {
				switch p.order {
				case "NN":
					GemmNN(p.m, p.n, p.k, x, p.k, y, p.n, z, p.n, p.acc)
				case "NT":
					GemmNT(p.m, p.n, p.k, x, p.k, y, p.k, z, p.n, p.acc)
				case "TN":
					GemmTN(p.m, p.n, p.k, x, p.m, y, p.n, z, p.n, p.acc)
				}
			}
			flops := 2 * float64(p.m) * float64(p.n) * float64(p.k) * float64(b.N)
			b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// BenchmarkLoops times the element-wise functions on values in the first cache.
func BenchmarkLoops(b *testing.B) {
	const n = 4096
	for _, l := range loops {
		for _, path := range Paths() {
			b.Run(l.name+"/"+path, func(b *testing.B) {
				usePath(b, path)
				streams := make([][]float32, l.streams)
				for s := range streams {
					streams[s] = randoms(n)
				}
				for b.Loop() {
					l.run(streams)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
			})
		}
	}
}

func BenchmarkRows(b *testing.B) {
	const rows, cols = 200, 64
	x, y, z := randoms(rows*cols), randoms(rows*cols), randoms(rows*cols)
	gain, bias, dgain, dbias := randoms(cols), randoms(cols), randoms(cols), randoms(cols)
	mean, rstd := randoms(rows), randoms(rows)
	idx := make([]int32, rows)
	for i := range idx {
		idx[i] = int32(i * 7 % rows)
	}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"AddBias", func() { AddBias(x, rows, cols, bias) }},
		{"SumRows", func() { SumRows(dbias, x, rows, cols) }},
		{"Gather", func() { Gather(y, x, cols, idx) }},
		{"ScatterAdd", func() { ScatterAdd(y, cols, idx, z) }},
		{"Softmax 208", func() {
			for i := range 61 {
				Softmax(y[i*208:(i+1)*208], 0.125)
			}
		}},
		{"LayerNorm", func() { LayerNorm(y, x, gain, bias, rows, cols, 1e-5, mean, rstd) }},
		{"LayerNormBackward", func() { LayerNormBackward(z, dgain, dbias, y, x, gain, rows, cols, mean, rstd) }},
		{"Dropout", func() { Dropout(y, x, 0.2, 1, 0) }},
	} {
		for _, path := range Paths() {
			b.Run(c.name+"/"+path, func(b *testing.B) {
				usePath(b, path)
				for b.Loop() {
					c.run()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/cols, "ns/value")
			})
		}
	}
}

// BenchmarkScore scores one query against catalogues of three sizes.
func BenchmarkScore(b *testing.B) {
	const d, k = 64, 100
	for _, n := range []int{3416, 100_000, 1_000_000} {
		table, q, dst := randoms(n*d), randoms(d), make([]float32, n)
		blocked := make([]uint64, n/64)
		blocked[3] = 12345
		var quick Int8Table
		quick.Pack(table, d, n, d)
		var panels Panels
		panels.Pack(table, d, n, d)
		queries, many := randoms(14*d), make([]float32, 14*2048)
		var top TopK
		for _, c := range []struct {
			name string
			run  func()
		}{
			{"rows", func() { ScoreRows(dst, table, d, d, q) }},
			{"select", func() { top.Reset(k); top.Scan(dst, 0, blocked) }},
			{"top", func() { top.Reset(k); ScoreTopK(&top, table, d, d, n, q, blocked) }},
			{"int8", func() { top.Reset(k); quick.ScoreTopK(&top, q, blocked) }},
			{"panels, 14 queries", func() {
				for lo := 0; lo < n; lo += 2048 {
					panels.Mul(14, queries, d, lo, min(lo+2048, n), many, 2048)
				}
			}},
		} {
			for _, path := range Paths() {
				b.Run(fmt.Sprintf("%s/%d/%s", c.name, n, path), func(b *testing.B) {
					usePath(b, path)
					for b.Loop() {
						c.run()
					}
				})
			}
		}
	}
}
