package tensor_test

import (
	"testing"

	"seqrec/internal/tensor"
)

// counting is the CPU with a count of the floats it was asked for.
type counting struct {
	tensor.CPU
	floats *int
}

func (c counting) Alloc(n int) tensor.Block {
	*c.floats += n
	return c.CPU.Alloc(n)
}

// TestTapeMemoryIsBounded: passes of ever new sizes, in ever new orders, settle
// on memory in proportion to the largest pass.
func TestTapeMemoryIsBounded(t *testing.T) {
	const passes, width = 400, 2000
	asked := 0
	tape := tensor.NewTape(counting{floats: &asked})
	for n := 1; n <= passes; n++ {
		tape.Reset(0)
		sizes := []int{10, n, 1, n / 2}
		for i := range sizes {
			tape.Scratch(sizes[(i+n)%len(sizes)], width)
		}
	}
	if largest := (10 + passes + 1 + passes/2) * width; asked > 4*largest {
		t.Errorf("%d floats were allocated for passes of at most %d", asked, largest)
	}
}

// TestTapeHandsOutSeparateMemory: no two matrices of a pass overlap, also when
// blocks of other sizes are taken up again.
func TestTapeHandsOutSeparateMemory(t *testing.T) {
	tape := tensor.NewTape(cpu)
	for _, sizes := range [][]int{{5, 300_000, 7}, {600_000, 3, 0, 299_999}, {1, 1 << 18, 1, 1 << 19}} {
		tape.Reset(0)
		var mats []tensor.Mat
		for i, n := range sizes {
			m := tape.Scratch(1, n)
			for j := range m.V {
				m.V[j] = float32(i)
			}
			mats = append(mats, m)
		}
		for i, m := range mats {
			if m.Len() != sizes[i] || len(m.V) != sizes[i] {
				t.Fatalf("asked for %d floats, got %d", sizes[i], len(m.V))
			}
			for j, x := range m.V {
				if x != float32(i) {
					t.Fatalf("sizes %v: float %d of matrix %d was overwritten by matrix %v", sizes, j, i, x)
				}
			}
		}
	}
}

// TestBrokenShapesPanic: a caller's fault is loud, never a wrong number.
func TestBrokenShapesPanic(t *testing.T) {
	p := tensor.NewParams(cpu)
	table := p.Add("table", 5, 4, true)
	p.Alloc()
	tape := tensor.NewTape(cpu)
	h := tape.Gather(table, cpu.Index([]int32{0, 1, 2}), 1)
	index := func(rows ...int32) tensor.Index { return cpu.Index(rows) }
	for name, broken := range map[string]func(){
		"target beyond the table":   func() { tape.CrossEntropy(h, table, nil, index(0, 1, 5), 1) },
		"negative target":           func() { tape.CrossEntropy(h, table, nil, index(0, -1, 2), 1) },
		"too few targets":           func() { tape.CrossEntropy(h, table, nil, tensor.Index{V: []int32{0, 1, 2}[:2], N: 2}, 1) },
		"sampled, too many targets": func() { tape.SampledCrossEntropy(h, table, nil, index(0, 1, 2, 3), index(1), tensor.Mat{}, 1) },
		"binary, uneven negatives":  func() { tape.BinaryCrossEntropy(h, table, nil, index(0, 1, 2), index(1, 2, 3, 4), 1, 1) },
		"row beyond the table":      func() { tape.Gather(table, index(5), 1) },
		"sum of different shapes":   func() { tape.Add(h, tape.Gather(table, index(1), 1)) },
		"slice beyond the matrix":   func() { h.Slice(1, 4) },
		"negative size":             func() { tape.Scratch(-1, 3) },
		"name used twice":           func() { q := tensor.NewParams(cpu); q.Add("x", 1, 1, true); q.Add("x", 1, 1, true) },
		"parameter after Alloc":     func() { p.Add("late", 1, 1, true) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			broken()
		})
	}
}
