package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxFaults bounds the faults reported for one document, so that a hostile one cannot make a long answer.
const maxFaults = 32

// Decode reads one event from strict JSON: one object with the members user, item, kind (may be absent) and time,
// nothing after it, each member at most once, no other members. Time is an integer of Unix milliseconds or an RFC 3339
// string, whose fraction below a millisecond is dropped. All faults of form and of value (see Validate) are returned at
// once; the event can be used only when there are none. The result does not alias data.
func Decode(data []byte, now time.Time) (Event, []Fault) {
	e, faults, isObject := parse(data)
	if !isObject {
		return e, faults
	}
	// A member that could not be read has been reported already; the value rules apply to the others.
	for _, f := range e.Validate(now) {
		if !reported(faults, f.Pointer) {
			faults = append(faults, f)
		}
	}
	return e, faults
}

// UnmarshalJSON reads the form that Decode reads, without the rules about values, and returns *InvalidError.
func (e *Event) UnmarshalJSON(data []byte) error {
	parsed, faults, _ := parse(data)
	if len(faults) > 0 {
		return &InvalidError{Faults: faults}
	}
	*e = parsed
	return nil
}

func reported(faults []Fault, pointer string) bool {
	for _, f := range faults {
		if f.Pointer == pointer {
			return true
		}
	}
	return false
}

// parse reads the members of one event object and reports faults of form, and whether there was an object at all.
func parse(data []byte) (Event, []Fault, bool) {
	if !json.Valid(data) {
		return Event{}, []Fault{{"", syntaxDetail(data)}}, false
	}
	w := walker{data: data}
	w.space()
	if w.data[w.at] != '{' {
		return Event{}, []Fault{{"", "must be a JSON object"}}, false
	}
	var p parser
	w.members(p.member)
	for i, name := range memberNames {
		if p.seen&(1<<i) == 0 && name != "kind" {
			p.fault("/"+name, "is required")
		}
	}
	return p.event, p.faults, true
}

// memberNames are the members of an event; the position of a name is its bit in parser.seen. The other two are how they
// are mostly written and how faults name them, so that a good event costs no memory but its ids.
var (
	memberNames    = [...]string{"user", "item", "kind", "time"}
	memberQuoted   = [...]string{`"user"`, `"item"`, `"kind"`, `"time"`}
	memberPointers = [...]string{"/user", "/item", "/kind", "/time"}
)

type parser struct {
	event  Event
	faults []Fault
	seen   uint8
}

func (p *parser) fault(pointer, detail string) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, Fault{pointer, detail})
	}
}

// member takes one member of the object; rawName still has its quotes.
func (p *parser) member(rawName, value []byte) {
	index := -1
	for i := range memberQuoted {
		if string(rawName) == memberQuoted[i] {
			index = i
		}
	}
	if index < 0 { // unknown, or written with escapes
		name, detail := unquote(rawName)
		if detail != "" {
			p.fault("", "has a member whose name "+detail)
			return
		}
		if index = slices.Index(memberNames[:], name); index < 0 {
			p.fault("/"+escapePointer(name), "is not a member of an event")
			return
		}
	}
	if p.seen&(1<<index) != 0 {
		p.fault(memberPointers[index], "is given twice")
		return
	}
	p.seen |= 1 << index
	p.set(memberPointers[index], memberNames[index], value)
}

func (p *parser) set(pointer, name string, value []byte) {
	if name == "time" {
		t, detail := parseTime(value)
		if detail != "" {
			p.fault(pointer, detail)
		}
		p.event.Time = t
		return
	}
	s, detail := "", "must be a string"
	if value[0] == '"' {
		s, detail = unquote(value)
	}
	if detail != "" {
		p.fault(pointer, detail)
		return
	}
	switch name {
	case "user":
		p.event.User = UserID(s)
	case "item":
		p.event.Item = ItemID(s)
	case "kind":
		if s == "" {
			p.fault(pointer, "must not be empty; leave it out for "+strconv.Quote(string(DefaultKind)))
		}
		p.event.Kind = Kind(s)
	}
}

const timeDetail = "must be an integer of Unix milliseconds or an RFC 3339 string"

func parseTime(value []byte) (int64, string) {
	if value[0] != '"' {
		t, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return 0, timeDetail
		}
		return t, ""
	}
	s, detail := unquote(value)
	if detail != "" {
		return 0, detail
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, timeDetail
	}
	return t.UnixMilli(), ""
}

// unquote returns the text of a JSON string that is known to be well formed, or what is wrong with it. Unlike
// encoding/json it refuses broken UTF-8 and lone surrogates, which would otherwise turn different ids into one.
func unquote(raw []byte) (string, string) {
	if !utf8.Valid(raw) {
		return "", "must be valid UTF-8"
	}
	body := raw[1 : len(raw)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body), ""
	}
	if loneSurrogate(body) {
		return "", "must not contain half of a surrogate pair"
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", "must be a JSON string"
	}
	return s, ""
}

// loneSurrogate reports whether the escapes of a well-formed JSON string hold half of a UTF-16 pair.
func loneSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++
		if body[i] != 'u' {
			continue
		}
		r := hex4(body[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		if i+6 >= len(body) || body[i+1] != '\\' || body[i+2] != 'u' ||
			utf16.DecodeRune(r, hex4(body[i+3:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

func hex4(b []byte) rune {
	v, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(v)
}

// escapePointer writes a member name as a JSON pointer token (RFC 6901), cut to MaxID bytes since it is not ours.
func escapePointer(name string) string {
	if len(name) > MaxID {
		name = strings.ToValidUTF8(name[:MaxID], "") + "..."
	}
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// syntaxDetail says what is wrong with a document that is not JSON.
func syntaxDetail(data []byte) string {
	if len(bytes.TrimSpace(data)) == 0 {
		return "is empty; an event is a JSON object"
	}
	var discard json.RawMessage
	err := json.Unmarshal(data, &discard)
	if err == nil {
		return "is not valid JSON"
	}
	return "is not valid JSON: " + err.Error()
}

// walker steps through a document that json.Valid has accepted, so it needs no checks of its own.
type walker struct {
	data []byte
	at   int
}

func (w *walker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// members calls fn for each member of the object at the cursor.
func (w *walker) members(fn func(rawName, value []byte)) {
	w.at++ // {
	for {
		w.space()
		switch w.data[w.at] {
		case '}':
			return
		case ',':
			w.at++
			continue
		}
		name := w.value()
		w.space()
		w.at++ // :
		w.space()
		fn(name, w.value())
	}
}

// value passes over one JSON value and returns its bytes.
func (w *walker) value() []byte {
	start, depth := w.at, 0
	for {
		switch c := w.data[w.at]; c {
		case '"':
			w.str()
		case '{', '[':
			depth++
			w.at++
		case '}', ']':
			depth--
			w.at++
		case ' ', '\t', '\r', '\n', ',', ':':
			w.at++
		default:
			w.scalar()
		}
		if depth == 0 {
			return w.data[start:w.at]
		}
	}
}

func (w *walker) str() {
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
}

// scalar passes over a number, true, false or null.
func (w *walker) scalar() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n', ',', ':', '}', ']':
			return
		}
		w.at++
	}
}
