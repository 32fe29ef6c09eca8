package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// header is what the JSON part of a file says. Offsets of tensors count from
// the end of the header until checkLayout has placed them in the file.
type header struct {
	tensors  []Info
	metadata map[string]string
}

// parseHeader reads the JSON header token by token. encoding/json would let the
// last of two equal keys win in silence; here a second key is a fault, because
// two readers could then see two different files.
func parseHeader(data []byte) (*header, error) {
	if len(data) == 0 || data[0] != '{' {
		return nil, formatErr("the header does not begin with '{'")
	}
	if !utf8.Valid(data) {
		return nil, formatErr("the header is not UTF-8")
	}
	p := &headerParser{dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	h := &header{}
	seen := map[string]bool{}
	err := p.object("header", func(key string) error {
		if seen[key] {
			return formatErr("the name %q occurs twice", key)
		}
		seen[key] = true
		if key == metadataKey {
			var err error
			h.metadata, err = p.metadata()
			return err
		}
		info, err := p.tensor(key)
		h.tensors = append(h.tensors, info)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The reference writer pads with spaces only; anything else after the
	// object is a second document.
	rest := data[p.dec.InputOffset():]
	if len(bytes.Trim(rest, " ")) != 0 {
		return nil, formatErr("the header goes on after its closing brace")
	}
	return h, nil
}

type headerParser struct{ dec *json.Decoder }

// token reads the next JSON token; a syntax error becomes a format error.
func (p *headerParser) token(what string) (json.Token, error) {
	t, err := p.dec.Token()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, formatErr("%s: the JSON ends early", what)
	}
	if err != nil {
		return nil, formatErr("%s: %v", what, err)
	}
	return t, nil
}

// delim reads one token that must be the delimiter want.
func (p *headerParser) delim(want json.Delim, what string) error {
	t, err := p.token(what)
	if err != nil {
		return err
	}
	if t != want {
		return formatErr("%s: found %s where %s belongs", what, show(t), want)
	}
	return nil
}

// object reads a whole object and calls field after each key; field must read
// exactly the value.
func (p *headerParser) object(what string, field func(key string) error) error {
	if err := p.delim('{', what); err != nil {
		return err
	}
	for p.dec.More() {
		t, err := p.token(what)
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return formatErr("%s: found %s where a name belongs", what, show(t))
		}
		if err := field(key); err != nil {
			return err
		}
	}
	return p.delim('}', what)
}

// metadata reads the map of strings to strings.
func (p *headerParser) metadata() (map[string]string, error) {
	m := map[string]string{}
	err := p.object(metadataKey, func(key string) error {
		if _, twice := m[key]; twice {
			return formatErr("%s: the key %q occurs twice", metadataKey, key)
		}
		v, err := p.str(fmt.Sprintf("%s: %q", metadataKey, key))
		m[key] = v
		return err
	})
	return m, err
}

// tensor reads the description of one tensor and checks it by itself; whether
// all of them fill the file is checkLayout's question.
func (p *headerParser) tensor(name string) (Info, error) {
	info := Info{Name: name}
	what := fmt.Sprintf("tensor %q", name)
	seen := map[string]bool{}
	var offsets []int
	err := p.object(what, func(key string) error {
		if seen[key] {
			return formatErr("%s: the field %q occurs twice", what, key)
		}
		seen[key] = true
		var err error
		switch key {
		case "dtype":
			var s string
			s, err = p.str(what + ": dtype")
			info.DType = DType(s)
		case "shape":
			info.Shape, err = p.ints(what + ": shape")
		case "data_offsets":
			offsets, err = p.ints(what + ": data_offsets")
		default:
			err = formatErr("%s: unknown field %q", what, key)
		}
		return err
	})
	if err != nil {
		return info, err
	}
	for _, field := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[field] {
			return info, formatErr("%s: the field %q is missing", what, field)
		}
	}
	return info, info.place(what, offsets)
}

// place checks that the offsets hold exactly the shape and sets Offset and Bytes.
func (i *Info) place(what string, offsets []int) error {
	size := i.DType.Size()
	if size == 0 {
		return formatErr("%s: unknown dtype %q", what, i.DType)
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return formatErr("%s: data_offsets %v are not a begin and an end", what, offsets)
	}
	n, ok := elements(i.Shape)
	if !ok || n > maxInt/size {
		return formatErr("%s: the shape %v is too large", what, i.Shape)
	}
	if got := offsets[1] - offsets[0]; got != n*size {
		return formatErr("%s: %s of shape %v takes %d bytes, data_offsets give %d", what, i.DType, i.Shape, n*size, got)
	}
	i.Offset, i.Bytes = int64(offsets[0]), int64(n)*int64(size)
	return nil
}

// str reads a string value.
func (p *headerParser) str(what string) (string, error) {
	t, err := p.token(what)
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", formatErr("%s: found %s where a string belongs", what, show(t))
	}
	return s, nil
}

// ints reads an array of whole numbers, none negative.
func (p *headerParser) ints(what string) ([]int, error) {
	if err := p.delim('[', what); err != nil {
		return nil, err
	}
	list := []int{}
	for p.dec.More() {
		t, err := p.token(what)
		if err != nil {
			return nil, err
		}
		num, ok := t.(json.Number)
		if !ok {
			return nil, formatErr("%s: found %s where a number belongs", what, show(t))
		}
		v, err := strconv.ParseUint(num.String(), 10, strconv.IntSize-1)
		if err != nil {
			return nil, formatErr("%s: %s is not a whole number in range", what, num)
		}
		list = append(list, int(v))
	}
	return list, p.delim(']', what)
}

// show prints a token for an error message, short and quoted.
func show(t json.Token) string {
	s := fmt.Sprintf("%v", t)
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return strconv.Quote(s)
}

// checkLayout refuses tensors that overlap, leave a hole, or do not end where
// the file ends, and turns offsets into positions in the file. base is the
// first byte after the header, size the length of the file.
func (h *header) checkLayout(base, size int64) error {
	// Empty tensors share their offset with a neighbour; by end second keeps
	// them before it.
	slices.SortFunc(h.tensors, func(a, b Info) int {
		if a.Offset != b.Offset {
			return cmp.Compare(a.Offset, b.Offset)
		}
		return cmp.Compare(a.Bytes, b.Bytes)
	})
	end := int64(0)
	for i := range h.tensors {
		t := &h.tensors[i]
		if t.Offset < end {
			return formatErr("tensor %q overlaps the one before it", t.Name)
		}
		if t.Offset > end {
			return formatErr("%d bytes before tensor %q belong to no tensor", t.Offset-end, t.Name)
		}
		if t.Bytes > size-base-end {
			return formatErr("tensor %q ends after the end of the file", t.Name)
		}
		end += t.Bytes
		t.Offset += base
	}
	if base+end != size {
		return formatErr("%d bytes after the last tensor", size-base-end)
	}
	return nil
}
