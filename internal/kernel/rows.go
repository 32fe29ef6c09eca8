package kernel

// Gather copies the named rows of a packed table with cols columns.
//
//	dst[i*cols+c] = table[idx[i]*cols+c]
func Gather(dst []float32, table []float32, cols int, idx []int32) {
	checkRows(len(dst), len(table), cols, idx)
	for i, r := range idx {
		copy(dst[i*cols:(i+1)*cols], table[int(r)*cols:])
	}
}

// ScatterAdd adds rows to the named rows of a packed table, in the order of idx,
// so a row named twice receives both.
//
//	table[idx[i]*cols+c] += src[i*cols+c]
func ScatterAdd(table []float32, cols int, idx []int32, src []float32) {
	checkRows(len(src), len(table), cols, idx)
	if len(src) > 0 {
		scatterAdd(table, len(idx), cols, idx, src)
	}
}

// checkRows panics unless every index names a whole row of a table of size
// values and n values hold one row for each index.
func checkRows(n, size, cols int, idx []int32) {
	if cols < 0 {
		panic(badSize)
	}
	if n != len(idx)*cols {
		panic(badLength)
	}
	if cols == 0 {
		return
	}
	last := uint32(0) // a negative index is a large one
	for _, r := range idx {
		last = max(last, uint32(r))
	}
	if len(idx) > 0 && int(last) >= size/cols {
		panic(badIndex)
	}
}

// GatherSum adds weighted rows of a packed table to one row.
// The table has as many columns as dst.
//
//	dst[c] += Σi weights[i]*table[idx[i]*len(dst)+c]
func GatherSum(dst, table []float32, idx []int32, weights []float32) {
	checkRows(len(idx)*len(dst), len(table), len(dst), idx)
	if len(weights) != len(idx) {
		panic(badLength)
	}
	if len(dst) > 0 && len(idx) > 0 {
		gatherSum(dst, table, idx, weights)
	}
}

func gatherSumGeneric(dst, table []float32, idx []int32, weights []float32) {
	for i, r := range idx {
		axpyGeneric(dst, weights[i], table[int(r)*len(dst):][:len(dst)])
	}
}
