package kernel

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// searchCase is one shape of a search.
type searchCase struct{ m, n, d, k int }

// tileScores scores keys one by one with the tile's own arithmetic, so that a search
// can be held to it to the bit.
func tileScores(panels *Panels, q, bias []float32) []float32 {
	n, d := panels.Rows(), panels.Width()
	queries := make([]float32, d*searchRows)
	for p, v := range q {
		queries[p*searchRows] = v
	}
	scores := make([]float32, 0, n)
	var tile searchTile
	for lo := 0; lo < n; lo += PanelWidth {
		lent := make([]float32, PanelWidth)
		copy(lent, bias[lo:])
		tile.score([]int32{0, 1}, d, queries, panels.Lend(lo, min(n, lo+PanelWidth), nil), lent, new(Search).noShares())
		scores = append(scores, tile.row(0, min(PanelWidth, n-lo))...)
	}
	return scores
}

// bestNamed sorts all keys: what a search must find.
func bestNamed(scores []float32, names []int32, k int) []Scored {
	var all []Scored
	for u, v := range scores {
		if v == v {
			all = append(all, Scored{names[u], v})
		}
	}
	slices.SortFunc(all, func(a, b Scored) int {
		return cmp.Or(-cmp.Compare(a.Score, b.Score), cmp.Compare(a.Item, b.Item))
	})
	return all[:min(k, len(all))]
}

// oneEach are entries of one a key.
func oneEach(names []int32) Entries {
	if names == nil {
		return Entries{}
	}
	e := Entries{Starts: make([]int32, len(names)+1), Behind: make([]float32, len(names), len(names)+EntryRoom), Names: slices.Grow(slices.Clone(names), EntryRoom)}
	for u := range e.Starts {
		e.Starts[u] = int32(u)
	}
	return e
}

// checkSearch compares a search with sorting, and its scores with float64.
func checkSearch(t *testing.T, s *Search, c searchCase, x, table, bias []float32, names []int32) {
	t.Helper()
	var panels Panels
	panels.Pack(table, c.d, c.n, c.d)
	s.Run(c.m, x, c.d, &panels, Common{}, bias, oneEach(names), c.k)
	if bias == nil {
		bias = make([]float32, c.n)
	}
	if names == nil {
		names = make([]int32, c.n)
		for u := range names {
			names[u] = int32(u)
		}
	}
	for i := range c.m {
		q := x[i*c.d:][:c.d]
		scores := tileScores(&panels, q, bias)
		got, want := s.Best(i), bestNamed(scores, names, c.k)
		if !slices.Equal(got, want) {
			t.Fatalf("%+v, query %d: %v, want %v", c, i, got, want)
		}
		for u, score := range scores {
			sum := float64(bias[u])
			for p := range c.d {
				sum += float64(q[p]) * float64(table[u*c.d+p])
			}
			if !close32(score, sum, 1e-5) && !math.IsNaN(sum) {
				t.Fatalf("%+v, query %d: score of key %d is %g, want %g", c, i, u, score, sum)
			}
		}
	}
}

func searchCases() []searchCase {
	var cases []searchCase
	for _, n := range []int{0, 1, 31, 32, 33, 500, 2100, 6000} {
		for _, d := range []int{0, 1, 3, 8, 17, 32, 64} {
			cases = append(cases, searchCase{1 + (n+d)%14, n, d, []int{0, 1, 5, 100, n, n + 1}[(n+d)%6]})
		}
	}
	return append(cases,
		searchCase{0, 100, 8, 10},
		searchCase{1, 5000, 16, 5000},
		searchCase{7, 20000, 4, 100},
		searchCase{searchGroup + 7, 300, 5, 20})
}

func TestSearch(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 1))
		var s Search
		for i, c := range searchCases() {
			x, table, bias := normals(rng, make([]float32, c.m*c.d)), normals(rng, make([]float32, c.n*c.d)), normals(rng, make([]float32, c.n))
			names := make([]int32, c.n)
			for u, name := range rng.Perm(c.n) {
				names[u] = int32(3 * name)
			}
			if i%3 == 0 && c.n > 50 && c.d > 0 {
				table[2*c.d], table[5*c.d], table[7*c.d] = nan, inf, -inf
				bias[9], bias[11], bias[20] = nan, inf, -inf
			}
			checkSearch(t, &s, c, x, table, bias, names)
			checkSearch(t, &s, c, x, table, nil, nil)
		}
	})
}

// TestSearchTies searches where most scores are equal, in the order of the names
// and against it.
func TestSearchTies(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 2))
		var s Search
		for _, c := range []searchCase{{3, 5000, 2, 10}, {8, 3000, 4, 100}, {2, 700, 1, 699}} {
			x, table, bias := make([]float32, c.m*c.d), make([]float32, c.n*c.d), make([]float32, c.n)
			for _, values := range [][]float32{x, table, bias} {
				for i := range values {
					values[i] = float32(rng.IntN(2))
				}
			}
			clear(x[:c.d]) // all of its products are 0
			down := make([]int32, c.n)
			for u := range down {
				down[u] = int32(c.n - 1 - u)
			}
			checkSearch(t, &s, c, x, table, bias, nil)
			checkSearch(t, &s, c, x, table, nil, nil)
			checkSearch(t, &s, c, x, table, bias, down)
			checkSearch(t, &s, c, x, table, nil, down)
		}
	})
}

// TestSearchDrift has keys whose scores rise, fall or lie in a few places, where a
// sample says little.
func TestSearchDrift(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		const m, n, d, k = 7, 9000, 8, 50
		rng := rand.New(rand.NewPCG(4, 3))
		var s Search
		for name, bias := range map[string]func(u int) float64{
			"rising":  func(u int) float64 { return float64(u) },
			"falling": func(u int) float64 { return -float64(u) },
			"spikes":  func(u int) float64 { return 100 * float64(u%1000/999) },
			"cliff":   func(u int) float64 { return math.Inf(-u % 2) },
		} {
			t.Run(name, func(t *testing.T) {
				lent := make([]float32, n)
				for u := range lent {
					lent[u] = float32(bias(u))
				}
				x, table := normals(rng, make([]float32, m*d)), normals(rng, make([]float32, n*d))
				checkSearch(t, &s, searchCase{m, n, d, k}, x, table, lent, nil)
			})
		}
	})
}

func TestSearchAllocatesNothing(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		const m, n, d, k = 20, 5000, 16, 30
		x, bias := randoms(m*d), randoms(n)
		var panels Panels
		panels.Pack(randoms(n*d), d, n, d)
		var s Search
		if allocs := testing.AllocsPerRun(10, func() { s.Run(m, x, d, &panels, Common{}, bias, Entries{}, k) }); allocs >= 1 {
			t.Errorf("%g allocations a run", allocs)
		}
	})
}

// BenchmarkSearch is 500 queries and the best 100 keys of each.
func BenchmarkSearch(b *testing.B) {
	const m, k = 500, 100
	for _, n := range []int{1_000, 10_000, 100_000} {
		for _, d := range []int{16, 32, 64, 128} {
			b.Run(fmt.Sprintf("%d keys/d %d", n, d), func(b *testing.B) {
				x, bias := randoms(m*d), randoms(n)
				var panels Panels
				panels.Pack(randoms(n*d), d, n, d)
				var s Search
				for b.Loop() {
					s.Run(m, x, d, &panels, Common{}, bias, Entries{}, k)
				}
				flops := 2 * float64(m) * float64(n) * float64(d) * float64(b.N)
				b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// wholes draws values whose products and sums are exact.
func wholes(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.IntN(7) - 3)
	}
	return x
}

// TestSearchCommon: keys that lend values to a class find what keys of their own find,
// and entries what as many keys find.
func TestSearchCommon(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 8))
		var s Search
		for _, c := range []struct{ m, n, own, width, classes, each, k int }{
			{1, 1, 1, 1, 1, 1, 1}, {5, 40, 0, 3, 2, 1, 10}, {7, 500, 4, 4, 3, 3, 20}, {50, 3000, 8, 5, 40, 2, 100}, {49, 3000, 8, 5, 40, 2, 100}, {13, 900, 3, 2, 7, 700, 50},
		} {
			d := c.own + c.width
			x, own, rows, bias := wholes(rng, c.m*d), wholes(rng, c.n*c.own), wholes(rng, c.classes*c.width), wholes(rng, c.n)
			common := Common{Width: c.width, Rows: rows, Classes: make([]int32, (c.n+PanelWidth-1)/PanelWidth*(PanelWidth/CommonKeys))}
			for i := range common.Classes {
				common.Classes[i] = int32(rng.IntN(c.classes))
			}
			var entries Entries
			var table, flat []float32 // of all entries, as keys of their own
			for u := range c.n {
				entries.Starts = append(entries.Starts, int32(len(flat)))
				for e := range rng.IntN(c.each) + 1 {
					behind := -float32(min(e, rng.IntN(3)))
					table = append(append(table, own[u*c.own:][:c.own]...), rows[int(common.Classes[u/CommonKeys])*c.width:][:c.width]...)
					flat, entries.Behind = append(flat, bias[u]+behind), append(entries.Behind, behind)
				}
			}
			entries.Starts = append(entries.Starts, int32(len(flat)))
			for _, name := range rng.Perm(len(flat)) {
				entries.Names = append(entries.Names, int32(name))
			}
			entries.Behind, entries.Names = slices.Grow(entries.Behind, EntryRoom), slices.Grow(entries.Names, EntryRoom)
			var keys, all Panels
			keys.Pack(own, c.own, c.n, c.own)
			all.Pack(table, d, len(flat), d)
			if c.m%2 == 1 {
				s.Run(c.m, x, d, measured(&keys, own), common, bias, entries, c.k)
			} else {
				s.Run(c.m, x, d, &keys, common, bias, entries, c.k)
			}
			for i := range c.m {
				want := bestNamed(tileScores(&all, x[i*d:][:d], flat), entries.Names, c.k)
				if got := s.Best(i); !slices.Equal(got, want) {
					t.Fatalf("%+v, query %d: %v, want %v", c, i, got, want)
				}
				// In the order of the entries.
				scores, names := s.Found(i)
				last := -1
				for j, name := range names {
					place := slices.Index(entries.Names, name)
					if place <= last || !slices.Contains(want, Scored{name, scores[j]}) {
						t.Fatalf("%+v, query %d: entry %d comes after %d", c, i, place, last)
					}
					last = place
				}
			}
		}
	})
}
