//go:build amd64 && !purego

package kernel

// tileRun is how many values of keys one call of scoreTile reads.
const tileRun = 1 << 19

// scoreTile uses AVX2 on every machine that has it.
func scoreTile(t *searchTile, panels, d int, queries, keys, bias []float32) {
	if chosen.Load() == pathGeneric || d == 0 {
		scoreTileGeneric(t, panels, d, queries, keys, bias)
		return
	}
	step := max(1, tileRun/(d*PanelWidth))
	for i := 0; i < panels; i += step {
		at := i * PanelWidth
		scoreTileAVX2(min(step, panels-i), d, &queries[0], &keys[at*d], &bias[at], &t[at])
	}
}

// placesAtLeast lists the places of the values that are at least bar, in order, and
// returns how many there are. The number of values is a multiple of PanelWidth up to
// searchSpan.
func placesAtLeast(places *searchPlaces, x []float32, bar float32) int {
	if chosen.Load() == pathGeneric || len(x) == 0 {
		return placesAtLeastGeneric(places, x, bar)
	}
	return placesAtLeastAVX2(len(x), &x[0], bar, &places[0])
}

// countAtLeast returns how many of x, of which there are some hundreds, are at
// least bar.
func countAtLeast(x []float32, bar float32) int {
	if chosen.Load() == pathGeneric || len(x) == 0 {
		return countAtLeastGeneric(x, bar)
	}
	return countAtLeastAVX2(len(x), &x[0], bar)
}

// countAbove counts for each of the first n of x how many of them are above it.
func countAbove(above *[sortMost]int32, x *[sortMost]float32, n int) {
	if chosen.Load() == pathGeneric || n == 0 {
		countAboveGeneric(above, x, n)
		return
	}
	countAboveAVX2(n, &above[0], &x[0])
}

// gatherRun is how many rows of a table one call of gatherSum adds up.
const gatherRun = 1 << 12

func gatherSum(dst, table []float32, idx []int32, weights []float32) {
	if chosen.Load() == pathGeneric {
		gatherSumGeneric(dst, table, idx, weights)
		return
	}
	for lo := 0; lo < len(idx); lo += gatherRun {
		gatherSumAVX2(min(gatherRun, len(idx)-lo), len(dst), &dst[0], &table[0], &idx[lo], &weights[lo])
	}
}
