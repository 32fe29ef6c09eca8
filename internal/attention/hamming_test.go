package attention

import (
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSigns(t *testing.T) {
	for _, test := range []struct{ width, bits int }{{0, 8}, {8, 0}, {8, MaxBits + 1}, {-1, 8}} {
		if _, err := NewSigns(test.width, test.bits, 1); err == nil {
			t.Errorf("width %d and %d bits were accepted", test.width, test.bits)
		}
	}
	const width = 10
	for _, n := range []int{1, 32, 64, 65, MaxBits} {
		signs, err := NewSigns(width, n, 3)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(7, uint64(n)))
		x := normals(rng, width)
		code, known := make([]uint64, signs.Words()), make([]uint64, signs.Words())
		signs.Code(code, x)
		for i := range n {
			sum := 0.0
			for p, v := range x {
				sum += float64(v) * float64(signs.planes[i*width+p])
			}
			if got := code[i/64]>>(i%64)&1 == 1; got != (sum >= 0) {
				t.Errorf("bit %d of %d is %t for a product of %g", i, n, got, sum)
			}
			known[i/64] |= code[i/64] & (1 << (i % 64))
		}
		if !slices.Equal(code, known) {
			t.Errorf("a code of %d bits has more: %x", n, code)
		}
		again, err := NewSigns(width, n, 3)
		if err != nil || !slices.Equal(again.planes, signs.planes) {
			t.Errorf("the same seed gives other projections, or %v", err)
		}
	}
}

// TestSignsEstimateAngles: the share of equal bits is 1 - angle/pi.
func TestSignsEstimateAngles(t *testing.T) {
	total := 0.0
	for seed := range uint64(40) {
		signs, err := NewSigns(2, MaxBits, seed)
		if err != nil {
			t.Fatal(err)
		}
		a, b := make([]uint64, 4), make([]uint64, 4)
		signs.Code(a, []float32{1, 0})
		signs.Code(b, []float32{1, 1})
		for w := range a {
			total += float64(64-bits.OnesCount64(a[w]^b[w])) / MaxBits / 40
		}
	}
	if math.Abs(total-0.75) > 0.02 {
		t.Errorf("%g of the bits are equal at 45 degrees, want 0.75", total)
	}
}

// nearestEvents is the search of ETA by sorting.
func nearestEvents(c catalogue, signs *Signs, items []int32, query, bias []float32, k int) []Hit {
	code := func(x []float32) []uint64 {
		dst := make([]uint64, signs.Words())
		signs.Code(dst, x)
		return dst
	}
	type near struct{ distance, event int }
	var all []near
	own := code(query)
	for event, item := range items {
		if item < 0 {
			continue
		}
		distance := 0
		for w, word := range code(c.keys[int(item)*c.width:][:c.width]) {
			distance += bits.OnesCount64(word ^ own[w])
		}
		all = append(all, near{distance, event})
	}
	slices.SortFunc(all, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), -cmp.Compare(a.event, b.event))
	})
	var hits []Hit
	for _, n := range all[:min(k, len(all))] {
		if s := score64(c, items, query, bias, n.event); s == s {
			hits = append(hits, Hit{int32(n.event), float32(s)})
		}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(-cmp.Compare(a.Score, b.Score), -cmp.Compare(a.Event, b.Event))
	})
	return hits
}

func TestSearchCodesEqualsSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	var s Searcher
	for _, events := range []int{0, 1, 40, 900} {
		for _, width := range []int{1, 6, 16} {
			for _, n := range []int{4, 32, 100} {
				signs, err := NewSigns(width, n, 9)
				if err != nil {
					t.Fatal(err)
				}
				c := catalogue{width, wholes(rng, 90*width)}
				items := drawItems(rng, events, 90)
				h := NewCodedHistory(signs, F32)
				h.Append(items, c.key)
				queries, bias := wholes(rng, 2*width), wholes(rng, events)
				if events > 30 {
					bias[3], bias[7], bias[8] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
				}
				for _, b := range [][]float32{nil, bias} {
					for _, k := range []int{0, 1, 20, events, events + 1} {
						s.SearchCodes(h, queries, b, k)
						for i := range 2 {
							want := nearestEvents(c, signs, items, queries[i*width:][:width], b, k)
							if got := s.Hits(i); !slices.Equal(got, want) {
								t.Fatalf("%d events, width %d, %d bits, k %d: %v, want %v", events, width, n, k, got, want)
							}
						}
					}
				}
			}
		}
	}
}
