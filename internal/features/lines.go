package features

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxLine bounds one line of any text format, in bytes.
const maxLine = 1 << 20

// lineReader yields the lines of a text without their ends and without a
// leading byte-order mark. A line over maxLine is passed over and flagged.
type lineReader struct {
	r    *bufio.Reader
	buf  []byte
	line int // number of the line last returned, from 1
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next line, valid until the call after; err is io.EOF after
// the last. long says that the line was too long to be returned.
func (l *lineReader) next() (line []byte, long bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > maxLine {
			long, l.buf = true, l.buf[:0]
		} else if !long {
			l.buf = append(l.buf, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(l.buf) == 0 && !long) {
			return nil, false, err
		}
		break
	}
	l.line++
	line = bytes.TrimSuffix(bytes.TrimSuffix(l.buf, []byte("\n")), []byte("\r"))
	if l.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	return line, long, nil
}

// splitFields cuts a line at sep into dst, whose memory is reused. With
// quoting, a field may stand in double quotes, in which sep is text and a
// doubled quote is one quote (RFC 4180). A quoted field must end on its line:
// so one stray quote costs one row, not the rest of the file.
func splitFields(dst []string, line string, sep string, quoting bool) ([]string, *rowFault) {
	dst = dst[:0]
	for more := true; more; {
		if !quoting || !strings.HasPrefix(line, `"`) {
			var field string
			field, line, more = strings.Cut(line, sep)
			dst = append(dst, field)
			continue
		}
		field, rest, ok := cutQuoted(line)
		if !ok {
			return dst, faultf("quote", "field %d opens a quote that does not close", len(dst)+1)
		}
		var before string
		if before, line, more = strings.Cut(rest, sep); before != "" {
			return dst, faultf("quote", "field %d goes on after its closing quote", len(dst)+1)
		}
		dst = append(dst, field)
	}
	return dst, nil
}

// cutQuoted splits a line that starts with a double quote into the text quoted
// and what follows the closing quote.
func cutQuoted(line string) (field, rest string, ok bool) {
	for i := 1; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		if i+1 < len(line) && line[i+1] == '"' {
			i++
			continue
		}
		return strings.ReplaceAll(line[1:i], `""`, `"`), line[i+1:], true
	}
	return "", "", false
}
