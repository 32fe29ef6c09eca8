package features

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// WriteCSV writes a data set in the generic form: a header and one row an
// event, user_id,item_id, then timestamp (Unix seconds, with as many decimals as
// needed) when there are times and behavior when there are kinds. Users follow
// each other, each oldest event first, so reading it back gives the same data
// set with the same numbers.
func WriteCSV(w io.Writer, d *Dataset) error {
	b := bufio.NewWriterSize(w, 64<<10)
	header := "user_id,item_id"
	if d.Times != nil {
		header += ",timestamp"
	}
	if d.Kinds != nil {
		header += ",behavior"
	}
	// A bufio.Writer keeps its first error for Flush.
	_, _ = b.WriteString(header + "\n")
	row := make([]byte, 0, 256)
	for u, user := range d.Users {
		for i := d.Offsets[u]; i < d.Offsets[u+1]; i++ {
			row = appendField(row[:0], user)
			row = appendField(append(row, ','), d.Vocab.ID(d.Items[i]))
			if d.Times != nil {
				row = appendSeconds(append(row, ','), d.Times[i])
			}
			if d.Kinds != nil {
				row = appendField(append(row, ','), d.Kinds[i])
			}
			_, _ = b.Write(append(row, '\n'))
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write interactions: %w", err)
	}
	return nil
}

// appendField quotes a field where RFC 4180 asks for it.
func appendField(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}

func appendSeconds(dst []byte, ms int64) []byte {
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if part := ms % 1000; part != 0 {
		dst = append(dst, fmt.Sprintf(".%03d", part)...)
	}
	return dst
}

// WriteItemsCSV writes a catalogue in the generic form: item_id,title,categories
// with | between categories. Line breaks in a title become spaces, since a row
// is a line; a | or ; in a category becomes a slash.
func WriteItemsCSV(w io.Writer, items []Item) error {
	b := bufio.NewWriter(w)
	breaks := strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ")
	marks := strings.NewReplacer("|", "/", ";", "/", "\r\n", " ", "\n", " ", "\r", " ")
	_, _ = b.WriteString("item_id,title,categories\n")
	row := make([]byte, 0, 256)
	for i := range items {
		if fault := items[i].check(); fault != nil {
			return fmt.Errorf("write item %d: %s", i, fault.detail)
		}
		names := make([]string, len(items[i].Categories))
		for j, c := range items[i].Categories {
			names[j] = marks.Replace(c)
		}
		row = appendField(row[:0], items[i].ID)
		row = appendField(append(row, ','), breaks.Replace(items[i].Title))
		row = appendField(append(row, ','), strings.Join(names, "|"))
		_, _ = b.Write(append(row, '\n'))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write items: %w", err)
	}
	return nil
}

// WriteFolder writes interactions.csv.gz and, when there are items,
// items.csv.gz into dir, which it makes if need be. Each file is written aside,
// synced and renamed, so what stands under its name is whole.
func WriteFolder(dir string, d *Dataset, items []Item) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write data set: %w", err)
	}
	if items != nil {
		if err := writeGzip(filepath.Join(dir, "items.csv.gz"), func(w io.Writer) error { return WriteItemsCSV(w, items) }); err != nil {
			return err
		}
	}
	return writeGzip(filepath.Join(dir, "interactions.csv.gz"), func(w io.Writer) error { return WriteCSV(w, d) })
}

// writeGzip writes a compressed file aside and renames it to path.
func writeGzip(path string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // may be closed already
			_ = os.Remove(f.Name()) // best effort: the error is what counts
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	z := gzip.NewWriter(f)
	if err = fill(z); err != nil {
		return err
	}
	if err = z.Close(); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
