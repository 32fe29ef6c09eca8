package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

// asJSON brings an example of the contract (read from YAML) into the form that JSON has.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return fromJSON(t, string(text))
}

func fromJSON(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// run is one execution of an operation with examples of the contract.
type run struct {
	name, method, path, media, body string
	want                            *openapi3.MediaType // of the answer
	wantStatus                      string
	wantMedia                       string
	example                         any
}

// runs lists what the examples of one operation ask for: each body example, or the operation itself when it has none,
// must give the answer whose example has the same name.
func runs(t *testing.T, method, path string, item *openapi3.PathItem, op *openapi3.Operation) []run {
	t.Helper()
	query := url.Values{}
	for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
		example := p.Value.Example
		switch {
		case p.Value.In == openapi3.ParameterInPath:
			path = strings.Replace(path, "{"+p.Value.Name+"}", url.PathEscape(example.(string)), 1)
		case example != nil:
			query.Set(p.Value.Name, strings.Trim(toText(t, example), `"`))
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	if op.RequestBody == nil {
		r := run{name: op.OperationID, method: method, path: path}
		findAnswer(t, op, "", &r)
		return []run{r}
	}
	var list []run
	for media, content := range op.RequestBody.Value.Content {
		if len(content.Examples) == 0 {
			t.Errorf("%s has no example of a body of %s", op.OperationID, media)
		}
		for name, example := range content.Examples {
			r := run{name: op.OperationID + " " + name, method: method, path: path, media: media}
			if text, ok := example.Value.Value.(string); ok && media != mediaJSON {
				r.body = text
			} else {
				r.body = toText(t, example.Value.Value)
			}
			findAnswer(t, op, name, &r)
			list = append(list, r)
		}
	}
	return list
}

func toText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// findAnswer finds the answer whose example is called name; "" finds the one of success.
func findAnswer(t *testing.T, op *openapi3.Operation, name string, r *run) {
	t.Helper()
	for status, response := range op.Responses.Map() {
		if response.Ref != "" || name == "" && status[0] != '2' {
			continue
		}
		if len(response.Value.Content) == 0 {
			r.wantStatus = status
		}
		for media, content := range response.Value.Content {
			if example := content.Examples[name]; example != nil {
				r.example = example.Value.Value
			} else if name != "" {
				continue
			} else {
				r.example = content.Example
			}
			r.want, r.wantStatus, r.wantMedia = content, status, media
			return
		}
	}
	if r.wantStatus == "" {
		t.Errorf("%s: no answer has an example called %q", op.OperationID, name)
	}
}

// TestExamples executes every example of the contract against the real handlers and holds the answers to the contract.
func TestExamples(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	if err := s.contract.doc.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	planes := map[plane]http.Handler{planeData: s.Data(), planeAdmin: s.Admin(), planeProbes: s.Probes()}
	for path, item := range s.contract.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for _, r := range runs(t, method, path, item, op) {
				t.Run(r.name, func(t *testing.T) {
					resp, body := ask(t, planes[planeOf(path)], r.method, r.path, r.body, "X-Request-ID: req-1", "Content-Type: "+r.media)
					if got := resp.Status[:3]; got != r.wantStatus {
						t.Fatalf("%s %s %s: status %s, want %s: %s", r.method, r.path, r.body, got, r.wantStatus, body)
					}
					checkAnswer(t, resp, body, &r)
				})
			}
		}
	}
}

func checkAnswer(t *testing.T, resp *http.Response, body string, r *run) {
	t.Helper()
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if media != r.wantMedia {
		t.Fatalf("content type %q, want %q", media, r.wantMedia)
	}
	if r.want == nil || strings.HasPrefix(media, "text/") {
		return
	}
	var got any = body
	if strings.HasSuffix(media, "json") && media != mediaNDJSON {
		got = fromJSON(t, body)
	}
	if err := r.want.Schema.Value.VisitJSON(got, openapi3.MultiErrors()); err != nil {
		t.Errorf("the answer is not what the contract says: %v", err)
	}
	if diff := cmp.Diff(asJSON(t, r.example), got); diff != "" {
		t.Errorf("the answer is not the example (-contract +answer):\n%s", diff)
	}
}

// TestContractScopes holds every operation to naming its scopes, and only known ones.
func TestContractScopes(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	known := []string{ScopePredict, ScopeEvents, ScopeItems, ScopeAdmin}
	for path, item := range s.contract.doc.Paths.Map() {
		for method := range item.Operations() {
			op := s.contract.operation(method, path)
			if (len(op.scopes) == 0) != (op.plane == planeProbes) {
				t.Errorf("%s: scopes %v on the %s plane", op.id, op.scopes, op.plane)
			}
			for _, scope := range op.scopes {
				if !slices.Contains(known, scope) {
					t.Errorf("%s: unknown scope %q", op.id, scope)
				}
			}
		}
	}
}
