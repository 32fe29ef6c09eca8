package tensor

import "seqrec/internal/kernel"

// scoreBlock is how many rows are scored before the bias is added and the best
// are picked: the scores stay in the first-level cache.
const scoreBlock = 2048

// TopK scores and picks block by block.
func (CPU) TopK(top *kernel.TopK, table, bias, state Mat, blocked []uint64) {
	n, d := table.Rows, table.Cols
	if bias.V == nil {
		kernel.ScoreTopK(top, table.V, d, d, n, state.V, blocked)
		return
	}
	var buf [scoreBlock]float32
	for lo := 0; lo < n; lo += scoreBlock {
		hi := min(lo+scoreBlock, n)
		s := buf[:hi-lo]
		kernel.ScoreRows(s, table.V[lo*d:], d, d, state.V)
		kernel.Axpy(s, 1, bias.V[lo:hi])
		top.Scan(s, int32(lo), blocked)
	}
}

// ScoreAt scores the rows one by one.
func (CPU) ScoreAt(dst []float32, table, bias, state Mat, rows Index) {
	d := table.Cols
	for i, row := range rows.V {
		kernel.ScoreRows(dst[i:i+1], table.V[int(row)*d:], d, d, state.V)
		if bias.V != nil {
			dst[i] += bias.V[row]
		}
	}
}
