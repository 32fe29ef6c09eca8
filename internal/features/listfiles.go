package features

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"seqrec/internal/event"
)

// ErrCorrupt is wrapped by the errors of ReadVocab and ReadCounts about what a
// file holds. These files are published with a model, so unlike in an import
// one bad line spoils the file.
var ErrCorrupt = errors.New("corrupt file")

// WriteVocab writes one JSON string a line: the id whose number is that of the
// line, counted from 0.
func WriteVocab(w io.Writer, v *Vocab) error {
	b := bufio.NewWriter(w)
	for n, id := range v.IDs() {
		if why := event.CheckID(id); why != "" {
			return fmt.Errorf("write vocabulary: id %d %s", n, why)
		}
		if err := writeJSONLine(b, id); err != nil {
			return fmt.Errorf("write vocabulary: id %d: %w", n, err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write vocabulary: %w", err)
	}
	return nil
}

// ReadVocab reads what WriteVocab wrote. An id that is not a valid one, or
// occurs twice, a blank line and a last line without its end are refused.
func ReadVocab(r io.Reader) (*Vocab, error) {
	v := NewVocab()
	err := readLines(r, func(n int, line []byte) error {
		var id string
		// The decoder would quietly replace bytes that are not UTF-8.
		if !utf8.Valid(line) {
			return errors.New("is not UTF-8")
		}
		if len(line) == 0 || line[0] != '"' {
			return errors.New("is not a JSON string")
		}
		if err := json.Unmarshal(line, &id); err != nil {
			return err
		}
		if why := event.CheckID(id); why != "" {
			return errors.New("id " + why)
		}
		if int(v.Add(id)) != n {
			return fmt.Errorf("id %.40q is there twice", id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read vocabulary: %w", err)
	}
	return v, nil
}

// WriteCounts writes one decimal number a line, by item number.
func WriteCounts(w io.Writer, counts []int64) error {
	b := bufio.NewWriter(w)
	for i, c := range counts {
		if c < 0 {
			return fmt.Errorf("write counts: item %d has the count %d", i, c)
		}
		// A bufio.Writer keeps its first error for Flush.
		_, _ = b.WriteString(strconv.FormatInt(c, 10))
		_ = b.WriteByte('\n')
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write counts: %w", err)
	}
	return nil
}

// ReadCounts reads what WriteCounts wrote: plain digits only, each line ended.
func ReadCounts(r io.Reader) ([]int64, error) {
	var counts []int64
	err := readLines(r, func(_ int, line []byte) error {
		c, err := strconv.ParseUint(string(line), 10, 63)
		if err != nil {
			return err
		}
		counts = append(counts, int64(c))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	return counts, nil
}

// maxListLine bounds a line of these files: an id of 256 bytes, each escaped.
const maxListLine = 6*event.MaxID + 3

// readLines calls fn for every line, numbered from 0, without its end.
func readLines(r io.Reader, fn func(n int, line []byte) error) error {
	b := bufio.NewReaderSize(r, maxListLine)
	for n := 0; ; n++ {
		line, err := b.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: line %d does not end: the file is cut off", ErrCorrupt, n+1)
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%w: line %d is over %d bytes", ErrCorrupt, n+1, maxListLine)
		case err != nil:
			return err
		}
		if err := fn(n, line[:len(line)-1]); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrCorrupt, n+1, err)
		}
	}
}
