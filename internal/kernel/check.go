package kernel

// What a broken contract panics with.
const (
	badLength  = "kernel: slices differ in length"
	badMatrix  = "kernel: matrix does not fit its slice"
	badSize    = "kernel: negative size"
	badIndex   = "kernel: row index out of range"
	badRate    = "kernel: dropout rate outside [0,1)"
	badPanels  = "kernel: column range does not fit the panels"
	badWorkers = "kernel: no workers"
)

// checkMatrix panics unless a rows×cols matrix with leading dimension ld lies
// within a slice of n values.
func checkMatrix(rows, cols, ld, n int) {
	if rows < 0 || cols < 0 {
		panic(badSize)
	}
	if rows == 0 || cols == 0 {
		return
	}
	if ld < cols || cols > n || (rows-1) > (n-cols)/ld {
		panic(badMatrix)
	}
}

// checkSame panics unless both lengths are equal.
func checkSame(a, b int) {
	if a != b {
		panic(badLength)
	}
}
