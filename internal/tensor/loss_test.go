package tensor_test

import (
	"fmt"
	"testing"

	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
	"seqrec/internal/tensor/devicetest"
	"seqrec/internal/tensor/tensortest"
)

// TestLossGradients holds the losses' gradients against finite differences.
func TestLossGradients(t *testing.T) {
	idx := cpu.Index([]int32{2, 0, 2, 4, 1})
	targets := cpu.Index([]int32{6, 1, 0, 6, 3})
	shared := cpu.Index([]int32{1, 5, 6, 2})
	own := cpu.Index([]int32{1, 2, 3, 4, 5, 6, 0, 1, 2, 3})
	logQ := tensor.Mat{Rows: 1, Cols: 7, V: []float32{-1, -2, -3, -1.5, -2.5, -0.5, -4}}
	rows := map[string]func(tape *tensor.Tape, h *tensor.Var, e, bias *tensor.Param) float64{
		"catalogue": func(tape *tensor.Tape, h *tensor.Var, e, bias *tensor.Param) float64 {
			return tape.CrossEntropy(h, e, bias, targets, 0.2)
		},
		"sampled": func(tape *tensor.Tape, h *tensor.Var, e, bias *tensor.Param) float64 {
			return tape.SampledCrossEntropy(h, e, bias, targets, shared, tensor.Mat{}, 0.2)
		},
		"sampled with log q": func(tape *tensor.Tape, h *tensor.Var, e, bias *tensor.Param) float64 {
			return tape.SampledCrossEntropy(h, e, bias, targets, shared, logQ, 0.2)
		},
		"binary": func(tape *tensor.Tape, h *tensor.Var, e, bias *tensor.Param) float64 {
			return tape.BinaryCrossEntropy(h, e, bias, targets, own, 0.3, 0.2)
		},
	}
	for name, loss := range rows {
		for _, withBias := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/bias=%v", name, withBias), func(t *testing.T) {
				p := tensor.NewParams(cpu)
				x, e := p.Add("x", 6, 5, true), p.Add("e", 7, 5, true)
				var bias *tensor.Param
				if withBias {
					bias = p.Add("bias", 1, 7, false)
				}
				p.Alloc()
				tensortest.Fill(p, 3, 0.8)
				tensortest.Gradients(t, p, func(tape *tensor.Tape) float64 {
					return loss(tape, tape.Gather(x, idx, 1), e, bias)
				})
			})
		}
	}
}

// TestCPU holds the CPU to every verb's definition, on each instruction set
// that this machine has.
func TestCPU(t *testing.T) {
	was := kernel.Features()
	t.Cleanup(func() { setPath(t, was) })
	for _, path := range []string{"generic", "avx2", "avx512"} {
		if err := kernel.SetPath(path); err != nil {
			t.Logf("%s: %v", path, err)
			continue
		}
		t.Run(path, func(t *testing.T) {
			devicetest.Run(t, tensor.CPU{})
			devicetest.RunTarget(t, tensor.CPU{})
		})
	}
}

func setPath(t *testing.T, path string) {
	t.Helper()
	if err := kernel.SetPath(path); err != nil {
		t.Fatal(err)
	}
}

// TestCatalogueScratchIsBounded: memory grows with a tile only.
func TestCatalogueScratchIsBounded(t *testing.T) {
	for _, rows := range []int{1, 100, 1 << 20} {
		for _, items := range []int{1, 1 << 12, 1 << 20, 1 << 27} {
			if n := tensor.CatalogueScratch(rows, items); n > 1<<20 {
				t.Errorf("%d rows, %d items: %d floats of scratch", rows, items, n)
			}
		}
	}
}
