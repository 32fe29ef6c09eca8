package tensor

import "fmt"

// Mat is a row-major matrix of float32, Rows x Cols, without gaps between
// rows. Its memory belongs to a Device: the CPU's is V; a device with memory
// of its own leaves V nil and uses Ptr. Only Device methods touch either, so a
// model never forces a copy back.
type Mat struct {
	Rows, Cols int
	V          []float32
	Ptr        uintptr
}

// Len is the number of elements.
func (m Mat) Len() int { return m.Rows * m.Cols }

// Slice is the view of rows lo..hi-1.
func (m Mat) Slice(lo, hi int) Mat {
	if lo < 0 || hi < lo || hi > m.Rows {
		panic(fmt.Sprintf("tensor: rows %d:%d of a matrix of %d rows", lo, hi, m.Rows))
	}
	return Block{V: m.V, Ptr: m.Ptr}.Mat(lo*m.Cols, hi-lo, m.Cols)
}

// Block is a run of device memory that matrices are cut from.
type Block struct {
	V   []float32
	Ptr uintptr
}

const floatBytes = 4

// Mat cuts a rows x cols matrix out of the block, starting at float off.
func (b Block) Mat(off, rows, cols int) Mat {
	n := rows * cols
	m := Mat{Rows: rows, Cols: cols}
	if b.V != nil {
		m.V = b.V[off : off+n : off+n]
	}
	if b.Ptr != 0 {
		m.Ptr = b.Ptr + uintptr(off)*floatBytes
	}
	return m
}

// Index is a list of N row numbers. V is the host's copy on every device, for
// the code that derives sizes from offsets; a device with memory of its own
// keeps another at Ptr.
type Index struct {
	V   []int32
	Ptr uintptr
	N   int
}

func sameShape(op string, a, b Mat) {
	if a.Rows != b.Rows || a.Cols != b.Cols {
		panic(fmt.Sprintf("tensor: %s: %dx%d against %dx%d", op, a.Rows, a.Cols, b.Rows, b.Cols))
	}
}
