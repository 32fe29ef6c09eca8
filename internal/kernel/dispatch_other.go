//go:build !amd64 || purego

package kernel

func widestPath() int32 { return pathGeneric }

func gemmNN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	gemmStridedGeneric(m, n, k, a, lda, 1, b, ldb, c, ldc, acc)
}

func gemmTN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	gemmStridedGeneric(m, n, k, a, 1, lda, b, ldb, c, ldc, acc)
}

func gemmNT(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	gemmNTGeneric(m, n, k, a, lda, b, ldb, c, ldc, acc)
}

func packPanel(dst, table []float32, ld, rows, d int) { packPanelGeneric(dst, table, ld, rows, d) }

func dot(a, b []float32) float32                      { return dotGeneric(a, b) }
func axpy(y []float32, alpha float32, x []float32)    { axpyGeneric(y, alpha, x) }
func add(dst, a, b []float32)                         { addGeneric(dst, a, b) }
func mul(dst, a, b []float32)                         { mulGeneric(dst, a, b) }
func scale(dst []float32, alpha float32, x []float32) { scaleGeneric(dst, alpha, x) }
func sum(x []float32) float32                         { return sumGeneric(x) }
func maximum(x []float32) float32                     { return maxGeneric(x) }
func expSum(dst, x []float32, scale, shift float32) float32 {
	return expSumGeneric(dst, x, scale, shift)
}

func softmax(x []float32, factor float32) (top, total float32) { return softmaxSteps(x, factor) }

func softmaxBackward(dx, y, dy []float32, scale, inner float32) {
	softmaxBackwardGeneric(dx, y, dy, scale, inner)
}

func layerNorm(y, x, gain, bias []float32, rows, cols int, eps float32, mean, rstd []float32) {
	layerNormGeneric(y, x, gain, bias, rows, cols, eps, mean, rstd)
}

func layerNormBackward(dx, dgain, dbias, dy, x, gain []float32, rows, cols int, mean, rstd []float32) {
	layerNormBackwardGeneric(dx, dgain, dbias, dy, x, gain, rows, cols, mean, rstd)
}

func addBias(x []float32, rows, cols int, bias []float32) { addBiasGeneric(x, rows, cols, bias) }
func sumRows(dst, x []float32, rows, cols int)            { sumRowsGeneric(dst, x, rows, cols) }

func scatterAdd(table []float32, rows, cols int, idx []int32, src []float32) {
	scatterAddGeneric(table, rows, cols, idx, src)
}

func relu(y, x []float32)                 { reluGeneric(y, x) }
func reluBackward(dx, dy, x []float32)    { reluBackwardGeneric(dx, dy, x) }
func gelu(y, x []float32)                 { geluGeneric(y, x) }
func geluBackward(dx, dy, x []float32)    { geluBackwardGeneric(dx, dy, x) }
func silu(y, x []float32)                 { siluGeneric(y, x) }
func siluBackward(dx, dy, x []float32)    { siluBackwardGeneric(dx, dy, x) }
func sigmoid(y, x []float32)              { sigmoidGeneric(y, x) }
func sigmoidBackward(dx, dy, x []float32) { sigmoidBackwardGeneric(dx, dy, x) }

func dropout(y, x []float32, factor float32, threshold, counter, key0, key1 uint32) {
	dropoutGeneric(y, x, factor, threshold, counter, key0, key1)
}

func adamW(w, g, m, v []float32, f *adamFactors) { adamWGeneric(w, g, m, v, f) }

func scoreRows(dst, table []float32, ld, d int, q []float32) {
	scoreRowsGeneric(dst, table, ld, d, q)
}

func firstAtLeast(x []float32, bar float32) int { return firstAtLeastGeneric(x, bar) }

// roughLimit is 0: there is no first pass without assembly.
func roughLimit() float64 { return 0 }

func roughScores(blocks, lines int, items []uint8, query []int8, scale, norm, rest, low, high []float32, q roughQuery) {
	panic("kernel: no first pass without assembly")
}

func scoreTile(t *searchTile, halves []int32, d int, queries, keys, bias []float32, c shares) {
	scoreTileGeneric(t, halves, d, queries, keys, bias, c)
}

func prospects(list []int32, halves int, reach, bars *[sharesRead]float32, c shares, norms, peaks []float32) int {
	return prospectsGeneric(list, halves, reach, bars, c, norms, peaks)
}

func passing(values []float32, places []int32, x []float32, add, bar float32) int {
	return passingGeneric(values, places, x, add, bar)
}

func passingEntries(to shortlist, scores []float32, places []int32, e *Entries, first int, bar float32) (done, count int) {
	return passingEntriesGeneric(to, scores, places, e, first, bar)
}

func countAtLeast(x []float32, bar float32) int { return countAtLeastGeneric(x, bar) }

func gatherSum(dst, table []float32, idx []int32, weights []float32) {
	gatherSumGeneric(dst, table, idx, weights)
}
