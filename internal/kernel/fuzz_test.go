package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzLoops gives any bits as values to the functions that work value by value and
// compares each instruction set with the float64 loop.
func FuzzLoops(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 128, 127, 0, 0, 192, 127, 0, 0, 128, 255, 1, 0, 0, 0}, uint8(3))
	f.Add(make([]byte, 4*37), uint8(0))
	valueByValue := []string{"Exp", "Relu", "Gelu", "Silu", "Sigmoid", "Scale", "Max"}
	f.Fuzz(func(t *testing.T, data []byte, skew uint8) {
		x := make([]float32, min(len(data)/4, 300))
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			// Within an ulp of overflow both answers are right.
			if v := math.Abs(float64(x[i])); v > 88 && v < 89 || v > 3e38 && v < math.Inf(1) {
				x[i] = 0
			}
		}
		for _, l := range loops {
			if !slices.Contains(valueByValue, l.name) {
				continue
			}
			values := make([][]float32, l.streams)
			for s := range values {
				values[s] = x
			}
			for _, path := range Paths() {
				usePath(t, path)
				l.check(t, guardValues{int(skew % 16)}, values)
			}
		}
	})
}

// FuzzTopK compares any scores, in any pieces, with sorting them.
func FuzzTopK(f *testing.F) {
	f.Add([]byte{1, 2, 3, 255, 254, 3, 2}, uint8(3), uint8(2), uint64(5))
	f.Fuzz(func(t *testing.T, data []byte, k, cut uint8, mask uint64) {
		special := map[byte]float32{255: float32(math.NaN()), 254: float32(math.Inf(1)), 253: float32(math.Inf(-1))}
		scores := make([]float32, len(data))
		for i, b := range data {
			scores[i] = float32(b)
			if v, ok := special[b]; ok {
				scores[i] = v
			}
		}
		blocked := []uint64{mask, ^mask}
		want := bestOf(scores, int(k), blocked)
		for _, path := range Paths() {
			usePath(t, path)
			var top TopK
			top.Reset(int(k))
			at := min(int(cut), len(scores))
			top.Scan(scores[at:], int32(at), blocked)
			top.Scan(scores[:at], 0, blocked)
			if got := top.Sorted(nil); !slices.Equal(got, want) {
				t.Fatalf("%s: %v, want %v", path, got, want)
			}
		}
	})
}

// FuzzSearch compares searches of all shapes, with any names and many equal scores,
// with sorting.
func FuzzSearch(f *testing.F) {
	f.Add(uint64(1), uint8(7), uint16(3000), uint8(4), uint16(20), uint8(3))
	f.Add(uint64(2), uint8(1), uint16(900), uint8(1), uint16(900), uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, m uint8, n uint16, d uint8, k uint16, values uint8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		c := searchCase{int(m) % 16, int(n) % 4000, int(d) % 24, int(k) % 4100}
		draw := func(count int) []float32 {
			x := make([]float32, count)
			for i := range x {
				x[i] = float32(rng.IntN(int(values)+1) - int(values)/2)
			}
			return x
		}
		x, table, bias := draw(c.m*c.d), draw(c.n*c.d), draw(c.n)
		names := make([]int32, c.n)
		for u, name := range rng.Perm(c.n) {
			names[u] = int32(name)
		}
		for _, path := range Paths() {
			usePath(t, path)
			var s Search
			checkSearch(t, &s, c, x, table, bias, names)
			checkSearch(t, &s, c, x, table, nil, nil)
		}
	})
}

// FuzzInt8 compares the 8-bit way with the plain one for tables of any scale.
func FuzzInt8(f *testing.F) {
	f.Add(uint64(1), uint16(300), uint8(16), uint8(5), int8(0), int8(0))
	f.Add(uint64(2), uint16(3000), uint8(64), uint8(10), int8(-60), int8(70))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, d, k uint8, rowScale, queryScale int8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		rows, width := int(n)%4000, int(d)
		table, q := normals(rng, make([]float32, rows*width)), normals(rng, make([]float32, width))
		for i := range table {
			table[i] *= float32(math.Pow(2, float64(rowScale)*rng.Float64()))
		}
		for i := range q {
			q[i] *= float32(math.Pow(2, float64(queryScale)))
		}
		var quick Int8Table
		quick.Pack(table, width, rows, width)
		for _, path := range Paths() {
			usePath(t, path)
			var exact, rough TopK
			exact.Reset(int(k))
			rough.Reset(int(k))
			ScoreTopK(&exact, table, width, width, rows, q, nil)
			quick.ScoreTopK(&rough, q, nil)
			if got, want := rough.Sorted(nil), exact.Sorted(nil); !slices.Equal(got, want) {
				t.Fatalf("%s: %v, want %v", path, got, want)
			}
		}
	})
}
