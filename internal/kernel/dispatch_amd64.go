//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// widestPath looks at the processor (and at GODEBUG=cpu.avx512f=off and the like,
// which package cpu honours).
func widestPath() int32 {
	x := cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasBMI2 && x.HasFMA:
		return pathAVX512
	case x.HasAVX2 && x.HasFMA && x.HasBMI2:
		return pathAVX2
	}
	return pathGeneric
}

func gemmNN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	if path := chosen.Load(); path != pathGeneric {
		gemmStrided(shapeOf(path), m, n, k, a, lda, 1, b, ldb, c, ldc, acc)
		return
	}
	gemmStridedGeneric(m, n, k, a, lda, 1, b, ldb, c, ldc, acc)
}

func gemmTN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	if path := chosen.Load(); path != pathGeneric {
		gemmStrided(shapeOf(path), m, n, k, a, 1, lda, b, ldb, c, ldc, acc)
		return
	}
	gemmStridedGeneric(m, n, k, a, 1, lda, b, ldb, c, ldc, acc)
}

func gemmNT(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	if path := chosen.Load(); path != pathGeneric {
		gemmTransposed(shapeOf(path), m, n, k, a, lda, b, ldb, c, ldc, acc)
		return
	}
	gemmNTGeneric(m, n, k, a, lda, b, ldb, c, ldc, acc)
}

// packPanel transposes rows (1 to PanelWidth) of width values into a panel. What
// it writes to the columns beyond rows is never used.
func packPanel(dst, table []float32, ld, rows, width int) {
	if chosen.Load() == pathGeneric || width < 8 {
		packPanelGeneric(dst, table, ld, rows, width)
		return
	}
	// The last group of eight rows, or of eight values, overlaps the one before
	// it rather than fall short.
	for r := 0; r < rows; r += 8 {
		from := max(0, min(r, rows-8))
		count := min(8, rows)
		transposeRows(&dst[from], &table[from*ld], ld, count, width/8)
		if width%8 != 0 {
			transposeRows(&dst[(width-8)*PanelWidth+from], &table[from*ld+width-8], ld, count, 1)
		}
	}
}
