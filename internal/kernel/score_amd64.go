//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// scoreRun is how many values of a table one call of scoreRows reads.
const scoreRun = 1 << 17

func scoreRows(dst, table []float32, ld, d int, q []float32) {
	path := chosen.Load()
	if path == pathGeneric {
		scoreRowsGeneric(dst, table, ld, d, q)
		return
	}
	step := max(8, scoreRun/d/8*8)
	for i := 0; i < len(dst); i += step {
		n := min(step, len(dst)-i)
		if path == pathAVX512 {
			scoreRowsAVX512(n, d, &dst[i], &table[i*ld], ld, &q[0])
		} else {
			scoreRowsAVX2(n, d, &dst[i], &table[i*ld], ld, &q[0])
		}
	}
}

// firstAtLeast returns the first index with x[i] >= bar, or len(x).
func firstAtLeast(x []float32, bar float32) int {
	if len(x) == 0 {
		return 0
	}
	switch chosen.Load() {
	case pathAVX512:
		return firstAtLeastAVX512(len(x), &x[0], bar)
	case pathAVX2:
		return firstAtLeastAVX2(len(x), &x[0], bar)
	}
	return firstAtLeastGeneric(x, bar)
}

// hasVNNI tells whether bytes can be multiplied and added up in one step.
func hasVNNI() bool { return chosen.Load() == pathAVX512 && cpu.X86.HasAVX512VNNI }

// roughLimit is the largest 8-bit value that a query may have, 0 for no first
// pass: pairs of products must not overflow 16 bits without VNNI.
func roughLimit() float64 {
	switch {
	case chosen.Load() == pathGeneric:
		return 0
	case hasVNNI():
		return 127
	}
	return 63
}

// roughScores brackets the scores of blocks*16 rows.
func roughScores(blocks, lines int, items []uint8, query []int8, scale, norm, rest, low, high []float32, q roughQuery) {
	if hasVNNI() {
		roughScoresVNNI(blocks, lines, &items[0], &query[0], &scale[0], &norm[0], &rest[0], &low[0], &high[0], q.shift, q.unit, q.alpha, q.beta)
	} else {
		roughScoresAVX2(blocks, lines, &items[0], &query[0], &scale[0], &norm[0], &rest[0], &low[0], &high[0], q.shift, q.unit, q.alpha, q.beta)
	}
}
