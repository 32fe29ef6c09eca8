package features

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"seqrec/internal/event"
)

// Item is what is known about one item besides who used it.
type Item struct {
	ID         string   `json:"item"`
	Title      string   `json:"title,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// Bounds of an item's text, in bytes and in categories.
const (
	maxTitle      = 4096
	maxCategories = 256
)

// check says what is wrong with an item, or nil.
func (it *Item) check() *rowFault {
	if why := event.CheckID(it.ID); why != "" {
		return faultf("item", "item id %s", why)
	}
	if len(it.Title) > maxTitle || !utf8.ValidString(it.Title) {
		return faultf("title", "title is not UTF-8 of at most %d bytes", maxTitle)
	}
	if len(it.Categories) > maxCategories {
		return faultf("categories", "%d categories, over %d", len(it.Categories), maxCategories)
	}
	for _, c := range it.Categories {
		if c == "" || len(c) > maxTitle || !utf8.ValidString(c) {
			return faultf("categories", "a category is not UTF-8 of 1 to %d bytes", maxTitle)
		}
	}
	return nil
}

// ReadItems reads the catalogue file at path, or the one in a folder: CSV
// (items.csv: a header with item_id, and title and categories where there are
// such; in categories | and ; divide), MovieLens movies.dat, RecBole .item or
// NDJSON, plain or compressed. Rows that
// cannot be read, or name an item again, are counted and passed over; more of
// them than half is an error that wraps ErrMostlyFault. Where there is no
// catalogue the error wraps fs.ErrNotExist.
func ReadItems(path string) ([]Item, *Faults, error) {
	path, err := findFile(path, itemNames())
	if err != nil {
		return nil, nil, fmt.Errorf("read items: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read items: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	items, faults, err := ReadItemsFrom(f)
	if err != nil {
		return nil, faults, fmt.Errorf("read items %s: %w", path, err)
	}
	return items, faults, nil
}

// itemNames lists the names looked for in a folder, in order.
func itemNames() []string {
	return []string{"items.csv", "items.ndjson", "movies.dat", "movies.csv", "*.item"}
}

// ReadItemsFrom is ReadItems for an open file.
func ReadItemsFrom(in io.Reader) ([]Item, *Faults, error) {
	plain, err := decompress(in)
	if err != nil {
		return nil, nil, fmt.Errorf("open compressed: %w", err)
	}
	defer plain.Close() //nolint:errcheck // read only
	l := newLineReader(plain)
	format, err := l.detect()
	if err != nil {
		return nil, nil, err
	}
	switch format {
	case FormatNDJSON:
		return l.items(parseItemJSON)
	case FormatDat:
		return l.items(itemRow{sep: "::", columns: 3, title: 1, categories: 2}.parse)
	}
	row, err := itemColumns(l)
	if err != nil {
		return nil, nil, err
	}
	return l.items(row.parse)
}

// items reads all lines by parse.
func (l *lineReader) items(parse func(line []byte) (Item, *rowFault)) ([]Item, *Faults, error) {
	var items []Item
	faults, seen := &Faults{}, make(map[string]bool)
	for {
		line, long, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, faults, fmt.Errorf("after line %d: %w", l.line, err)
		}
		if len(line) == 0 && !long {
			continue
		}
		item, fault := Item{}, faultf("long", "the line is over %d bytes", maxLine)
		if !long {
			item, fault = parse(line)
		}
		if fault == nil && seen[item.ID] {
			fault = faultf("twice", "item %.40q was there before", item.ID)
		}
		if fault != nil {
			faults.add(l.line, fault)
			continue
		}
		seen[item.ID] = true
		items = append(items, item)
	}
	if faults.Total > len(items) {
		return nil, faults, fmt.Errorf("%w: %d of %d rows, first faults:\n%s", ErrMostlyFault, faults.Total, faults.Total+len(items), faults)
	}
	return items, faults, nil
}

// itemRow says where the fields of a delimited row stand; -1 is nowhere.
type itemRow struct {
	sep                   string
	quoting               bool
	columns               int
	id, title, categories int
}

// itemColumns consumes a CSV header and finds the columns in it.
func itemColumns(l *lineReader) (itemRow, error) {
	line, _, err := l.next()
	if err != nil {
		return itemRow{}, fmt.Errorf("read header: %w", err)
	}
	row := itemRow{sep: separator(string(line)), quoting: true}
	names, fault := splitFields(nil, string(line), row.sep, true)
	if fault != nil {
		return itemRow{}, fmt.Errorf("read header: %s", fault.detail)
	}
	row.columns = len(names)
	row.id = findColumn(names, "", []string{"itemid", "item", "movieid", "productid", "parentasin", "asin", "trackid"})
	row.title = findColumn(names, "", []string{"title", "name", "movietitle"})
	row.categories = findColumn(names, "", []string{"categories", "genres", "genre", "category", "class"})
	if row.id < 0 {
		return itemRow{}, fmt.Errorf("no item column in header %.200q", line)
	}
	return row, nil
}

func (r itemRow) parse(line []byte) (Item, *rowFault) {
	text := string(line)
	if !r.quoting && !utf8.ValidString(text) {
		text = latin1(line) // the films of MovieLens are written so
	}
	fields, fault := splitFields(make([]string, 0, r.columns), text, r.sep, r.quoting)
	if fault == nil && len(fields) != r.columns {
		fault = faultf("columns", "%d fields, want %d", len(fields), r.columns)
	}
	if fault != nil {
		return Item{}, fault
	}
	item := Item{ID: fields[r.id]}
	if r.title >= 0 {
		item.Title = fields[r.title]
	}
	if r.categories >= 0 {
		item.Categories = cutCategories(fields[r.categories])
	}
	return item, item.check()
}

// latin1 decodes ISO 8859-1, whose bytes are the first 256 code points.
func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// cutCategories takes "a|b;a|c" apart into a, b, c: each name once.
func cutCategories(s string) []string {
	var out []string
	for _, c := range strings.FieldsFunc(s, func(r rune) bool { return r == '|' || r == ';' }) {
		if c = strings.TrimSpace(c); c != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// parseItemJSON reads the line of one item; unknown members are let pass, so
// that an older reader can read what a newer writer adds.
func parseItemJSON(line []byte) (Item, *rowFault) {
	var item Item
	if !utf8.Valid(line) {
		return item, faultf("json", "the line is not UTF-8")
	}
	if err := json.Unmarshal(line, &item); err != nil {
		return item, faultf("json", "%v", err)
	}
	return item, item.check()
}

// WriteItems writes items.ndjson: one object {"item","title","categories"} a
// line.
func WriteItems(w io.Writer, items []Item) error {
	b := bufio.NewWriter(w)
	for i := range items {
		if fault := items[i].check(); fault != nil {
			return fmt.Errorf("write item %d: %s", i, fault.detail)
		}
		if err := writeJSONLine(b, &items[i]); err != nil {
			return fmt.Errorf("write item %d: %w", i, err)
		}
	}
	return b.Flush()
}

// writeJSONLine writes v as one line, with <, > and & as they are.
func writeJSONLine(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
