//go:build amd64 && !purego

package kernel

// tileRun is how many values of keys one call of scoreTile reads.
const tileRun = 1 << 19

// scoreTile uses AVX2 on every machine that has it.
func scoreTile(t *searchTile, halves []int32, d int, queries, keys, bias []float32, c shares) {
	if chosen.Load() == pathGeneric || d == 0 {
		scoreTileGeneric(t, halves, d, queries, keys, bias, c)
		return
	}
	step := max(1, tileRun/(d*halfPanel))
	for lo := 0; lo < len(halves); lo += step {
		scoreTileAVX2(min(step, len(halves)-lo), &halves[lo], d, &queries[0], &keys[0], &bias[0], &c.scores[0], &c.classes[0], &t[lo*halfPanel])
	}
}

// prospects lists the halves of panels with a limit that is not below its bar, and
// returns how many there are.
func prospects(list []int32, halves int, reach, bars *[sharesRead]float32, c shares, norms, peaks []float32) int {
	if chosen.Load() == pathGeneric {
		return prospectsGeneric(list, halves, reach, bars, c, norms, peaks)
	}
	return prospectsAVX2(halves, &reach[0], &bars[0], &c.scores[0], &c.classes[0], &norms[0], &peaks[0], &list[0])
}

// passing lists the values of x, each with add added, that are then at least bar,
// and their places, in order, and returns how many there are. The number of values
// is a multiple of 8; both lists have room for 8 more than pass, and values may be x.
func passing(values []float32, places []int32, x []float32, add, bar float32) int {
	if chosen.Load() == pathGeneric || len(x) == 0 {
		return passingGeneric(values, places, x, add, bar)
	}
	return passingAVX2(len(x), &x[0], add, bar, &values[0], &places[0])
}

// passingEntries lists what is at least bar of the entries of one key after the
// other; see passingEntriesGeneric.
func passingEntries(to shortlist, scores []float32, places []int32, e *Entries, first int, bar float32) (done, count int) {
	if chosen.Load() == pathGeneric || len(scores) == 0 || len(to.scores) < EntryRoom {
		return passingEntriesGeneric(to, scores, places, e, first, bar)
	}
	room := min(len(to.scores), tileRun/PanelWidth) - EntryRoom // no call is long
	return passingEntriesAVX2(len(scores), &scores[0], &places[0], &e.Starts[first], &e.Behind[:1][0], &e.Names[:1][0], bar, &to.scores[0], &to.names[0], room)
}

// countAtLeast returns how many of x, of which there are some hundreds, are at
// least bar.
func countAtLeast(x []float32, bar float32) int {
	if chosen.Load() == pathGeneric || len(x) == 0 {
		return countAtLeastGeneric(x, bar)
	}
	return countAtLeastAVX2(len(x), &x[0], bar)
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
