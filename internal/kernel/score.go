package kernel

// ScoreRows writes the inner product of q (length d) with each of the first
// len(dst) rows of table. The bits of one row's score do not depend on which
// rows are scored with it.
//
//	dst[i] = Σj table[i*ld+j]*q[j]
func ScoreRows(dst []float32, table []float32, ld, d int, q []float32) {
	checkMatrix(len(dst), d, ld, len(table))
	checkSame(len(q), d)
	if d == 0 {
		clear(dst)
		return
	}
	scoreRows(dst, table, ld, d, q)
}

// scoreBlock is the number of rows scored before they are offered to the top-k:
// few enough that the scores stay in the first cache.
const scoreBlock = 2048

// ScoreTopK offers the scores of the n rows of table for the query q to t, as
// items 0 to n-1. Bit i of blocked keeps item i out; items past its end are free.
//
//	ScoreRows(s, table, ld, d, q); t.Scan(s, 0, blocked)
func ScoreTopK(t *TopK, table []float32, ld, d, n int, q []float32, blocked []uint64) {
	checkMatrix(n, d, ld, len(table))
	checkSame(len(q), d)
	scores := t.buffer()
	for lo := 0; lo < n; lo += scoreBlock {
		block := scores[:min(scoreBlock, n-lo)]
		ScoreRows(block, table[lo*ld:], ld, d, q)
		t.Scan(block, int32(lo), blocked)
	}
}

func scoreRowsGeneric(dst, table []float32, ld, d int, q []float32) {
	for i := range dst {
		dst[i] = dotGeneric(table[i*ld:i*ld+d], q)
	}
}
