package attention

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func newBuckets(t *testing.T, width, bits, tau int) *Buckets {
	t.Helper()
	signs, err := NewSigns(width, bits, 5)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBuckets(signs, tau, width)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// attendAll is SDIM by going through all events.
func attendAll(b *Buckets, keys, values [][]float32, target []float32) []float64 {
	signature := func(x []float32, g int) (bits [16]bool) {
		code := make([]uint64, b.signs.Words())
		b.signs.Code(code, x)
		for i := range b.tau {
			at := g*b.tau + i
			bits[i] = code[at/64]>>(at%64)&1 == 1
		}
		return bits
	}
	dst := make([]float64, b.width)
	for g := range b.groups {
		sum, square := make([]float64, b.width), 0.0
		for e, key := range keys {
			if signature(key, g) == signature(target, g) {
				for p, v := range values[e] {
					sum[p] += float64(v)
				}
			}
		}
		for _, v := range sum {
			square += v * v
		}
		for p, v := range sum {
			if square > 0 {
				dst[p] += v / math.Sqrt(square) / float64(b.groups)
			}
		}
	}
	return dst
}

func TestBuckets(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for _, c := range []struct{ width, bits, tau, events int }{
		{1, 4, 1, 3}, {8, 48, 3, 100}, {5, 60, 5, 1}, {16, 128, 16, 30}, {7, 24, 4, 0},
	} {
		b := newBuckets(t, c.width, c.bits, c.tau)
		var keys, values [][]float32
		for range c.events {
			key, value := normals(rng, c.width), normals(rng, c.width)
			keys, values = append(keys, key), append(values, value)
			b.Add(key, value)
		}
		got := make([]float32, c.width)
		for range 10 {
			target := normals(rng, c.width)
			b.Attend(got, target)
			for p, want := range attendAll(b, keys, values, target) {
				if math.Abs(float64(got[p])-want) > 1e-5 {
					t.Fatalf("%+v: %v, want %g at %d", c, got, want, p)
				}
			}
		}
		if b.Events() != c.events {
			t.Errorf("%+v: %d events", c, b.Events())
		}
	}
}

func TestBucketsRefuse(t *testing.T) {
	signs, err := NewSigns(4, 12, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ tau, width int }{{0, 4}, {5, 4}, {17, 4}, {3, 0}, {-1, 4}} {
		if _, err := NewBuckets(signs, c.tau, c.width); err == nil {
			t.Errorf("signatures of %d signs and width %d were accepted", c.tau, c.width)
		}
	}
}

// TestBucketsOddValues: what is no number is left out, sums of any size give numbers.
func TestBucketsOddValues(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	one := []float32{1, 1}
	for _, c := range []struct {
		name   string
		values [][]float32
		events int
	}{
		{"NaN", [][]float32{{nan, 1}, {1, 2}}, 1},
		{"infinity", [][]float32{{-inf, 1}, {1, 2}}, 1},
		{"tiny", [][]float32{{1e-44, 0}}, 1},
		{"beyond float32", [][]float32{{3e38, 0}, {3e38, 0}}, 2},
		{"sum of zero", [][]float32{{1, -1}, {-1, 1}}, 2},
	} {
		b := newBuckets(t, 2, 8, 2)
		b.Add([]float32{nan, inf}, one)
		for _, value := range c.values {
			b.Add(one, value)
		}
		got := make([]float32, 2)
		b.Attend(got, one)
		if !finite(got) || b.Events() != c.events {
			t.Errorf("%s: %v of %d events", c.name, got, b.Events())
		}
		b.Attend(got, []float32{nan, nan})
		if !finite(got) {
			t.Errorf("%s: a target of NaN finds %v", c.name, got)
		}
	}
}

func TestBucketsAllocateNothing(t *testing.T) {
	b := newBuckets(t, 8, 48, 3)
	x, dst := []float32{1, 2, 3, 4, 5, 6, 7, 8}, make([]float32, 8)
	if allocs := testing.AllocsPerRun(100, func() {
		b.Add(x, x)
		b.Attend(dst, x)
	}); allocs != 0 {
		t.Errorf("%g allocations", allocs)
	}
	if slices.Max(dst) <= 0 {
		t.Errorf("found %v", dst)
	}
}
