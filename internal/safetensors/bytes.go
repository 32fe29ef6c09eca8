package safetensors

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// floatBytes is the memory of x seen as bytes, in the machine's own order.
func floatBytes(x []float32) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
}

// littleEndian reports whether memory already has the file's byte order.
func littleEndian() bool {
	return binary.NativeEndian.Uint16([]byte{1, 0}) == 1
}

// fixFloats gives the step that turns file order into machine order in place
// once the bytes of x have been read, or nil where there is nothing to do.
func fixFloats(x []float32) func() {
	if littleEndian() {
		return nil
	}
	return func() { decodeFloats(x, floatBytes(x)) }
}

// decodeFloats reads src (4*len(dst) bytes, little-endian) into dst on any
// machine. src may be the memory of dst.
func decodeFloats(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// encodeFloats writes src to dst (4*len(src) bytes) in little-endian order on
// any machine.
func encodeFloats(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}
