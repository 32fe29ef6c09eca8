package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"seqrec/internal/event"
)

const (
	// maxFaults bounds the faults reported for one body, so that a hostile one cannot make a long answer.
	maxFaults     = 100
	unknownMember = "is not a member of this object"
)

// scanner reads one JSON document and goes on after a fault, so that all of them are found. Members given twice, text
// that is not UTF-8 and anything after the document are faults; a fault of syntax ends the reading.
//
// Every method that reads a value consumes exactly one, whether it fits or not.
type scanner struct {
	dec    *jsontext.Decoder
	faults []event.Fault
	base   int   // length of the part of pointers that is left out: where the current element of a batch stands
	broken error // the fault of syntax
	inner  []byte
}

func newScanner() *scanner {
	return &scanner{dec: jsontext.NewDecoder(bytes.NewBuffer(nil), jsontext.AllowDuplicateNames(true))}
}

// takeScanner returns a scanner of body, whose bytes it changes as it goes: the decoder takes them over and strikes out
// what it has read.
func (s *Server) takeScanner(body []byte) *scanner {
	sc := s.scanners.Get().(*scanner)
	sc.dec.Reset(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	sc.faults, sc.base, sc.broken = nil, 0, nil
	return sc
}

func (s *Server) giveScanner(sc *scanner) {
	sc.dec.Reset(bytes.NewBuffer(nil), jsontext.AllowDuplicateNames(true)) // holds no body
	s.scanners.Put(sc)
}

// end closes the reading and returns all faults, if there are any.
func (s *scanner) end() *failure {
	if s.broken == nil {
		if _, err := s.dec.ReadToken(); err == nil {
			s.broken = errors.New("more follows after the end of the document")
		} else if !errors.Is(err, io.EOF) {
			s.broken = err
		}
	}
	if s.broken != nil {
		return bodyFailure(malformed, []event.Fault{s.syntaxFault()})
	}
	if len(s.faults) > 0 {
		return invalidBody(s.faults)
	}
	return nil
}

func (s *scanner) syntaxFault() event.Fault {
	var e *jsontext.SyntacticError
	switch {
	case errors.As(s.broken, &e) && e.Err != nil:
		return event.Fault{Pointer: string(e.JSONPointer), Detail: fmt.Sprintf("is not valid JSON at byte %d: %v", e.ByteOffset, e.Err)}
	case errors.Is(s.broken, io.EOF):
		return event.Fault{Detail: "is empty; a JSON document is needed"}
	case errors.Is(s.broken, io.ErrUnexpectedEOF):
		return event.Fault{Detail: "is not valid JSON: it ends too early"}
	default:
		return event.Fault{Detail: "is not valid JSON: " + s.broken.Error()}
	}
}

// fault notes a fault of the value or name read last.
func (s *scanner) fault(detail string) { s.faultAt("", detail) }

// faultAt notes a fault below the value read last.
func (s *scanner) faultAt(below, detail string) {
	if len(s.faults) < maxFaults {
		s.faults = append(s.faults, event.Fault{Pointer: string(s.dec.StackPointer())[s.base:] + below, Detail: detail})
	}
}

// value returns the raw text of the next value, valid until the next read; nil once the document is broken.
func (s *scanner) value() []byte {
	if s.broken != nil {
		return nil
	}
	raw, err := s.dec.ReadValue()
	if err != nil {
		s.broken = err
		return nil
	}
	return raw
}

// open enters an object or array; false means the value was something else, and a fault.
func (s *scanner) open(kind jsontext.Kind, detail string) bool {
	if s.broken != nil {
		return false
	}
	if s.dec.PeekKind() != kind {
		if s.value() != nil {
			s.fault(detail)
		}
		return false
	}
	_, err := s.dec.ReadToken()
	s.broken = err
	return err == nil
}

// more says whether another member or element follows; it leaves the object or array when none does.
func (s *scanner) more() bool {
	if s.broken != nil {
		return false
	}
	switch s.dec.PeekKind() {
	case '}', ']':
		_, s.broken = s.dec.ReadToken()
		return false
	case 0:
		_, s.broken = s.dec.ReadToken()
		return s.broken == nil
	}
	return true
}

// object reads an object whose members are names. read is called for each known member, once, and must consume its
// value. It returns a bit for each name seen.
func (s *scanner) object(names []string, read func(index int)) (seen uint32) {
	if !s.open('{', "must be an object") {
		return ^uint32(0)
	}
	for s.more() {
		index := s.name(names)
		switch {
		case s.broken != nil:
		case index < 0:
			s.fault(unknownMember)
			s.value()
		case seen&(1<<index) != 0:
			s.fault("is given twice")
			s.value()
		default:
			seen |= 1 << index
			read(index)
		}
	}
	return seen
}

// name reads the name of a member and returns its place in names, -1 if it is not there.
func (s *scanner) name(names []string) int {
	raw := s.value()
	if len(raw) < 2 {
		return -1
	}
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		s.inner, _ = jsontext.AppendUnquote(s.inner[:0], raw)
		text = s.inner
	}
	for i, n := range names {
		if string(text) == n {
			return i
		}
	}
	return -1
}

// list reads an array of at most most elements; read must consume one.
func (s *scanner) list(most int, read func(index int)) {
	if !s.open('[', "must be an array") {
		return
	}
	n := 0
	for ; s.more(); n++ {
		if n >= most {
			s.value()
			continue
		}
		read(n)
	}
	if n > most && s.broken == nil {
		s.fault("must have at most " + plural(uint64(most), "element"))
	}
}

// text reads a string.
func (s *scanner) text() (string, bool) { return s.textOf(s.value()) }

func (s *scanner) textOf(raw []byte) (string, bool) {
	if raw == nil {
		return "", false
	}
	if raw[0] != '"' {
		s.fault("must be a string")
		return "", false
	}
	return unquote(raw), true
}

// unquote returns the text of a JSON string that the decoder has accepted.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return ""
	}
	return string(text)
}

// id reads an item id, user id or kind. When it equals last it is last: kinds repeat, and need no memory of their own.
func (s *scanner) id(last string) string {
	raw := s.value()
	if last != "" && len(raw) == len(last)+2 && string(raw[1:len(raw)-1]) == last {
		return last
	}
	text, ok := s.textOf(raw)
	if !ok {
		return ""
	}
	if detail := event.CheckID(text); detail != "" {
		s.fault(detail)
	}
	return text
}

// integer reads a whole number between low and high.
func (s *scanner) integer(low, high int) int {
	raw := s.value()
	if raw == nil {
		return 0
	}
	n, err := strconv.Atoi(string(raw))
	switch {
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'), errors.Is(err, strconv.ErrSyntax):
		s.fault("must be an integer")
	case err != nil, n < low, n > high:
		s.fault("must be between " + strconv.Itoa(low) + " and " + strconv.Itoa(high))
	}
	return n
}

// boolean reads true or false.
func (s *scanner) boolean() bool {
	raw := s.value()
	if raw != nil && raw[0] != 't' && raw[0] != 'f' {
		s.fault("must be true or false")
	}
	return len(raw) > 0 && raw[0] == 't'
}

// any reads a value of any form: objects as map[string]any, numbers as float64. Members given twice are faults.
func (s *scanner) any() any {
	if s.broken != nil {
		return nil
	}
	switch s.dec.PeekKind() {
	case '{':
		return s.anyObject()
	case '[':
		list := []any{}
		for ok := s.open('[', ""); ok && s.more(); {
			list = append(list, s.any())
		}
		return list
	}
	raw := s.value()
	switch {
	case raw == nil, raw[0] == 'n':
		return nil
	case raw[0] == '"':
		return unquote(raw)
	case raw[0] == 't', raw[0] == 'f':
		return raw[0] == 't'
	}
	number, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		s.fault("is a number too large to be held")
	}
	return number
}

func (s *scanner) anyObject() any {
	members := map[string]any{}
	for ok := s.open('{', ""); ok && s.more(); {
		raw := s.value()
		if raw == nil {
			break
		}
		name := unquote(raw)
		if _, twice := members[name]; twice {
			s.fault("is given twice")
		}
		members[name] = s.any()
	}
	return members
}

// escapeToken writes a member name as a part of a JSON pointer (RFC 6901).
func escapeToken(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
