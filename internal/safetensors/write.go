package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Write writes the tensors, in ascending order of name, and the metadata. The
// same input gives the same bytes, and the reference implementation gives the
// same bytes for tensors of one type and at most one metadata key.
//
// A wrong tensor (shape and data disagree, a name twice, a name that is not
// UTF-8 or is "__metadata__") is an error rather than a panic, and nothing has
// been written then: a night of training should not end in a crash.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return strings.Compare(a.Name, b.Name)
	})
	head, err := buildHeader(sorted, metadata)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	for _, t := range sorted {
		if err := writeFloats(w, t.Data); err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// buildHeader gives the length and the JSON, padded with spaces so that the data
// begins at a multiple of 8 bytes.
func buildHeader(sorted []Tensor, metadata map[string]string) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 8, 1024))
	b.WriteByte('{')
	if len(metadata) > 0 {
		if err := writeMetadata(b, metadata); err != nil {
			return nil, err
		}
	}
	offset := 0
	for i, t := range sorted {
		if err := checkTensor(t, i > 0 && sorted[i-1].Name == t.Name); err != nil {
			return nil, err
		}
		if i > 0 || len(metadata) > 0 {
			b.WriteByte(',')
		}
		end := offset + 4*len(t.Data)
		writeString(b, t.Name)
		fmt.Fprintf(b, `:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}`, shapeJSON(t.Shape), offset, end)
		offset = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > MaxHeader {
		return nil, fmt.Errorf("a header of %d bytes is longer than the %d allowed", n, MaxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

func writeMetadata(b *bytes.Buffer, metadata map[string]string) error {
	b.WriteString(`"` + metadataKey + `":{`)
	for i, k := range slices.Sorted(maps.Keys(metadata)) {
		v := metadata[k]
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("metadata %q is not UTF-8", k)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(b, k)
		b.WriteByte(':')
		writeString(b, v)
	}
	b.WriteByte('}')
	return nil
}

func checkTensor(t Tensor, twice bool) error {
	switch n, ok := elements(t.Shape); {
	case t.Name == metadataKey:
		return fmt.Errorf("%q is not a name for a tensor", t.Name)
	case !utf8.ValidString(t.Name):
		return fmt.Errorf("the tensor name %q is not UTF-8", t.Name)
	case twice:
		return fmt.Errorf("the tensor name %q occurs twice", t.Name)
	case !ok || n != len(t.Data):
		return fmt.Errorf("tensor %q has shape %v and %d values", t.Name, t.Shape, len(t.Data))
	}
	return nil
}

// writeString writes a JSON string as the reference implementation does, that
// is without escaping <, > and &.
func writeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)       // a string to a buffer cannot fail
	b.Truncate(b.Len() - 1) // Encode ends with a newline
}

func shapeJSON(shape []int) string {
	parts := make([]string, len(shape))
	for i, s := range shape {
		parts[i] = strconv.Itoa(s)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// writeFloats writes values in file order: the memory itself where the machine
// is little-endian, through a small buffer elsewhere.
func writeFloats(w io.Writer, data []float32) error {
	if littleEndian() {
		_, err := w.Write(floatBytes(data))
		return err
	}
	return writeSwapped(w, data)
}

// writeSwapped is right on every machine and needed on big-endian ones.
func writeSwapped(w io.Writer, data []float32) error {
	var buf [4096]byte
	for len(data) > 0 {
		n := min(len(data), len(buf)/4)
		encodeFloats(buf[:4*n], data[:n])
		if _, err := w.Write(buf[:4*n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
