package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"

	"seqrec/api"
	"seqrec/internal/event"
)

// contract is api/openapi.yaml, ready to check requests against.
type contract struct {
	doc  *openapi3.T
	json []byte // for the page at /docs
}

// operation is one operation of the contract.
type operation struct {
	id         string
	plane      plane
	scopes     []string
	parameters openapi3.Parameters
	media      []string            // content types the body may have; empty without a body
	body       *openapi3.SchemaRef // nil without a body
	streams    bool                // the answer lasts as long as the client reads it
	own        bool                // reads its body itself
}

func loadContract() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Contract())
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return &contract{doc: doc, json: text}, nil
}

// operation returns what the contract says of a method and path. The generated code comes from the same contract, so
// one that is not there is a fault of the build.
func (c *contract) operation(method, path string) *operation {
	item := c.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		panic("httpapi: the contract has no " + method + " " + path)
	}
	spec := item.GetOperation(method)
	op := &operation{id: spec.OperationID, plane: planeOf(path), parameters: append(slices.Clone(item.Parameters), spec.Parameters...)}
	if list, ok := spec.Extensions["x-scopes"].([]any); ok {
		for _, scope := range list {
			op.scopes = append(op.scopes, fmt.Sprint(scope))
		}
	}
	if spec.RequestBody != nil {
		for media, content := range spec.RequestBody.Value.Content {
			op.media = append(op.media, media)
			if media == mediaJSON {
				op.body = content.Schema
			}
		}
		slices.Sort(op.media)
	}
	switch op.id {
	case "predict", "predictBatch", "appendEvents":
		op.own = true
	case "exportUser":
		op.streams = true
	}
	return op
}

// check holds parameters and body of a request to the contract and answers with all faults at once. The body is read
// whole and left for the operation to read again.
func (s *Server) check(op *operation) gin.HandlerFunc {
	return func(c *gin.Context) {
		if faults := op.checkParameters(c); len(faults) > 0 {
			s.refuse(c, &failure{kind: malformed, faults: faults})
			return
		}
		if len(op.media) == 0 {
			c.Next()
			return
		}
		if f := checkMedia(op, c.Request); f != nil {
			s.refuse(c, f)
			return
		}
		if op.own {
			c.Next()
			return
		}
		buf := s.takeBuffer()
		defer s.giveBuffer(buf)
		if f := s.readBody(c, buf, s.config.MaxBody); f != nil {
			s.refuse(c, f)
			return
		}
		body := bytes.Clone(buf.Bytes())
		sc := s.takeScanner(buf.Bytes())
		defer s.giveScanner(sc)
		if f := checkBody(op, sc); f != nil {
			s.refuse(c, f)
			return
		}
		c.Request.Body = io.NopCloser(bytes.NewReader(body))
		c.Next()
	}
}

func checkBody(op *operation, sc *scanner) *failure {
	value := sc.any()
	if f := sc.end(); f != nil {
		return f
	}
	faults := schemaFaults(op.body.Value.VisitJSON(value, openapi3.MultiErrors()))
	if faults = idFaults(faults, op.body, value, ""); len(faults) > 0 {
		slices.SortStableFunc(faults, byPointer)
		return invalidBody(faults)
	}
	return nil
}

// isID reports whether a schema is that of an id or kind, which follow the rules of package event; schemas cannot say
// them (bytes, no controls).
func isID(ref *openapi3.SchemaRef) bool {
	return strings.HasSuffix(ref.Ref, "/ID") || strings.HasSuffix(ref.Ref, "/Kind")
}

// idFaults adds what is wrong with the ids in a value of a schema. What is already known to be wrong is left alone.
func idFaults(faults []event.Fault, ref *openapi3.SchemaRef, value any, pointer string) []event.Fault {
	switch v := value.(type) {
	case string:
		known := func(f event.Fault) bool { return f.Pointer == pointer }
		if detail := event.CheckID(v); isID(ref) && detail != "" && len(faults) < maxFaults && !slices.ContainsFunc(faults, known) {
			faults = append(faults, event.Fault{Pointer: pointer, Detail: detail})
		}
	case []any:
		for i := range v {
			if ref.Value.Items != nil {
				faults = idFaults(faults, ref.Value.Items, v[i], pointer+"/"+strconv.Itoa(i))
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if property := ref.Value.Properties[name]; property != nil {
				faults = idFaults(faults, property, v[name], pointer+"/"+escapeToken(name))
			}
		}
	}
	return faults
}

// checkParameters checks path and query parameters; a query parameter the contract does not know is a fault. It also
// decodes the path's, which the generated code takes as they are: gin's own decoding would read "+" as a space.
func (op *operation) checkParameters(c *gin.Context) []fault {
	var faults []fault
	add := func(name, detail string) {
		faults = append(faults, fault{Parameter: name, Fault: event.Fault{Detail: detail}})
	}
	query, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		add("", "the query is not percent-encoded")
	}
	for _, ref := range op.parameters {
		p := ref.Value
		if p.In == openapi3.ParameterInPath {
			value, err := url.PathUnescape(c.Param(p.Name))
			if err != nil {
				add(p.Name, "is not percent-encoded")
				continue
			}
			setParam(c, p.Name, value)
			checkText(p, value, add)
			continue
		}
		values := query[p.Name]
		delete(query, p.Name)
		switch {
		case len(values) > 1:
			add(p.Name, "is given twice")
		case len(values) == 1:
			checkText(p, values[0], add)
		case p.Required:
			add(p.Name, "is required")
		}
	}
	for name := range query {
		add(name, "is not a parameter of this operation")
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return strings.Compare(a.Parameter, b.Parameter) })
	return faults
}

func setParam(c *gin.Context, name, value string) {
	for i := range c.Params {
		if c.Params[i].Key == name {
			c.Params[i].Value = value
		}
	}
}

// checkText checks one parameter.
func checkText(p *openapi3.Parameter, text string, add func(name, detail string)) {
	if isID(p.Schema) {
		if detail := event.CheckID(text); detail != "" {
			add(p.Name, detail)
		}
		return
	}
	var value any = text
	if p.Schema.Value.Type.Is(openapi3.TypeInteger) {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			add(p.Name, "must be an integer")
			return
		}
		value = float64(n)
	}
	for _, f := range schemaFaults(p.Schema.Value.VisitJSON(value, openapi3.MultiErrors())) {
		add(p.Name, f.Detail)
	}
}

// schemaFaults turns what the validator reports into our words; its own may show more than the client should see.
func schemaFaults(err error) []event.Fault {
	var faults []event.Fault
	var many openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case err == nil:
	case errors.As(err, &many):
		for _, e := range many {
			faults = append(faults, schemaFaults(e)...)
		}
	case errors.As(err, &one) && one.SchemaField == "properties":
		faults = unknownFaults(one)
	case errors.As(err, &one):
		faults = append(faults, event.Fault{Pointer: pointerOf(one), Detail: schemaDetail(one)})
	default:
		faults = append(faults, event.Fault{Detail: "does not match the contract"})
	}
	slices.SortStableFunc(faults, byPointer)
	faults = slices.Compact(faults)
	if len(faults) > maxFaults {
		faults = faults[:maxFaults]
	}
	return faults
}

func byPointer(a, b event.Fault) int { return strings.Compare(a.Pointer, b.Pointer) }

// unknownFaults names each member that its object should not have; the validator's error stands for the object.
func unknownFaults(e *openapi3.SchemaError) []event.Fault {
	object, ok := e.Value.(map[string]any)
	if !ok {
		return []event.Fault{{Pointer: pointerOf(e), Detail: "does not match the contract"}}
	}
	var faults []event.Fault
	for name := range object {
		if e.Schema.Properties[name] == nil {
			faults = append(faults, event.Fault{Pointer: pointerOf(e) + "/" + escapeToken(name), Detail: unknownMember})
		}
	}
	return faults
}

func pointerOf(e *openapi3.SchemaError) string {
	var pointer strings.Builder
	for _, token := range e.JSONPointer() {
		pointer.WriteString("/" + escapeToken(token))
	}
	return pointer.String()
}

func schemaDetail(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "type":
		return "must be " + typeWords(s)
	case "required":
		return "is required"
	case "minimum", "maximum":
		return bounds(s)
	case "minLength":
		return "must not be empty"
	case "maxLength":
		return "must not be longer than " + strconv.FormatUint(*s.MaxLength, 10) + " characters"
	case "minItems":
		return "must have at least " + plural(s.MinItems, "element")
	case "maxItems":
		return "must have at most " + plural(*s.MaxItems, "element")
	case "maxProperties":
		return "must have at most " + plural(*s.MaxProps, "member")
	case "enum":
		return "must be one of the values that the contract lists"
	case "nullable":
		return "must not be null"
	default:
		return "does not match the contract"
	}
}

func typeWords(s *openapi3.Schema) string {
	switch {
	case s.Type.Is(openapi3.TypeObject):
		return "an object"
	case s.Type.Is(openapi3.TypeArray):
		return "an array"
	case s.Type.Is(openapi3.TypeInteger):
		return "an integer"
	case s.Type.Is(openapi3.TypeBoolean):
		return "true or false"
	default:
		return "a " + strings.Join(s.Type.Slice(), " or ")
	}
}

func bounds(s *openapi3.Schema) string {
	switch {
	case s.Min != nil && s.Max != nil:
		return fmt.Sprintf("must be between %v and %v", *s.Min, *s.Max)
	case s.Max != nil:
		return fmt.Sprintf("must be at most %v", *s.Max)
	case s.Min != nil:
		return fmt.Sprintf("must be at least %v", *s.Min)
	}
	return "is out of bounds"
}

func plural(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.FormatUint(n, 10) + " " + word + "s"
}

// checkMedia holds the body's content type to those the operation reads.
func checkMedia(op *operation, r *http.Request) *failure {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fail(unsupportedMedia, "send the body uncompressed, without Content-Encoding")
	}
	if slices.Contains(op.media, mediaOf(r)) {
		return nil
	}
	return fail(unsupportedMedia, "send "+strings.Join(op.media, " or "))
}
