package safetensors

import (
	"errors"
	"fmt"
	"math/bits"
)

// ErrFormat is wrapped by every error that says a file breaks the format, as
// opposed to an error of reading it.
var ErrFormat = errors.New("not a valid safetensors file")

// ErrNoTensor is wrapped when a file holds no tensor of the name asked for.
var ErrNoTensor = errors.New("no such tensor")

// MaxHeader is the longest header, in bytes, that is read or written. It is the
// limit of the reference implementation.
const MaxHeader = 100_000_000

// metadataKey is the one header key that is not a tensor.
const metadataKey = "__metadata__"

// Tensor is one named array of float32 in row-major order.
// len(Data) is the product of Shape; an empty Shape is a scalar, one value.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// DType names the type of a tensor's elements as the header spells it.
type DType string

// The element types this package can decode. Other types of the format are
// checked, listed and readable as bytes only.
const (
	F32 DType = "F32"
	F64 DType = "F64"
	I32 DType = "I32"
	I64 DType = "I64"
	U8  DType = "U8"
)

// Size gives the bytes of one element, or 0 for a type this package does not know.
func (d DType) Size() int {
	switch d {
	case "BOOL", U8, "I8", "F8_E5M2", "F8_E4M3":
		return 1
	case "I16", "U16", "F16", "BF16":
		return 2
	case I32, "U32", F32:
		return 4
	case F64, I64, "U64":
		return 8
	}
	return 0
}

// Info describes one tensor of an open file. Offset counts bytes from the start
// of the file; Bytes is the length of its values.
type Info struct {
	Name   string
	DType  DType
	Shape  []int
	Offset int64
	Bytes  int64
}

// Elements gives the number of values in the tensor.
func (i Info) Elements() int {
	return int(i.Bytes) / i.DType.Size()
}

// elements multiplies a shape out. It reports false for a negative size and for
// a product that does not fit an int, whatever the order of the sizes.
func elements(shape []int) (int, bool) {
	n := uint64(1)
	for _, s := range shape {
		if s < 0 {
			return 0, false
		}
		hi, lo := bits.Mul64(n, uint64(s))
		if hi != 0 || lo > uint64(maxInt) {
			return 0, false
		}
		n = lo
	}
	return int(n), true
}

const maxInt = int(^uint(0) >> 1)

// formatErr makes an error that wraps [ErrFormat].
func formatErr(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}
