package kernel

// GemmNN multiplies A (m×k) by B (k×n) into C (m×n), or adds to C when acc is
// true. C must not overlap A or B. As with GemmNT, the bits of a row of C depend on
// that row of A, not on how many rows are multiplied with it.
//
//	for i, j: C[i,j] = (acc ? C[i,j] : 0) + Σp A[i,p]*B[p,j]
func GemmNN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	checkMatrix(m, k, lda, len(a))
	checkMatrix(k, n, ldb, len(b))
	checkMatrix(m, n, ldc, len(c))
	if m == 0 || n == 0 {
		return
	}
	gemmNN(m, n, k, a, lda, b, ldb, c, ldc, acc)
}

// GemmNT multiplies A (m×k) by the transpose of B (n×k) into C (m×n), or adds
// to C when acc is true. C must not overlap A or B.
//
//	for i, j: C[i,j] = (acc ? C[i,j] : 0) + Σp A[i,p]*B[j,p]
func GemmNT(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	checkMatrix(m, k, lda, len(a))
	checkMatrix(n, k, ldb, len(b))
	checkMatrix(m, n, ldc, len(c))
	if m == 0 || n == 0 {
		return
	}
	gemmNT(m, n, k, a, lda, b, ldb, c, ldc, acc)
}

// GemmTN multiplies the transpose of A (k×m) by B (k×n) into C (m×n), or adds
// to C when acc is true. C must not overlap A or B.
//
//	for i, j: C[i,j] = (acc ? C[i,j] : 0) + Σp A[p,i]*B[p,j]
func GemmTN(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	checkMatrix(k, m, lda, len(a))
	checkMatrix(k, n, ldb, len(b))
	checkMatrix(m, n, ldc, len(c))
	if m == 0 || n == 0 {
		return
	}
	gemmTN(m, n, k, a, lda, b, ldb, c, ldc, acc)
}
