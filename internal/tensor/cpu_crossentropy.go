package tensor

import (
	"math"

	"seqrec/internal/kernel"
)

// The catalogue is streamed in tiles: catalogueRows positions by as many items
// as fit in catalogueTile floats. Memory is one tile, whatever the number of
// items or positions.
const (
	catalogueRows = 192
	catalogueTile = 192 * 4096 // 3 MiB
)

func catalogueTileItems(rows, items int) int {
	rows = min(rows, catalogueRows)
	return min(items, max(32, catalogueTile/max(rows, 1)&^31))
}

// CatalogueScratch counts the floats of scratch that CrossEntropy needs for
// rows positions over items: one tile and two floats a row. It is bounded.
func CatalogueScratch(rows, items int) int {
	r := min(rows, catalogueRows)
	return r*catalogueTileItems(rows, items) + 2*r
}

// CrossEntropy makes two passes over the tiles of each group of rows: one for
// the log-sum-exp (online, Milakov & Gimelshein 2018), one for the gradient.
// When one tile holds the whole catalogue the second pass reuses the scores.
func (CPU) CrossEntropy(a CatalogueArgs) float64 {
	var loss float64
	for lo := 0; lo < a.H.Rows; lo += catalogueRows {
		loss += catalogueGroup(&a, lo, min(lo+catalogueRows, a.H.Rows))
	}
	return loss * float64(a.Scale)
}

// catalogueGroup is the loss (without Scale) of rows lo..hi-1.
func catalogueGroup(a *CatalogueArgs, lo, hi int) float64 {
	rows, n := hi-lo, a.Table.Rows
	h := a.H.Slice(lo, hi)
	tile := catalogueTileItems(a.H.Rows, n)
	top, sum := a.Scratch.V[:rows], a.Scratch.V[rows:2*rows]
	s := a.Scratch.V[2*rows:]
	targets := a.Targets.V[lo:hi]
	var loss float64
	for r := range rows {
		top[r], sum[r] = float32(math.Inf(-1)), 0
	}
	for i := 0; i < n; i += tile {
		j := min(i+tile, n)
		catalogueScores(a, h, i, j, s)
		for r := range rows {
			row := s[r*(j-i):][:j-i]
			if p := int(targets[r]); p >= i && p < j {
				loss -= float64(row[p-i])
			}
			onlineSum(row, &top[r], &sum[r], a.Learn && tile >= n)
		}
	}
	for r := range rows {
		loss += float64(top[r]) + math.Log(float64(sum[r]))
	}
	if a.Learn {
		catalogueGradient(a, h, lo, tile, top, sum, s)
	}
	return loss
}

// catalogueScores sets s (rows x (j-i)) to the scores of items i..j-1.
func catalogueScores(a *CatalogueArgs, h Mat, i, j int, s []float32) {
	d, w := h.Cols, j-i
	kernel.GemmNT(h.Rows, w, d, h.V, d, a.Table.V[i*d:], d, s, w, false)
	if a.Bias.V != nil {
		kernel.AddBias(s[:h.Rows*w], h.Rows, w, a.Bias.V[i:j])
	}
}

// onlineSum folds one tile of scores into the running maximum and the sum of
// exp(score - maximum). With keep the exponentials replace the scores, which is
// only of use when this tile is the whole row.
func onlineSum(row []float32, top, sum *float32, keep bool) {
	m := max(*top, kernel.Max(row))
	if keep {
		*sum = kernel.ExpSum(row, row, 1, m)
		*top = m
		return
	}
	var part float32
	var buf [512]float32
	for lo := 0; lo < len(row); lo += len(buf) {
		p := row[lo:min(lo+len(buf), len(row))]
		part += kernel.ExpSum(buf[:len(p)], p, 1, m)
	}
	if *sum > 0 {
		*sum *= float32(math.Exp(float64(*top - m)))
	}
	*sum += part
	*top = m
}

// catalogueGradient turns each tile into G and adds the three products.
func catalogueGradient(a *CatalogueArgs, h Mat, lo, tile int, top, sum, s []float32) {
	n, d, rows := a.Table.Rows, h.Cols, h.Rows
	dh := a.DH.Slice(lo, lo+rows)
	for i := 0; i < n; i += tile {
		j := min(i+tile, n)
		w := j - i
		if tile < n {
			catalogueScores(a, h, i, j, s)
		}
		for r := range rows {
			row := s[r*w:][:w]
			if tile < n {
				kernel.ExpSum(row, row, 1, top[r])
			}
			kernel.Scale(row, a.Scale/sum[r], row)
			if p := int(a.Targets.V[lo+r]); p >= i && p < j {
				row[p-i] -= a.Scale
			}
		}
		kernel.GemmNN(rows, d, w, s, w, a.Table.V[i*d:], d, dh.V, d, true)
		kernel.GemmTN(w, d, rows, s, w, h.V, d, a.DTable.V[i*d:], d, true)
		if a.DBias.V != nil {
			kernel.SumRows(a.DBias.V[i:j], s[:rows*w], rows, w)
		}
	}
}
