package attention

import (
	"math"
	"math/rand/v2"
	"testing"

	"seqrec/internal/kernel"
)

// TestKeysHold compares what a table gives back with what it was given, row by row
// and panel by panel.
func TestKeysHold(t *testing.T) {
	for format, tolerance := range map[Format]float64{F32: 0, BF16: 1.0 / 256, Int8: 1.0 / 254 * 1.001} {
		rng := rand.New(rand.NewPCG(6, uint64(format)))
		for _, width := range []int{1, 3, 8, 17} {
			keys := NewKeys(width, format)
			for i := range 70 {
				key := normals(rng, width)
				for p := range key {
					key[p] *= float32(math.Pow(10, float64(i%9-4)))
				}
				if i%10 == 3 {
					clear(key)
				}
				keys.Append(key)
				row, top := make([]float32, width), 0.0
				keys.Row(row, i)
				for _, v := range key {
					top = max(top, math.Abs(float64(v)))
				}
				for p, v := range row {
					if math.Abs(float64(v-key[p])) > tolerance*top {
						t.Errorf("%v, width %d, key %d: %v, want %v", format, width, i, row, key)
						break
					}
				}
			}
			checkLend(t, keys)
		}
	}
}

func checkLend(t *testing.T, keys *Keys) {
	t.Helper()
	width := keys.Width()
	scratch, row := make([]float32, 96*width), make([]float32, width)
	for lo := 0; lo < keys.Rows(); lo += kernel.PanelWidth {
		for _, hi := range []int{min(lo+5, keys.Rows()), keys.Rows()} {
			lent := keys.Lend(lo, hi, scratch)
			for i := range hi - lo {
				keys.Row(row, lo+i)
				for p, v := range row {
					if got := lent[(i/kernel.PanelWidth*width+p)*kernel.PanelWidth+i%kernel.PanelWidth]; got != v {
						t.Fatalf("%v, width %d: value %d of key %d is lent as %g, want %g", keys.Format(), width, p, lo+i, got, v)
					}
				}
			}
		}
	}
}

func TestBF16(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct{ give, want float64 }{
		{0, 0}, {1, 1}, {-1.5, -1.5}, {inf, inf}, {-inf, -inf},
		{1 + 1.0/256, 1}, {1 + 3.0/256, 1 + 4.0/256}, // half way, to the even neighbour
		{1 + 1.01/256, 1 + 2.0/256}, {math.MaxFloat32, inf},
	} {
		if got := fromBF16(toBF16(float32(test.give))); float64(got) != test.want {
			t.Errorf("%g becomes %g, want %g", test.give, got, test.want)
		}
	}
	for _, bits := range []uint32{0x7fc00000, 0x7f800001, 0xff800001, 0xffffffff} {
		if got := fromBF16(toBF16(math.Float32frombits(bits))); got == got {
			t.Errorf("the NaN %x becomes %g", bits, got)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, format := range []Format{F32, BF16, Int8} {
		if got, err := ParseFormat(format.String()); err != nil || got != format {
			t.Errorf("%v reads back as %v, %v", format, got, err)
		}
	}
	if _, err := ParseFormat("f64"); err == nil {
		t.Error("f64 was accepted")
	}
}

// TestKeysStaySmall: a table takes little more than its values.
func TestKeysStaySmall(t *testing.T) {
	for format, size := range map[Format]int{F32: 4 * 16, BF16: 2 * 16, Int8: 16 + 4} {
		keys := NewKeys(16, format)
		for range 10_000 {
			keys.Append(make([]float32, 16))
		}
		if got := keys.Bytes(); got < 10_000*size || got > 14_000*size {
			t.Errorf("%v: %d bytes for 10000 keys of %d", format, got, size)
		}
	}
}
