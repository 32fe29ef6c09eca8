package kernel

// gemmStridedGeneric is the plain Go twin of GemmNN and GemmTN: element (i, p)
// of A is a[i*ars+p*acs], so one loop serves both orders.
func gemmStridedGeneric(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if !acc {
			clear(row)
		}
		for p := range k {
			s := a[i*ars+p*acs]
			x := b[p*ldb : p*ldb+n]
			for j := range row {
				row[j] += s * x[j]
			}
		}
	}
}

// gemmNTGeneric is the plain Go twin of GemmNT.
func gemmNTGeneric(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	for i := range m {
		var x []float32
		if k > 0 {
			x = a[i*lda : i*lda+k]
		}
		row := c[i*ldc : i*ldc+n]
		for j := range row {
			var sum float32
			if k > 0 {
				sum = dotGeneric(x, b[j*ldb:j*ldb+k])
			}
			if acc {
				sum += row[j]
			}
			row[j] = sum
		}
	}
}
