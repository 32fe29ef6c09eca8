package features

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// peek returns the first line, as far as it fits the buffer, without consuming
// it.
func (l *lineReader) peek() (string, error) {
	head, err := l.r.Peek(l.r.Size())
	if len(head) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line, _, _ := strings.Cut(strings.TrimPrefix(string(head), "\ufeff"), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// detect judges the format by the first line, without consuming it.
func (l *lineReader) detect() (Format, error) {
	text, err := l.peek()
	if err != nil {
		return "", err
	}
	switch {
	case strings.HasPrefix(text, "PAR1"):
		return FormatParquet, nil
	case strings.HasPrefix(strings.TrimSpace(text), "{"):
		return FormatNDJSON, nil
	case strings.Contains(text, "::"):
		return FormatDat, nil
	case strings.Contains(text, "\t") && strings.Contains(text, ":token"):
		return FormatInter, nil
	}
	if format, is := detectShopLog(text); is {
		return format, nil
	}
	fields, _ := splitFields(nil, text, separator(text), true)
	if len(fields) == 4 && isNumber(fields[2]) && isNumber(fields[3]) {
		return FormatAmazon, nil
	}
	return FormatCSV, nil
}

func isNumber(s string) bool { _, ok := parseFloat(s); return ok }

// separator picks what a header or first row is divided by.
func separator(line string) string {
	best, most := ",", 0
	for _, sep := range [...]string{",", "\t", ";"} {
		if n := strings.Count(line, sep); n > most {
			best, most = sep, n
		}
	}
	return best
}

// layout says where the fields of a delimited row stand; -1 is nowhere.
type layout struct {
	sep                            string
	quoting                        bool
	columns                        int
	user, item, time, kind, rating int
}

// findLayout consumes the header line, where there is one.
func findLayout(l *lineReader, format Format, want Columns) (layout, error) {
	lay := layout{sep: "::", columns: 4, user: 0, item: 1, rating: 2, time: 3, kind: -1}
	switch {
	case strings.HasPrefix(want.User, "#"):
		return placedLayout(l, want)
	case format == FormatAmazon:
		first, err := l.peek()
		lay.sep, lay.quoting = separator(first), true
		return lay, err
	case format == FormatDat:
		return lay, nil
	}
	return readHeader(l, want)
}

// placedLayout is the layout of a file without a header.
func placedLayout(l *lineReader, want Columns) (layout, error) {
	first, err := l.peek()
	if err != nil {
		return layout{}, err
	}
	lay := layout{sep: separator(first), quoting: true}
	if strings.Contains(first, "::") {
		lay.sep, lay.quoting = "::", false
	}
	fields, _ := splitFields(nil, first, lay.sep, lay.quoting)
	lay.columns = len(fields)
	for _, c := range [...]struct {
		place *int
		name  string
	}{{&lay.user, want.User}, {&lay.item, want.Item}, {&lay.time, want.Time}, {&lay.kind, want.Kind}, {&lay.rating, want.Rating}} {
		place, name := c.place, c.name
		*place = -1
		if name == "" || name == "-" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(name, "#"))
		if err != nil || n < 1 || n > lay.columns || name[0] != '#' {
			return layout{}, fmt.Errorf("column %q is not one of #1 to #%d, the fields of the first line", name, lay.columns)
		}
		*place = n - 1
	}
	if lay.item < 0 {
		return layout{}, errors.New("the place of the item column is not named")
	}
	return lay, nil
}

// readDelimited reads the formats with one row a line.
func (r *rows) readDelimited(l *lineReader, format Format) error {
	lay, err := findLayout(l, format, r.opt.Columns)
	if err != nil {
		return err
	}
	if r.opt.MinRating != 0 && lay.rating < 0 {
		return errors.New("a smallest rating is asked for but there is no rating column")
	}
	if len(r.opt.Kinds) > 0 && lay.kind < 0 {
		return errors.New("kinds are asked for but there is no kind column")
	}
	return r.readRows(l, lay, func(line int, fields []string) { r.add(line, lay.pick(fields)) })
}

// readRows calls take for every row that has the fields of the layout; the
// fields are valid until it returns.
func (r *rows) readRows(l *lineReader, lay layout, take func(line int, fields []string)) error {
	fields := make([]string, 0, lay.columns)
	for {
		line, long, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after line %d: %w", l.line, err)
		}
		if long {
			r.faults.add(l.line, faultf("long", "the line is over %d bytes", maxLine))
			continue
		}
		if len(line) == 0 {
			continue
		}
		var fault *rowFault
		fields, fault = splitFields(fields, string(line), lay.sep, lay.quoting)
		if fault == nil && len(fields) != lay.columns {
			fault = faultf("columns", "%d fields, want %d", len(fields), lay.columns)
		}
		if fault != nil {
			r.faults.add(l.line, fault)
			continue
		}
		take(l.line, fields)
	}
}

func (lay layout) pick(fields []string) raw {
	at := func(i int) string {
		if i < 0 {
			return ""
		}
		return fields[i]
	}
	return raw{user: at(lay.user), item: at(lay.item), time: at(lay.time), kind: at(lay.kind), rating: at(lay.rating)}
}

// readHeader consumes the header line and finds the columns in it.
func readHeader(l *lineReader, want Columns) (layout, error) {
	line, long, err := l.next()
	if errors.Is(err, io.EOF) {
		return layout{}, fmt.Errorf("%w: the file is empty", ErrNoEvents)
	}
	if err != nil {
		return layout{}, err
	}
	if long {
		return layout{}, fmt.Errorf("the header line is over %d bytes", maxLine)
	}
	lay := layout{sep: separator(string(line)), quoting: true}
	names, fault := splitFields(nil, string(line), lay.sep, true)
	if fault != nil {
		return layout{}, fmt.Errorf("read header: %s", fault.detail)
	}
	lay.columns = len(names)
	err = lay.find(names, want)
	if err != nil && !isText(line) {
		err = fmt.Errorf("the first line is no header but something that is not text: %q", line[:min(len(line), 20)])
	}
	return lay, err
}

// isText reports whether a line is UTF-8 without control characters other than tabs.
func isText(line []byte) bool {
	return utf8.Valid(line) && !bytes.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) })
}

// find sets the places of the columns. User and item must be there.
func (lay *layout) find(names []string, want Columns) error {
	for _, c := range [...]struct {
		what   string
		place  *int
		named  string
		must   bool
		common []string
	}{
		{"user", &lay.user, want.User, true, []string{"userid", "user", "visitorid", "customerid", "sessionid"}},
		{"item", &lay.item, want.Item, true, []string{"itemid", "item", "movieid", "productid", "parentasin", "asin", "trackid"}},
		{"time", &lay.time, want.Time, false, []string{"timestamp", "time", "ts", "unixtime", "datetime", "date"}},
		{"kind", &lay.kind, want.Kind, false, []string{"behavior", "behaviour", "kind", "event", "eventtype", "action"}},
		{"rating", &lay.rating, want.Rating, false, []string{"rating", "stars", "score"}},
	} {
		*c.place = findColumn(names, c.named, c.common)
		if *c.place < 0 && (c.must || c.named != "" && c.named != "-") {
			missing := c.what + " column"
			if c.named != "" {
				missing += " " + strconv.Quote(c.named)
			}
			return fmt.Errorf("no %s in header %.200q: name the column of %ss that it has (trainjob import --%s-column NAME, which writes a form that every command reads)",
				missing, strings.Join(names, " "), c.what, c.what)
		}
	}
	return nil
}

// findColumn returns the place of the column named, else of the first common
// name, else -1.
func findColumn(names []string, named string, common []string) int {
	if named == "-" {
		return -1
	}
	if named != "" {
		for i, n := range names {
			if n == named || bareName(n) == bareName(named) {
				return i
			}
		}
		return -1
	}
	for _, c := range common {
		for i, n := range names {
			if bareName(n) == c {
				return i
			}
		}
	}
	return -1
}

// bareName reduces "User_ID:token" to "userid".
func bareName(s string) string {
	s, _, _ = strings.Cut(s, ":")
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), "_", ""))
}
