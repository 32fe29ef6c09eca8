//go:build amd64 && !purego

package kernel

import "sync"

// kBlock bounds the depth of one tile call: a block of B under a tile stays in
// the first or second cache, and no call is long.
const kBlock = 256

// tileShape is how many rows and columns of C one tile call covers.
type tileShape struct {
	wide       bool // AVX-512 instead of AVX2
	rows, cols int
}

func shapeOf(path int32) tileShape {
	if path == pathAVX512 {
		return tileShape{wide: true, rows: 14, cols: 32}
	}
	return tileShape{rows: 6, cols: 16}
}

// next returns how many of the left rows the next tile takes. A lonely row or
// two would keep the multipliers waiting, so the last two tiles share.
func (s tileShape) next(left int) int {
	if left > s.rows && left < s.rows+s.rows/2 {
		return (left + 1) / 2
	}
	return min(left, s.rows)
}

// gemmStrided is GemmNN for ars = lda, acs = 1 and GemmTN for ars = 1, acs = lda.
// Rows of tiles outside, panels of B inside: a tile's rows of A stay in the first
// cache while B, the small matrix at most calls, comes from the second. Each
// element of C is summed in the order of k whatever m is.
func gemmStrided(s tileShape, m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	for p := 0; p < k; p += kBlock {
		depth := min(kBlock, k-p)
		for i := 0; i < m; {
			rows := s.next(m - i)
			for j := 0; j < n; j += s.cols {
				s.tile(rows, min(s.cols, n-j), depth, &a[i*ars+p*acs], ars, acs, &b[p*ldb+j], ldb, &c[i*ldc+j], ldc, acc || p > 0)
			}
			i += rows
		}
	}
	if k == 0 && !acc {
		clearRows(c, m, n, ldc)
	}
}

func (s tileShape) tile(rows, cols, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, acc bool) {
	if s.wide {
		gemmTileAVX512(rows, cols, k, a, ars, acs, b, ldb, c, ldc, acc)
	} else {
		gemmTileAVX2(rows, cols, k, a, ars, acs, b, ldb, c, ldc, acc)
	}
}

func clearRows(c []float32, m, n, ldc int) {
	for i := range m {
		clear(c[i*ldc : i*ldc+n])
	}
}

// packed lends the memory for one transposed block of B.
var packed = sync.Pool{New: func() any { return new([kBlock * PanelWidth]float32) }}

// gemmTransposed is GemmNT: each block of PanelWidth rows of B is transposed into
// a panel once and then meets all rows of A. A row or two take the same way though
// the transposition costs more than their product: a sum in another order would
// make a row's bits depend on its neighbours.
func gemmTransposed(s tileShape, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	block := packed.Get().(*[kBlock * PanelWidth]float32)
	defer packed.Put(block)
	for j := 0; j < n; j += PanelWidth {
		cols := min(PanelWidth, n-j)
		for p := 0; p < k; p += kBlock {
			depth := min(kBlock, k-p)
			packPanel(block[:depth*PanelWidth], b[j*ldb+p:], ldb, cols, depth)
			gemmStrided(s, m, cols, depth, a[p:], lda, 1, block[:], PanelWidth, c[j:], ldc, acc || p > 0)
		}
	}
	if k == 0 && !acc {
		clearRows(c, m, n, ldc)
	}
}
