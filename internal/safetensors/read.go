package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// File is an open safetensors file. Its header has been checked in full; values
// are read from the underlying reader on demand. It may be used by several
// goroutines when the reader may.
type File struct {
	// Metadata is the header's free map, never nil. It belongs to the File.
	Metadata map[string]string

	r       io.ReaderAt
	tensors []Info // sorted by name
}

// Open reads and checks the header of a file of size bytes. It allocates no more
// than the header needs. Errors about the file's content wrap [ErrFormat].
func Open(r io.ReaderAt, size int64) (*File, error) {
	if size < 8 {
		return nil, formatErr("%d bytes are too few for a header length", size)
	}
	var length [8]byte
	if err := readAt(r, length[:], 0); err != nil {
		return nil, fmt.Errorf("read safetensors header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > MaxHeader {
		return nil, formatErr("a header of %d bytes is longer than the %d allowed", n, MaxHeader)
	}
	if int64(n) > size-8 {
		return nil, formatErr("the header says %d bytes, the file has %d after its length", n, size-8)
	}
	data := make([]byte, n)
	if err := readAt(r, data, 8); err != nil {
		return nil, fmt.Errorf("read safetensors header: %w", err)
	}
	h, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	if err := h.checkLayout(8+int64(n), size); err != nil {
		return nil, err
	}
	slices.SortFunc(h.tensors, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	if h.metadata == nil {
		h.metadata = map[string]string{}
	}
	return &File{Metadata: h.metadata, r: r, tensors: h.tensors}, nil
}

// Names lists the tensors in ascending order.
func (f *File) Names() []string {
	names := make([]string, len(f.tensors))
	for i, t := range f.tensors {
		names[i] = t.Name
	}
	return names
}

// Info describes one tensor and reports whether the file has it.
func (f *File) Info(name string) (Info, bool) {
	i, ok := slices.BinarySearchFunc(f.tensors, name, func(t Info, name string) int {
		return strings.Compare(t.Name, name)
	})
	if !ok {
		return Info{}, false
	}
	info := f.tensors[i]
	info.Shape = slices.Clone(info.Shape)
	return info, true
}

// Tensor reads a float32 tensor into fresh memory and gives its values, row-major,
// and its shape. It refuses other types rather than converting them in silence.
func (f *File) Tensor(name string) ([]float32, []int, error) {
	info, err := f.need(name, F32)
	if err != nil {
		return nil, nil, err
	}
	data := make([]float32, info.Elements())
	return data, info.Shape, f.read(info, floatBytes(data), fixFloats(data))
}

// ReadInto reads a float32 tensor into dst, whose shape must be the one stored:
// a model that loads another model's weights finds out here, not in its answers.
// len(dst) must be the product of shape.
func (f *File) ReadInto(name string, dst []float32, shape ...int) error {
	if n, ok := elements(shape); !ok || n != len(dst) {
		panic(fmt.Sprintf("safetensors: dst has %d values, shape %v", len(dst), shape))
	}
	info, err := f.need(name, F32)
	if err != nil {
		return err
	}
	if !slices.Equal(info.Shape, shape) {
		return fmt.Errorf("read tensor %q: the file has shape %v, wanted %v", name, info.Shape, shape)
	}
	return f.read(info, floatBytes(dst), fixFloats(dst))
}

// Raw reads a tensor of any type as bytes, little-endian.
func (f *File) Raw(name string) (Raw, error) {
	info, ok := f.Info(name)
	if !ok {
		return Raw{}, fmt.Errorf("read tensor %q: %w", name, ErrNoTensor)
	}
	raw := Raw{Info: info, Data: make([]byte, info.Bytes)}
	return raw, f.read(info, raw.Data, nil)
}

// need finds a tensor of the type wanted.
func (f *File) need(name string, want DType) (Info, error) {
	info, ok := f.Info(name)
	if !ok {
		return info, fmt.Errorf("read tensor %q: %w", name, ErrNoTensor)
	}
	if info.DType != want {
		return info, fmt.Errorf("read tensor %q: it holds %s, wanted %s", name, info.DType, want)
	}
	return info, nil
}

// read fills dst with the tensor's bytes and then applies fix, if any.
func (f *File) read(info Info, dst []byte, fix func()) error {
	if err := readAt(f.r, dst, info.Offset); err != nil {
		return fmt.Errorf("read tensor %q: %w", info.Name, err)
	}
	if fix != nil {
		fix()
	}
	return nil
}

// readAt fills dst. An early end is an unexpected one: Open checked the size.
func readAt(r io.ReaderAt, dst []byte, off int64) error {
	n, err := r.ReadAt(dst, off)
	if n == len(dst) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Raw is a tensor as it is stored: the description and the little-endian bytes.
type Raw struct {
	Info
	Data []byte
}

// Float64s decodes an F64 or F32 tensor; other types give an error.
func (r Raw) Float64s() ([]float64, error) {
	dst := make([]float64, r.Elements())
	for i := range dst {
		switch r.DType {
		case F64:
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(r.Data[8*i:]))
		case F32:
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(r.Data[4*i:])))
		default:
			return nil, fmt.Errorf("tensor %q holds %s, not floating-point numbers this package decodes", r.Name, r.DType)
		}
	}
	return dst, nil
}

// Int64s decodes an I64, I32 or U8 tensor; other types give an error.
func (r Raw) Int64s() ([]int64, error) {
	dst := make([]int64, r.Elements())
	for i := range dst {
		switch r.DType {
		case I64:
			dst[i] = int64(binary.LittleEndian.Uint64(r.Data[8*i:]))
		case I32:
			dst[i] = int64(int32(binary.LittleEndian.Uint32(r.Data[4*i:])))
		case U8:
			dst[i] = int64(r.Data[i])
		default:
			return nil, fmt.Errorf("tensor %q holds %s, not whole numbers this package decodes", r.Name, r.DType)
		}
	}
	return dst, nil
}
