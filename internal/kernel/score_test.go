package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// bestOf sorts all free items: what TopK must find.
func bestOf(scores []float32, k int, blocked []uint64) []Scored {
	var all []Scored
	for i, v := range scores {
		if v == v && !(i/64 < len(blocked) && blocked[i/64]>>(i%64)&1 == 1) {
			all = append(all, Scored{int32(i), v})
		}
	}
	slices.SortFunc(all, func(a, b Scored) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return int(a.Item - b.Item)
	})
	return all[:min(k, len(all))]
}

func TestTopK(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 1))
		var top TopK
		for n := range 131 {
			scores := placed(t, memories()[n%len(memories())], make([]float32, n))
			for i := range scores {
				// Few distinct values, so that ties are many.
				scores[i] = []float32{nan, inf, -inf, 0, 1, 2, 3, 4, 5, 5, 5}[rng.IntN(11)]
			}
			blocked := []uint64{rng.Uint64() & rng.Uint64(), rng.Uint64()}[:n%3%2+n%2]
			for _, k := range []int{0, 1, 2, 5, 30, 200} {
				want := bestOf(scores, k, blocked)
				top.Reset(k)
				top.Scan(scores, 0, blocked)
				if got := top.Sorted(nil); !slices.Equal(got, want) {
					t.Fatalf("n %d, k %d: %v, want %v", n, k, got, want)
				}
				// In pieces, the last first.
				top.Reset(k)
				cut := n / 3
				top.Scan(scores[2*cut:], int32(2*cut), blocked)
				top.Scan(scores[:cut], 0, blocked)
				top.Scan(scores[cut:2*cut], int32(cut), blocked)
				if got := top.Sorted(nil); !slices.Equal(got, want) {
					t.Fatalf("n %d, k %d in pieces: %v, want %v", n, k, got, want)
				}
			}
		}
	})
}

func TestTopKManyTies(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		scores := make([]float32, 5000)
		var top TopK
		top.Reset(10)
		top.Scan(scores, 100, nil)
		for i, s := range top.Sorted(nil) {
			if s.Item != int32(100+i) {
				t.Fatalf("place %d is item %d", i, s.Item)
			}
		}
	})
}

func TestScoreRows(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 2))
		for d := range 131 {
			for _, n := range []int{0, 1, 7, 8, 19} {
				mem := memories()[(d+n)%len(memories())]
				ld := d + n%2
				table := placed(t, mem, normals(rng, make([]float32, max(0, (n-1)*ld+d))))
				q := placed(t, mem, normals(rng, make([]float32, d)))
				dst := placed(t, mem, make([]float32, n))
				ScoreRows(dst, table, ld, d, q)
				for i := range dst {
					want := 0.0
					for j := range d {
						want += float64(table[i*ld+j]) * float64(q[j])
					}
					if !close32(dst[i], want, 1e-5) {
						t.Fatalf("n %d, d %d: row %d is %g, want %g", n, d, i, dst[i], want)
					}
					alone := make([]float32, 1)
					ScoreRows(alone, table[i*ld:], ld, d, q)
					if alone[0] != dst[i] {
						t.Fatalf("n %d, d %d: row %d is %g alone and %g in company", n, d, i, alone[0], dst[i])
					}
				}
			}
		}
	})
}

// TestScoreTopK holds the fused and the 8-bit way to the plain one.
func TestScoreTopK(t *testing.T) {
	nan := float32(math.NaN())
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 3))
		var top, rough TopK
		var quick Int8Table
		for _, d := range []int{1, 3, 8, 16, 17, 64, 100, 128} {
			for _, n := range []int{0, 1, 15, 100, 2047, 2048, 5000} {
				ld := d + d%3
				table := normals(rng, make([]float32, n*ld))
				for i := range n / 10 {
					// Doubles, zero rows, tiny and huge ones.
					r := rng.IntN(n)
					for j := range d {
						table[r*ld+j] = table[i*ld+j] * []float32{1, 0, 1e-38, 1e6}[i%4]
					}
				}
				if n > 50 {
					table[7*ld], table[9*ld], table[11*ld] = nan, float32(math.Inf(1)), 3e38
				}
				q := normals(rng, make([]float32, d))
				blocked := make([]uint64, n/64)
				for i := range blocked {
					blocked[i] = rng.Uint64() & rng.Uint64()
				}
				scores := make([]float32, n)
				ScoreRows(scores, table, ld, d, q)
				quick.Pack(table, ld, n, d)
				for _, k := range []int{0, 1, 10, 100} {
					want := bestOf(scores, k, blocked)
					top.Reset(k)
					ScoreTopK(&top, table, ld, d, n, q, blocked)
					if got := top.Sorted(nil); !slices.Equal(got, want) {
						t.Fatalf("d %d, n %d, k %d: %v, want %v", d, n, k, got, want)
					}
					rough.Reset(k)
					quick.ScoreTopK(&rough, q, blocked)
					if got := rough.Sorted(nil); !slices.Equal(got, want) {
						t.Fatalf("8 bits, d %d, n %d, k %d: %v, want %v", d, n, k, got, want)
					}
				}
			}
		}
	})
}

// TestInt8Bounds checks the brackets themselves, with values of every size.
func TestInt8Bounds(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		if roughLimit() == 0 {
			t.Skip("no first pass on this instruction set")
		}
		rng := rand.New(rand.NewPCG(2, 4))
		const n = 512
		for _, d := range []int{1, 5, 16, 64, 200} {
			table := normals(rng, make([]float32, n*d))
			for i := range table {
				table[i] *= float32(math.Exp(rng.NormFloat64() * 3))
			}
			q := normals(rng, make([]float32, d))
			var quick Int8Table
			quick.Pack(table, d, n, d)
			var r roughScratch
			query, ok := quick.prepare(&r, q)
			if !ok {
				t.Fatal("no first pass")
			}
			roughScores(n/roughBlock, quick.lines, quick.items, r.query, quick.scale, quick.norm, quick.rest, r.low, r.high, query)
			scores := make([]float32, n)
			ScoreRows(scores, table, d, d, q)
			var width, size float64
			for i, s := range scores {
				if !(r.low[i] <= s && s <= r.high[i]) {
					t.Fatalf("d %d: score %g of row %d outside [%g, %g]", d, s, i, r.low[i], r.high[i])
				}
				width += float64(r.high[i] - r.low[i])
				size += float64(quick.norm[i]) * math.Sqrt(float64(d))
			}
			if width > 0.1*size {
				t.Errorf("d %d: the bounds are %g wide for rows of %g", d, width/n, size/n)
			}
		}
	})
}

func TestInt8OddQueries(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 5))
		const n, d = 300, 16
		table := normals(rng, make([]float32, n*d))
		var quick Int8Table
		quick.Pack(table, d, n, d)
		for _, v := range []float32{0, 1e-45, 1e38, float32(math.Inf(1)), float32(math.NaN())} {
			q := make([]float32, d)
			for i := range q {
				q[i] = v
			}
			scores := make([]float32, n)
			ScoreRows(scores, table, d, d, q)
			var top TopK
			top.Reset(10)
			quick.ScoreTopK(&top, q, nil)
			if got, want := top.Sorted(nil), bestOf(scores, 10, nil); !slices.Equal(got, want) {
				t.Errorf("query of %g: %v, want %v", v, got, want)
			}
		}
	})
}

func TestPanels(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 6))
		var panels Panels
		for _, d := range []int{1, 7, 8, 20, 64} {
			for _, n := range []int{1, 5, 31, 32, 33, 70, 96} {
				ld := d + 1
				table := placed(t, memories()[n%len(memories())], normals(rng, make([]float32, (n-1)*ld+d)))
				panels.Pack(table, ld, n, d)
				for lo := 0; lo < n; lo += PanelWidth {
					hi := n - (n-lo)/3
					m := 1 + (n+d)%17
					x := normals(rng, make([]float32, m*d))
					dst := placed(t, guardValues{1}, make([]float32, m*(hi-lo)))
					panels.Mul(m, x, d, lo, hi, dst, hi-lo)
					for i := range m {
						for j := lo; j < hi; j++ {
							want := 0.0
							for p := range d {
								want += float64(x[i*d+p]) * float64(table[j*ld+p])
							}
							if got := dst[i*(hi-lo)+j-lo]; !close32(got, want, 1e-5) {
								t.Fatalf("d %d, n %d: query %d, row %d is %g, want %g", d, n, i, j, got, want)
							}
						}
					}
				}
			}
		}
	})
}

func TestPackPanel(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(2, 7))
		for _, d := range []int{1, 7, 8, 20, 64} {
			for _, n := range []int{1, 5, 8, 31, 32} {
				table := placed(t, memories()[n%len(memories())], normals(rng, make([]float32, n*d)))
				panel := placed(t, guardValues{1}, make([]float32, d*PanelWidth))
				PackPanel(panel, table, d, n, d)
				for i := range n * d {
					if got := panel[i%d*PanelWidth+i/d]; got != table[i] {
						t.Fatalf("d %d: row %d of %d, value %d is %g, want %g", d, i/d, n, i%d, got, table[i])
					}
				}
			}
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		const n, d, k = 3000, 64, 20
		table, q := randoms(n*d), randoms(d)
		blocked := make([]uint64, n/64)
		var quick Int8Table
		quick.Pack(table, d, n, d)
		var top TopK
		sorted := make([]Scored, k)
		dst := make([]float32, n)
		work := func() {
			top.Reset(k)
			ScoreTopK(&top, table, d, d, n, q, blocked)
			sorted = top.Sorted(sorted)
			top.Reset(k)
			quick.ScoreTopK(&top, q, blocked)
			GemmNT(1, n, d, q, d, table, d, dst, n, false)
			Softmax(dst, 1)
			AdamW{Step: 1}.Update(dst, dst, dst, dst)
		}
		work()
		if allocs := testing.AllocsPerRun(20, work); allocs >= 1 {
			t.Errorf("%g allocations a run", allocs)
		}
	})
}

func TestParallel(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		for n := range 20 {
			seen := make([][]int, workers)
			Parallel(n, workers, func(worker, i int) { seen[worker] = append(seen[worker], i) })
			for w, list := range seen {
				for at, i := range list {
					if i != w+at*workers {
						t.Fatalf("n %d, workers %d: worker %d got %v", n, workers, w, list)
					}
				}
			}
		}
	}
	defer func() {
		if r := recover(); r != "broken" {
			t.Errorf("recovered %v", r)
		}
	}()
	Parallel(4, 2, func(_, i int) {
		if i == 3 {
			panic("broken")
		}
	})
}
