package features

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// WriteCSV writes a data set in the generic form: a header and one row an
// event, user_id,item_id, then timestamp (Unix seconds, with as many decimals as
// needed) when there are times, behavior when there are kinds and rating when
// there are ratings. Users follow each other, each oldest event first, so reading
// it back gives the same data set with the same numbers.
func WriteCSV(w io.Writer, d *Dataset) error {
	b := bufio.NewWriterSize(w, 64<<10)
	header := "user_id,item_id"
	if d.Times != nil {
		header += ",timestamp"
	}
	if d.Kinds != nil {
		header += ",behavior"
	}
	if d.Ratings != nil {
		header += ",rating"
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
			if d.Ratings != nil {
				row = appendRating(append(row, ','), d.Ratings[i])
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

func appendRating(dst []byte, rating float32) []byte {
	if rating != rating { // NaN: there is none
		return dst
	}
	return strconv.AppendFloat(dst, float64(rating), 'f', -1, 32)
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

// WriteFolder is WriteFolderContext that nothing stops.
func WriteFolder(dir string, d *Dataset, items []Item) error {
	return WriteFolderContext(context.Background(), dir, d, items)
}

// The files of a data set's folder in the generic form.
const (
	interactionsFile = "interactions.csv.gz"
	catalogueFile    = "items.csv.gz"
)

// WriteFolderContext writes interactions.csv.gz and, when there are items,
// items.csv.gz into dir, which it makes if need be, and removes other files of a
// data set's name, so that the folder is read as this data set. Each file is
// written aside and synced, and both are renamed when both are whole: when ctx
// ends first, or on another error, the folder is left as it was.
func WriteFolderContext(ctx context.Context, dir string, d *Dataset, items []Item) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write data set: %w", err)
	}
	fill := map[string]func(io.Writer) error{interactionsFile: func(w io.Writer) error { return WriteCSV(w, d) }}
	if items != nil {
		fill[catalogueFile] = func(w io.Writer) error { return WriteItemsCSV(w, items) }
	}
	aside := map[string]string{}
	defer func() {
		for _, temp := range aside {
			_ = os.Remove(temp) // of what was not renamed
		}
	}()
	for name, fill := range fill {
		if aside[name], err = writeGzip(ctx, filepath.Join(dir, name), fill); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(aside)) {
		if err := os.Rename(aside[name], filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("write data set: %w", err)
		}
		delete(aside, name)
	}
	return removeStale(dir, items != nil)
}

// removeStale removes what another data set in the generic form has left in a
// folder that was written just now, with a catalogue or without.
func removeStale(dir string, catalogue bool) error {
	stale := []string{"interactions.csv", "interactions.csv.zst", "items.csv", "items.csv.zst", "items.ndjson", "items.ndjson.gz", "items.ndjson.zst"}
	if !catalogue {
		stale = append(stale, catalogueFile)
	}
	for _, name := range stale {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write data set: %w", err)
		}
	}
	return nil
}

// FindData gives the file in a folder that reading it as a data set would take,
// or "" when there is none.
func FindData(dir string) (string, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for _, names := range [...][]string{interactionNames(), itemNames()} {
		path, err := findFile(dir, names)
		if !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", nil
}

// writeGzip writes a compressed file beside path and gives its name there.
func writeGzip(ctx context.Context, path string, fill func(io.Writer) error) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // may be closed already
			_ = os.Remove(f.Name()) // best effort: the error is what counts
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	z := gzip.NewWriter(f)
	if err = fill(&untilDone{ctx: ctx, w: z}); err != nil {
		return "", err
	}
	if err = z.Close(); err != nil {
		return "", err
	}
	if err = f.Chmod(0o644); err != nil {
		return "", err
	}
	if err = f.Sync(); err != nil {
		return "", err
	}
	if err = f.Close(); err != nil {
		return "", err
	}
	return f.Name(), nil
}
