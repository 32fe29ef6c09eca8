package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSearchTile(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 4))
		var tile searchTile
		for d := range 40 {
			for _, panels := range []int{1, 2, 5, searchSpan / PanelWidth} {
				mem := memories()[(d+panels)%len(memories())]
				queries := placed(t, mem, normals(rng, make([]float32, d*searchRows)))
				keys := placed(t, mem, normals(rng, make([]float32, panels*d*PanelWidth)))
				bias := placed(t, mem, normals(rng, make([]float32, panels*PanelWidth)))
				scores := normals(rng, make([]float32, 3*searchRows))
				classes := make([]int32, panels*PanelWidth/CommonKeys)
				for i := range classes {
					classes[i] = int32(rng.IntN(3))
				}
				var halves []int32
				for h := range int32(panels * PanelWidth / halfPanel) {
					if rng.IntN(3) > 0 {
						halves = append(halves, h)
					}
				}
				tile.score(halves, d, queries, keys, bias, shares{scores, classes})
				for r := range searchRows {
					for i, got := range tile.row(r, len(halves)*halfPanel) {
						u := int(halves[i/halfPanel])*halfPanel + i%halfPanel
						want := float64(bias[u]) + float64(scores[int(classes[u/CommonKeys])*searchRows+r])
						for p := range d {
							want += float64(queries[p*searchRows+r]) * float64(keys[(u/PanelWidth*d+p)*PanelWidth+u%PanelWidth])
						}
						if !close32(got, want, 1e-5) {
							t.Fatalf("d %d, %d panels: query %d, key %d is %g, want %g", d, panels, r, u, got, want)
						}
					}
				}
			}
		}
	})
}

// TestSearchCounts holds what selects without branches to the plain loops.
func TestSearchCounts(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 5))
		for n := range searchSpan + 1 {
			x := placed(t, memories()[n%len(memories())], make([]float32, n))
			for i := range x {
				x[i] = []float32{nan, inf, -inf, 0, 1, 2, 3, 4}[rng.IntN(8)]
			}
			for _, bar := range []float32{-inf, 0, 2, 4, inf, nan} {
				if got, want := countAtLeast(x, bar), countAtLeastGeneric(x, bar); got != want {
					t.Fatalf("%d of %d are at least %g, counted %d", want, n, bar, got)
				}
			}
			checkNearTop(t, x, rng.IntN(n+2))
		}
	})
}

func TestSearchPassing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 6))
		for n := 0; n <= searchSpan; n += 8 {
			x := placed(t, memories()[n/8%len(memories())], make([]float32, n))
			for i := range x {
				x[i] = []float32{nan, inf, -inf, 0, 1, 2, 3, 4}[rng.IntN(8)]
			}
			for _, bar := range []float32{-inf, 0, 2, 4, inf, nan} {
				for _, add := range []float32{0, -1, -inf, nan} {
					values, places := make([]float32, n+8), make([]int32, n+8)
					count := passingGeneric(values, places, x, add, bar)
					mem := memories()[(n/8+1)%len(memories())]
					gotValues, gotPlaces := placed(t, mem, make([]float32, count+8)), make([]int32, count+8)
					if got := passing(gotValues, gotPlaces, x, add, bar); got != count || !slices.Equal(gotValues[:count], values[:count]) || !slices.Equal(gotPlaces[:count], places[:count]) {
						t.Fatalf("%d values, add %g, bar %g: %v at %v, want %v at %v", n, add, bar, gotValues[:got], gotPlaces[:got], values[:count], places[:count])
					}
				}
			}
		}
	})
}

func checkNearTop(t *testing.T, x []float32, place int) {
	t.Helper()
	top := nearTop(x, place, place+place/8)
	bar, count := top.low, top.count
	switch numbers := countAtLeastGeneric(x, float32(math.Inf(-1))); {
	case count != countAtLeastGeneric(x, bar):
		t.Fatalf("%d of %d are said to be at least %g", count, len(x), bar)
	case numbers < place && !math.IsInf(float64(bar), -1):
		t.Fatalf("a bar of %g for place %d of %d numbers", bar, place, numbers)
	case numbers >= place && count < place:
		t.Fatalf("%d are at least %g, want %d", count, bar, place)
	case count > place+place/8 && !math.IsInf(float64(bar), 1) && countAtLeastGeneric(x, math.Nextafter32(bar, float32(math.Inf(1)))) >= place && place > 0:
		t.Fatalf("%d are at least %g, a higher bar does for %d", count, bar, place)
	}
}

func TestSelectBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 7))
	for n := 1; n < 300; n++ {
		list := make([]Rank, n)
		for i, v := range rng.Perm(n) {
			list[i] = Rank(v)
		}
		if n%3 == 0 {
			slices.Sort(list)
		}
		k := 1 + rng.IntN(n)
		selectBest(list, k)
		if list[k-1] != Rank(n-k) || slices.Min(list[:k]) != Rank(n-k) {
			t.Fatalf("the best %d of %d are %v", k, n, list[:k])
		}
	}
}

// TestRank: the higher rank comes first in a TopK, and gives back what it is of.
func TestRank(t *testing.T) {
	inf := float32(math.Inf(1))
	var all []Scored
	for _, score := range []float32{-inf, -3e38, -1, -1e-45, 0, 1e-45, 1, 1.5, 3e38, inf} {
		for _, item := range []int32{0, 1, 77, math.MaxInt32} {
			all = append(all, Scored{item, score})
		}
	}
	for _, a := range all {
		if back := a.Rank().Scored(); back != a {
			t.Errorf("%v comes back as %v", a, back)
		}
		for _, b := range all {
			if got := a.Rank() > b.Rank(); got != a.before(b) {
				t.Errorf("%v above %v: %t", a, b, got)
			}
		}
	}
	if zero := float32(math.Copysign(0, -1)); (Scored{3, zero}).Rank() != (Scored{3, 0}).Rank() {
		t.Error("-0 and 0 differ")
	}
}

// TestSearchPassingEntries holds the routine to its twin, to the last of the memory
// that it may read and write.
func TestSearchPassingEntries(t *testing.T) {
	onEachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 9))
		for round := range 400 {
			mem := memories()[round%len(memories())]
			starts := []int32{0}
			for range 1 + rng.IntN(40) {
				starts = append(starts, starts[len(starts)-1]+int32([]int{0, 1, 1, 2, 7, 8, 9, 30}[rng.IntN(8)]))
			}
			count := int(starts[len(starts)-1])
			behind, names := make([]float32, count+EntryRoom), make([]int32, count+EntryRoom)
			for i := range behind {
				behind[i], names[i] = -float32(rng.IntN(4)), int32(i)
			}
			e := Entries{Starts: starts, Behind: placed(t, mem, behind)[:count], Names: names[:count]}
			first := rng.IntN(len(starts) - 1)
			var scores []float32
			var places []int32
			for u := first; u < len(starts)-1; u += 1 + rng.IntN(3) {
				scores, places = append(scores, float32(rng.IntN(6))), append(places, int32(u-first))
			}
			room := EntryRoom + rng.IntN(count+2)
			want := shortlist{make([]float32, room), make([]int32, room)}
			got := shortlist{placed(t, mem, make([]float32, room)), make([]int32, room)}
			done, n := passingEntriesGeneric(want, scores, places, &e, first, 2)
			gotDone, gotN := passingEntries(got, placed(t, mem, scores), places, &e, first, 2)
			if gotDone != done || gotN != n || !slices.Equal(got.scores[:n], want.scores[:n]) || !slices.Equal(got.names[:n], want.names[:n]) {
				t.Fatalf("round %d: %d keys with %v named %v, want %d with %v named %v", round, gotDone, got.scores[:gotN], got.names[:gotN], done, want.scores[:n], want.names[:n])
			}
		}
	})
}
