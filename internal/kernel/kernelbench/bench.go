// Package kernelbench measures the kernels on the machine it runs on, as figures
// that can be compared between machines: how near matrix products come to what the
// multipliers can do, and how long it takes to score a large catalogue.
//
// Every figure is the best of many short rounds, so that other work on the machine
// disturbs it little.
package kernelbench

import (
	"math/rand/v2"
	"slices"
	"time"

	"seqrec/internal/kernel"
)

// GEMM returns the speed of a 6400×64×64 product on one core with the named
// instruction set ("avx512", "avx2" or "generic"), and that of a loop that only
// multiplies and adds in registers, both in GFLOP/s. The ceiling is 0 where no such
// loop is written (generic); both are 0 where the machine lacks the instruction set.
// While it runs, all kernels of the process use that instruction set.
func GEMM(path string) (gflops, ceiling float64) {
	before := kernel.Features()
	if kernel.SetPath(path) != nil {
		return 0, 0
	}
	defer func() { _ = kernel.SetPath(before) }() // it was in use, so it is available
	const m, n, k = 6400, 64, 64
	a, b, c := randoms(m*k), randoms(k*n), make([]float32, m*n)
	product, loop := time.Duration(1<<62), time.Duration(1<<62)
	flops := 0.0
	for start := time.Now(); time.Since(start) < budget; {
		product = min(product, timed(func() { kernel.GemmNN(m, n, k, a, k, b, n, c, n, false) }))
		loop = min(loop, timed(func() { flops = fmaLoop(path) }))
	}
	return 2 * m * n * k / product.Seconds() / 1e9, flops / loop.Seconds() / 1e9
}

// budget is how long one figure may take: enough for hundreds of rounds.
const budget = 400 * time.Millisecond

// TopK is what scoring a catalogue of 100,000 items of width 64 and keeping the
// best 100 free ones took for one query.
type TopK struct {
	F32  time.Duration // all in float32
	Int8 time.Duration // 8-bit first pass, exact second
	Same bool          // both gave the same 100 items with the same scores
}

// TopK100k measures TopK with the instruction set in use.
func TopK100k() (result TopK) {
	const n, d, k = 100_000, 64, 100
	table := randoms(n * d)
	blocked := make([]uint64, (n+63)/64)
	for i := range 200 {
		item := i * 4999 % n
		blocked[item/64] |= 1 << (item % 64)
	}
	var quick kernel.Int8Table
	quick.Pack(table, d, n, d)
	var top kernel.TopK
	// One way after the other, as a service would use one only: taking turns they
	// would push each other's tables out of the cache.
	var exact, rough [queries][]kernel.Scored
	result.F32 = bestOf(func(i int) {
		top.Reset(k)
		kernel.ScoreTopK(&top, table, d, d, n, table[i*d:(i+1)*d], blocked)
	}, func(i int) { exact[i] = top.Sorted(nil) })
	result.Int8 = bestOf(func(i int) {
		top.Reset(k)
		quick.ScoreTopK(&top, table[i*d:(i+1)*d], blocked)
	}, func(i int) { rough[i] = top.Sorted(nil) })
	result.Same = true
	for i := range queries {
		result.Same = result.Same && slices.Equal(exact[i], rough[i])
	}
	return result
}

// queries is how many different queries a search is timed with.
const queries = 5

// bestOf returns the shortest time of run, which it calls with each query in turn
// until the budget is spent and each has had its turn. It calls after, untimed, when
// a query has been run.
func bestOf(run, after func(query int)) time.Duration {
	best := time.Duration(1 << 62)
	start := time.Now()
	for i := 0; i < queries || time.Since(start) < budget; i++ {
		best = min(best, timed(func() { run(i % queries) }))
		after(i % queries)
	}
	return best
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func randoms(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}
