package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetSource is what reading Parquet needs of a file.
type parquetSource interface {
	io.ReaderAt
	io.Seeker
}

// isParquet looks for the magic number at the start.
func isParquet(f parquetSource) (bool, error) {
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n == 4 && string(magic[:]) == "PAR1", nil
}

// readParquet reads a flat Parquet file. Ids may be strings or integers, times
// numbers, strings or timestamps. Faults carry row numbers from 1.
func (r *rows) readParquet(src parquetSource) (err error) {
	// The library panics on some damaged files; a damaged file is the world's
	// fault, so it comes out as an error.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged Parquet file: %v", p)
		}
	}()
	size, err := src.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := checkFooter(src, size); err != nil {
		return fmt.Errorf("open Parquet: %w", err)
	}
	f, err := parquet.OpenFile(src, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return fmt.Errorf("open Parquet: %w", err)
	}
	lay, step, err := parquetLayout(f.Root(), r.opt.Columns)
	if err != nil {
		return err
	}
	line := 0
	for _, group := range f.RowGroups() {
		if line, err = r.readGroup(group, lay, step, line); err != nil {
			return fmt.Errorf("after row %d: %w", line, err)
		}
	}
	return nil
}

// checkFooter holds the length of the footer, which stands before the closing
// magic number, against the size of the file. The library would first make room
// for whatever length it reads.
func checkFooter(src io.ReaderAt, size int64) error {
	const ends = 4 + 8 // magic number; footer length and magic number
	if size < ends {
		return fmt.Errorf("%d bytes are too few", size)
	}
	var tail [8]byte
	if _, err := src.ReadAt(tail[:], size-8); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if length := int64(binary.LittleEndian.Uint32(tail[:])); length > size-ends {
		return fmt.Errorf("a footer of %d bytes does not fit a file of %d", length, size)
	}
	return nil
}

// parquetLayout finds the columns; step is what one count of a timestamp
// column is, 0 when the time column has no such type.
func parquetLayout(root *parquet.Column, want Columns) (lay layout, step time.Duration, err error) {
	var names []string
	for _, c := range root.Columns() {
		if !c.Leaf() || c.Repeated() {
			return layout{}, 0, fmt.Errorf("column %s is nested: only flat files can be read", c.Name())
		}
		names = append(names, c.Name())
	}
	lay.columns = len(names)
	if err := lay.find(names, want); err != nil {
		return layout{}, 0, err
	}
	if lay.time < 0 {
		return lay, 0, nil
	}
	logical := root.Columns()[lay.time].Type().LogicalType()
	if logical == nil {
		return lay, 0, nil
	}
	if stamp, ok := logical.Value.(*format.TimestampType); ok && stamp.Unit.Value != nil {
		return lay, stamp.Unit.Value.Duration(), nil
	}
	return lay, 0, nil
}

// readGroup reads the rows of one group; line is the number of rows before it.
func (r *rows) readGroup(group parquet.RowGroup, lay layout, step time.Duration, line int) (int, error) {
	in := group.Rows()
	defer in.Close() //nolint:errcheck // read only
	buf := make([]parquet.Row, 256)
	fields := make([]string, lay.columns)
	for {
		n, err := in.ReadRows(buf)
		for _, values := range buf[:n] {
			line++
			r.addParquet(line, values, lay, step, fields)
		}
		if errors.Is(err, io.EOF) {
			return line, nil
		}
		if err != nil {
			return line, err
		}
		if n == 0 {
			return line, io.ErrUnexpectedEOF
		}
	}
}

func (r *rows) addParquet(line int, values parquet.Row, lay layout, step time.Duration, fields []string) {
	clear(fields)
	stamp := math.NaN()
	for _, v := range values {
		c := v.Column()
		if c < 0 || c >= len(fields) || v.IsNull() {
			continue
		}
		if c == lay.time && step > 0 {
			stamp = float64(v.Int64()) * (float64(step) / float64(time.Millisecond))
			continue
		}
		fields[c] = parquetText(v)
	}
	in := lay.pick(fields)
	if step == 0 {
		r.add(line, in)
		return
	}
	if fault := r.take(line, in, row{time: stamp, dated: true}); fault != nil {
		r.faults.add(line, fault)
	}
}

// parquetText writes a value as it would stand in a CSV file.
func parquetText(v parquet.Value) string {
	switch v.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray())
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'f', -1, 32)
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'f', -1, 64)
	}
	return v.String()
}
