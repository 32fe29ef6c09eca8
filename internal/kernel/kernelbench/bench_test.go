package kernelbench

import (
	"testing"

	"seqrec/internal/kernel"
)

func TestGEMM(t *testing.T) {
	before := kernel.Features()
	for _, path := range kernel.Paths() {
		gflops, ceiling := GEMM(path)
		t.Logf("%s: %.1f of %.1f GFLOP/s", path, gflops, ceiling)
		if gflops <= 0 || ceiling < 0 || path != "generic" && ceiling == 0 {
			t.Errorf("%s: %g of %g GFLOP/s", path, gflops, ceiling)
		}
	}
	if gflops, ceiling := GEMM("mmx"); gflops != 0 || ceiling != 0 {
		t.Errorf("an unknown instruction set made %g of %g GFLOP/s", gflops, ceiling)
	}
	if after := kernel.Features(); after != before {
		t.Errorf("the instruction set was %s and is %s", before, after)
	}
}

func TestTopK100k(t *testing.T) {
	got := TopK100k()
	t.Logf("%s: float32 %v, 8 bits first %v", kernel.Features(), got.F32, got.Int8)
	if !got.Same {
		t.Error("the two ways found different items")
	}
}
