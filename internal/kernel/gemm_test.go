package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// product is one call of a Gemm, any of the three orders.
type product struct {
	order   string // NN, NT or TN
	m, n, k int
	pad     int // added to each leading dimension
	acc     bool
	mem     memory
}

func (p product) String() string {
	return fmt.Sprintf("%s %dx%dx%d pad %d acc %v %v", p.order, p.m, p.n, p.k, p.pad, p.acc, p.mem)
}

// guarded returns rows×cols random values with leading dimension cols+pad, with
// guard values in the padding, and a function that reports whether all that lies
// between and around them is unchanged.
func guarded(t *testing.T, mem memory, rng *rand.Rand, rows, cols, pad int) (x []float32, ld int, intact func() bool) {
	t.Helper()
	ld = cols + pad
	size := 0
	if rows > 0 {
		size = (rows-1)*ld + cols
	}
	x, around := mem.floats(t, size)
	for i := range x {
		x[i] = guard
		if i%ld < cols {
			x[i] = float32(rng.NormFloat64())
		}
	}
	return x, ld, func() bool {
		for i, v := range x {
			if i%ld >= cols && v != guard {
				return false
			}
		}
		return around()
	}
}

// check runs the product and compares every element with float64 arithmetic.
func (p product) check(t *testing.T, rng *rand.Rand) {
	t.Helper()
	ar, ac, br, bc := p.m, p.k, p.k, p.n
	if p.order == "TN" {
		ar, ac = ac, ar
	}
	if p.order == "NT" {
		br, bc = bc, br
	}
	a, lda, _ := guarded(t, p.mem, rng, ar, ac, p.pad)
	b, ldb, _ := guarded(t, p.mem, rng, br, bc, p.pad)
	c, ldc, intact := guarded(t, p.mem, rng, p.m, p.n, p.pad)
	before := append([]float32(nil), c...)
	switch p.order {
	case "NN":
		GemmNN(p.m, p.n, p.k, a, lda, b, ldb, c, ldc, p.acc)
	case "NT":
		GemmNT(p.m, p.n, p.k, a, lda, b, ldb, c, ldc, p.acc)
	case "TN":
		GemmTN(p.m, p.n, p.k, a, lda, b, ldb, c, ldc, p.acc)
	}
	if !intact() {
		t.Fatalf("%v: wrote outside C", p)
	}
	for i := range p.m {
		for j := range p.n {
			var want, size float64
			if p.acc {
				want = float64(before[i*ldc+j])
			}
			for q := range p.k {
				ai, bi := i*lda+q, q*ldb+j
				if p.order == "TN" {
					ai = q*lda + i
				}
				if p.order == "NT" {
					bi = j*ldb + q
				}
				term := float64(a[ai]) * float64(b[bi])
				want += term
				size += math.Abs(term)
			}
			got := float64(c[i*ldc+j])
			if !(math.Abs(got-want) <= 1e-6*(size+math.Abs(want)+1)) {
				t.Fatalf("%v: C[%d,%d] = %g, want %g", p, i, j, got, want)
			}
		}
	}
}

func TestGemmEdges(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		sizes := []int{0, 1, 2, 3, 5, 6, 7, 8, 13, 14, 15, 16, 17, 20, 28, 31, 32, 33, 47, 64}
		for _, order := range []string{"NN", "NT", "TN"} {
			for _, m := range sizes {
				for _, n := range sizes {
					k := sizes[rng.IntN(len(sizes))]
					product{order, m, n, k, rng.IntN(5), rng.IntN(2) == 0, guardValues{rng.IntN(16)}}.check(t, rng)
				}
			}
		}
	})
}

func TestGemmLengths(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, order := range []string{"NN", "NT", "TN"} {
			for n := range 131 {
				product{order, n, 3, 5, 1, false, guardValues{n % 16}}.check(t, rng)
				product{order, 2, n, 9, 1, true, guardValues{n % 16}}.check(t, rng)
				product{order, 4, 18, n, 1, n%2 == 0, guardValues{n % 16}}.check(t, rng)
				product{order, 1, n, n, 0, n%2 == 0, guardValues{n % 16}}.check(t, rng)
			}
		}
	})
}

func TestGemmDeep(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, order := range []string{"NN", "NT", "TN"} {
			for _, k := range []int{255, 256, 257, 700} {
				product{order, 15, 37, k, 3, false, guardValues{5}}.check(t, rng)
				product{order, 1, 150, k, 3, true, guardValues{5}}.check(t, rng)
			}
		}
	})
}

func TestGemmAtPageEdges(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, mem := range memories() {
			for _, order := range []string{"NN", "NT", "TN"} {
				for range 25 {
					m, n, k := 1+rng.IntN(40), 1+rng.IntN(80), 1+rng.IntN(80)
					product{order, m, n, k, rng.IntN(2) * 3, rng.IntN(2) == 0, mem}.check(t, rng)
				}
			}
		}
	})
}

// TestGemmKeepsNaN holds that a NaN or an infinity shows in exactly the elements
// it takes part in.
func TestGemmKeepsNaN(t *testing.T) {
	nan := float32(math.NaN())
	onEachPath(t, func(t *testing.T) {
		for _, size := range []int{3, 17, 33, 70} {
			a, b, c := make([]float32, size*size), make([]float32, size*size), make([]float32, size*size)
			for i := range a {
				a[i], b[i] = 1, 1
			}
			row, col := size/2, size-1
			a[row*size+1], b[2*size+col] = nan, float32(math.Inf(1))
			GemmNN(size, size, size, a, size, b, size, c, size, false)
			for i := range size {
				for j := range size {
					v := float64(c[i*size+j])
					switch {
					case i == row && !math.IsNaN(v), i != row && j == col && !math.IsInf(v, 1), i != row && j != col && v != float64(size):
						t.Fatalf("size %d: C[%d,%d] is %g", size, i, j, v)
					}
				}
			}
		}
	})
}

// TestGemmRowsStandAlone holds that a row of the product has the same bits
// however many rows are multiplied at once: what a request is answered does not
// depend on the requests that share its batch.
func TestGemmRowsStandAlone(t *testing.T) {
	const most = 40
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(10, 11))
		for _, order := range []string{"NN", "NT"} {
			for _, n := range []int{1, 7, 33, 64, 131} {
				for _, k := range []int{1, 3, 17, 64, 257} {
					for _, acc := range []bool{false, true} {
						rowsStandAlone(t, rng, order, most, n, k, acc)
					}
				}
			}
		}
	})
}

func rowsStandAlone(t *testing.T, rng *rand.Rand, order string, most, n, k int, acc bool) {
	t.Helper()
	a, b, before := make([]float32, most*k), make([]float32, k*n), make([]float32, most*n)
	for _, x := range [][]float32{a, b, before} {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
	}
	multiply := func(m int) []float32 {
		c := append([]float32(nil), before[:m*n]...)
		if order == "NN" {
			GemmNN(m, n, k, a, k, b, n, c, n, acc)
		} else {
			GemmNT(m, n, k, a, k, b, k, c, n, acc)
		}
		return c
	}
	want := multiply(most)
	for m := 1; m < most; m++ {
		for i, got := range multiply(m) {
			if math.Float32bits(got) != math.Float32bits(want[i]) {
				t.Fatalf("%s n %d k %d acc %v: row %d of %d is %g at column %d, of %d rows it is %g", order, n, k, acc, i/n, m, got, i%n, most, want[i])
			}
		}
	}
}

func FuzzGemm(f *testing.F) {
	f.Add(uint8(0), uint8(3), uint8(4), uint16(5), uint8(1), uint64(7))
	f.Add(uint8(1), uint8(14), uint8(32), uint16(300), uint8(0), uint64(8))
	f.Fuzz(func(t *testing.T, order, m, n uint8, k uint16, pad uint8, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 9))
		p := product{[]string{"NN", "NT", "TN"}[order%3], int(m), int(n), int(k % 600), int(pad % 9), seed&1 == 0, guardValues{int(seed % 16)}}
		for _, name := range Paths() {
			usePath(t, name)
			p.check(t, rng)
		}
	})
}
