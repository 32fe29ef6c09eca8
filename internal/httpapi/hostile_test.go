package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"seqrec/internal/event"
	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

// hostileBodies are predict bodies with the status and the pointers of all their faults.
func hostileBodies() []struct {
	name, body string
	status     int
	pointers   string
} {
	return []struct {
		name, body string
		status     int
		pointers   string
	}{
		{"nothing", ``, 400, `[]`},
		{"blanks", ` ` + "\n", 400, `[]`},
		{"a byte order mark", "\ufeff{}", 400, `[]`},
		{"not JSON", `user=ann`, 400, `[]`},
		{"two documents", `{} {}`, 400, `[]`},
		{"cut off", `{"user":"ann","history":[{"item":"1"}`, 400, `[]`},
		{"comma at the end", `{"k":1,}`, 400, `[]`},
		{"single quotes", `{'k':1}`, 400, `[]`},
		{"text that is not UTF-8", "{\"user\":\"a\xff\"}", 400, `[]`},
		{"half of a surrogate pair", `{"user":"\ud800"}`, 400, `[]`},
		{"a raw control character", "{\"user\":\"a\nb\"}", 400, `[]`},
		{"not a number", `{"k":NaN}`, 400, `[]`},
		{"leading zero", `{"k":01}`, 400, `[]`},
		{"deep nesting, closed", `{"x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, 422, `["/x"]`},
		{"too deep nesting", strings.Repeat("[", 100000), 400, `[]`},
		{"deep objects", strings.Repeat(`{"history":`, 20000), 400, `[]`},
		{"null", `null`, 422, `[""]`},
		{"an array", `[]`, 422, `[""]`},
		{"a string", `"user"`, 422, `[""]`},
		{"a member given twice", `{"k":1,"k":2}`, 422, `["/k"]`},
		{"the same, escaped", `{"k":1,"\u006b":2}`, 422, `["/k"]`},
		{"another case of a name", `{"K":1}`, 422, `["/K"]`},
		{"a name with a slash", `{"a/b~c":1}`, 422, `["/a~1b~0c"]`},
		{"huge numbers", `{"k":1e400,"history":[{"item":"1","time":99999999999999999999}]}`, 422, `["/k","/history/0/time"]`},
		{"a fraction", `{"k":1.5}`, 422, `["/k"]`},
		{"negative", `{"k":-1,"history":[{"item":"1","time":-1}]}`, 422, `["/k","/history/0/time"]`},
		{"wrong types at many places", `{"user":7,"history":{},"k":"3","candidates":[1,"",null],"exclude":"x","include_seen":1,"strict":"yes","model":[]}`,
			422, `["/user","/history","/k","/candidates/0","/candidates/1","/candidates/2","/exclude","/include_seen","/strict","/model"]`},
		{"faults in events", `{"events":[{"item":"1"},{"time":1},{"item":"1","time":"soon","user":"x"}]}`,
			422, `["/events/0/time","/events/1/item","/events/2/time","/events/2/user","/user"]`},
		{"times at some events", `{"history":[{"item":"1","time":1},{"item":"2"}]}`, 422, `["/history"]`},
		{"times at some events and more", `{"k":0,"history":[{"item":"1","time":1},{"item":"2"}]}`, 422, `["/k","/history"]`},
		{"the far future", `{"history":[{"item":"1","time":"9999-01-01T00:00:00Z"}]}`, 422, `["/history/0/time"]`},
		{"a long id", `{"user":"` + strings.Repeat("é", 129) + `","model":"` + strings.Repeat("x", 65) + `"}`, 422, `["/user","/model"]`},
		{"control characters", `{"user":"a\u0000b"}`, 422, `["/user"]`},
		{"too many", `{"exclude":[` + strings.Repeat(`"1",`, recommend.MaxExclude) + `"1"]}`, 422, `["/exclude"]`},
	}
}

func TestHostilePredict(t *testing.T) {
	called := false
	s := newTestServer(t, &fake{predict: func(context.Context, recommend.Request) (recommend.Answer, error) {
		called = true
		return exampleAnswer(), nil
	}}, nil)
	h := s.Data()
	for _, c := range hostileBodies() {
		t.Run(c.name, func(t *testing.T) {
			resp, body := ask(t, h, "POST", "/v1/predict", c.body, "Content-Type: application/json; charset=utf-8")
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %.300s", resp.StatusCode, c.status, body)
			}
			if got := pointersOf(t, body); c.status == 422 && got != c.pointers {
				t.Errorf("faults at %s, want %s: %.500s", got, c.pointers, body)
			}
			if called {
				t.Error("the service was asked")
			}
		})
	}
	// The same as the only element of a batch: its faults are its own, with the same pointers.
	for _, c := range hostileBodies() {
		if c.status != 422 {
			continue
		}
		_, body := ask(t, h, "POST", "/v1/predict:batch", `{"requests":[{"k":3},`+c.body+`]}`)
		var answer wire.PredictBatchAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Results) != 2 || answer.Results[0].Answer == nil {
			t.Errorf("%s: its neighbour is spoilt: %.300s", c.name, body)
			continue
		}
		if got := pointersOf(t, toText(t, answer.Results[1].Problem)); got != c.pointers {
			t.Errorf("%s in a batch: faults at %s, want %s", c.name, got, c.pointers)
		}
	}
}

func pointersOf(t *testing.T, problem string) string {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal([]byte(problem), &p); err != nil {
		t.Fatalf("%v: %.300s", err, problem)
	}
	pointers := []string{}
	for _, f := range deref(p.Errors) {
		pointers = append(pointers, deref(f.Pointer))
	}
	return toText(t, pointers)
}

func TestManyFaultsAreBounded(t *testing.T) {
	body := `{"candidates":[` + strings.Repeat(`1,`, 4999) + `1]}`
	_, text := ask(t, newTestServer(t, &fake{}, nil).Data(), "POST", "/v1/predict", body)
	if n := strings.Count(text, "pointer"); n != maxFaults {
		t.Errorf("%d faults reported, want %d", n, maxFaults)
	}
	if !strings.Contains(text, "the first 100 faults") {
		t.Errorf("it does not say that there may be more: %.200s", text)
	}
}

// TestColdBodies runs hostile bodies against the operations whose bodies the contract's schemas check.
func TestColdBodies(t *testing.T) {
	h := newTestServer(t, &fake{}, nil).Data()
	for _, c := range []struct {
		method, path, body string
		status             int
		pointers           string
	}{
		{"POST", "/v1/similar", ``, 415, ``},
		{"POST", "/v1/similar", `{`, 400, ``},
		{"POST", "/v1/similar", `[]`, 422, `[""]`},
		{"POST", "/v1/similar", `{}`, 422, `["/items"]`},
		{"POST", "/v1/similar", `{"items":["1"],"items":["2"]}`, 422, `["/items"]`},
		{"POST", "/v1/similar", `{"items":["1",2,""],"k":"x","Items":[]}`, 422, `["/Items","/items/1","/items/2","/k"]`},
		{"POST", "/v1/similar", `{"items":["` + strings.Repeat("é", 129) + `"]}`, 422, `["/items/0"]`},
		{"POST", "/v1/similar", `{"items":["1"],"k":1e1}`, 400, ``},
		{"POST", "/v1/similar", strings.Repeat(`{"items":`, 20000), 400, ``},
		{"PUT", "/v1/items/7", `{"title":7,"hidden":1,"categories":[""],"id":"7","attributes":[]}`, 422,
			`["/attributes","/categories/0","/hidden","/id","/title"]`},
		{"PUT", "/v1/items/7", `{"attributes":{"a":1,"a":2,"b":1e999}}`, 422, `["/attributes/a","/attributes/b"]`},
		{"PUT", "/v1/items/7", `{"attributes":{"deep":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}}`, 204, ``},
		{"POST", "/v1/items:batch", `{"items":[]}`, 422, `["/items"]`},
		{"POST", "/v1/items:batch", `{"items":[{"id":"a\u0000"},{"id":"b"},7]}`, 422, `["/items/0/id","/items/2"]`},
		{"POST", "/v1/similar", `{"k":0,"items":["1","a\u0001"]}`, 422, `["/items/1","/k"]`},
		{"POST", "/v1/items:batch", `{"items":[{"id":"a\u0000"},{"id":"b"}]}`, 422, `["/items/0/id"]`},
		{"POST", "/v1/predict:batch", `{"requests":[]}`, 422, `["/requests"]`},
		{"POST", "/v1/predict:batch", `{}`, 422, `["/requests"]`},
		{"POST", "/v1/predict:batch", `{"requests":[` + strings.Repeat(`{},`, 256) + `{}]}`, 422, `["/requests"]`},
		{"POST", "/v1/predict:batch", `{"requests":[{},{"k":1}`, 400, ``},
	} {
		resp, body := ask(t, h, c.method, c.path, c.body)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s %.80s: %d, want %d: %.300s", c.method, c.path, c.body, resp.StatusCode, c.status, body)
			continue
		}
		if c.pointers != "" {
			if got := pointersOf(t, body); got != c.pointers {
				t.Errorf("%s %s %.80s: faults at %s, want %s: %.500s", c.method, c.path, c.body, got, c.pointers, body)
			}
		}
	}
}

func TestHostileEvents(t *testing.T) {
	const good = `{"user":"ann","item":"1","time":1}`
	var got []event.Event
	s := newTestServer(t, &fake{append: func(_ context.Context, events []event.Event) (recommend.AppendResult, error) {
		got = events
		return recommend.AppendResult{Accepted: len(events)}, nil
	}}, func(o *Options) { o.Config.MaxEventsBody = 1 << 20 })
	h := s.Data()
	cases := []struct {
		name, media, body string
		status            int
		good              int
		rejected          string // their indexes
	}{
		{"one bad between", mediaJSON, `[` + good + `,{"user":"ann"},` + good + `]`, 202, 2, "1"},
		{"every kind of wrong element", mediaJSON, `[null,7,"x",[],{},true,` + good + `]`, 202, 1, "0 1 2 3 4 5"},
		{"a member twice in one", mediaJSON, `[{"user":"a","user":"b","item":"1","time":1},` + good + `]`, 202, 1, "0"},
		{"not UTF-8 in one", mediaJSON, `[{"user":"` + "a\xff" + `","item":"1","time":1},` + good + `]`, 202, 1, "0"},
		{"none", mediaJSON, `[]`, 202, 0, ""},
		{"not an array", mediaJSON, good, 422, 0, ""},
		{"not JSON", mediaJSON, `[` + good + `,`, 400, 0, ""},
		{"two documents", mediaJSON, `[] []`, 400, 0, ""},
		{"too deep", mediaJSON, strings.Repeat("[", 100000), 400, 0, ""},
		{"lines", mediaNDJSON, good + "\n\n" + good + "\r\n" + good, 202, 3, ""},
		{"a line cut off", mediaNDJSON, good + "\n" + `{"user":"ann","it`, 202, 1, "1"},
		{"a bad line between", mediaNDJSON, good + "\nuser,item,time\n" + good, 202, 2, "1"},
		{"a byte order mark", mediaNDJSON, "\ufeff" + good + "\n" + good, 202, 1, "0"},
		{"a long line", mediaNDJSON, good + "\n{\"user\":\"" + strings.Repeat("a", 100<<10) + "\"}\n" + good, 202, 2, "1"},
		{"a deep line", mediaNDJSON, good + "\n" + strings.Repeat("[", 60000) + "\n" + good, 202, 2, "1"},
		{"a line longer than the body may be", mediaNDJSON, good + "\n" + strings.Repeat("a", 10<<20), 413, 0, ""},
		{"nothing", mediaNDJSON, "", 202, 0, ""},
		{"too many", mediaNDJSON, strings.Repeat(good+"\n", 10001), 422, 0, ""},
		{"as many as may be", mediaNDJSON, strings.Repeat(good+"\n", 10000), 202, 10000, ""},
		{"another type", "text/csv", good, 415, 0, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got = nil
			resp, body := ask(t, h, "POST", "/v1/events", c.body, "Content-Type: "+c.media)
			if resp.StatusCode != c.status || len(got) != c.good {
				t.Fatalf("status %d with %d stored, want %d with %d: %.300s", resp.StatusCode, len(got), c.status, c.good, body)
			}
			if c.status != 202 {
				return
			}
			var answer wire.AppendAnswer
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err)
			}
			var rejected []string
			for _, r := range answer.Rejected {
				rejected = append(rejected, strconv.Itoa(r.Index))
				if r.Problem.Status != 422 || len(deref(r.Problem.Errors)) == 0 {
					t.Errorf("element %d is rejected without a reason: %+v", r.Index, r.Problem)
				}
			}
			if text := strings.Join(rejected, " "); text != c.rejected || answer.Accepted != c.good {
				t.Errorf("accepted %d, rejected %q, want %d and %q", answer.Accepted, text, c.good, c.rejected)
			}
		})
	}
}

// agree compares what the hand-written reader says of a predict body with what the contract's schema says. The schema
// cannot say everything: bytes and controls of ids, the clock, a rule across members, whole numbers in other clothes.
func agree(t *testing.T, s *Server, schema *openapi3.Schema, body []byte) {
	t.Helper()
	ours, loose := readPredict(s, body)
	sc := s.takeScanner(bytes.Clone(body))
	value := sc.any()
	f := sc.end()
	if f != nil && f.kind == malformed {
		if ours == nil || ours.kind != malformed {
			t.Fatalf("not JSON, and read as %v: %q", ours, body)
		}
		return
	}
	contract := f == nil && schema.VisitJSON(value) == nil
	switch {
	case ours != nil && ours.kind == malformed:
		t.Fatalf("JSON, and read as malformed %v: %q", ours, body)
	case ours == nil && !contract:
		t.Fatalf("the reader takes what the contract refuses: %q: %v", body, schema.VisitJSON(value))
	case ours != nil && contract && !loose:
		t.Fatalf("the reader refuses what the contract takes: %q: %v", body, ours)
	}
}

// readPredict reads one body; loose means that a refusal rests on a rule the schema cannot say.
func readPredict(s *Server, body []byte) (f *failure, loose bool) {
	sc := s.takeScanner(bytes.Clone(body))
	defer s.giveScanner(sc)
	newPredictReader(sc, noon).request()
	f = sc.end()
	if f == nil || f.kind == malformed {
		return f, false
	}
	for _, one := range f.faults {
		switch d := one.Detail; {
		case strings.Contains(d, "256 bytes"), strings.Contains(d, "control"), strings.Contains(d, "future"), strings.Contains(d, "year 9999"),
			strings.Contains(d, "with events"), strings.Contains(d, "at every event"),
			strings.Contains(d, "must be an integer") && bytes.ContainsAny(body, ".eE"),
			strings.Contains(d, "integer of Unix") && bytes.ContainsAny(body, ".eE0123456789"),
			strings.Contains(d, "before 1970"), strings.Contains(d, "64 characters") && !isASCII(body), strings.Contains(d, "is given twice"):
		default:
			return f, false
		}
	}
	return f, true
}

func isASCII(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) && !bytes.Contains(b, []byte(`\u`))
}

func predictSchema(s *Server) *openapi3.Schema {
	return s.contract.doc.Components.Schemas["PredictRequest"].Value
}

func goodBodies() []string {
	return []string{
		`{}`, `{"user":"ann"}`, ` { "user" : "ann" , "k" : 1000 } `, `{"user":"\u0061nn","model":"current"}`,
		`{"history":[]}`, `{"history":[{"item":"1"},{"item":"2","kind":"buy"}]}`,
		`{"history":[{"item":"1","time":0},{"item":"2","time":"2001-01-01T00:00:00+02:00"}],"include_seen":true,"strict":false}`,
		`{"user":"ünï","events":[{"item":"1","time":1}],"candidates":["1"],"exclude":[]}`,
		`{"user":"ann","rerank":false,"explain":true}`, `{"rerank":true,"explain":false}`, longBody(200),
	}
}

func TestReaderAgreesWithContract(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	for _, body := range goodBodies() {
		if f, _ := readPredict(s, []byte(body)); f != nil {
			t.Errorf("%.100s: %v", body, f)
		}
		agree(t, s, predictSchema(s), []byte(body))
	}
	for _, c := range hostileBodies() {
		if !strings.Contains(c.name, "deep") {
			agree(t, s, predictSchema(s), []byte(c.body))
		}
	}
}

// TestReadPredict checks what the reader makes of a full body.
func TestReadPredict(t *testing.T) {
	var got recommend.Request
	s := newTestServer(t, &fake{predict: func(_ context.Context, r recommend.Request) (recommend.Answer, error) {
		got = r
		return exampleAnswer(), nil
	}}, nil)
	body := `{"user":"ann","history":[{"item":"1","kind":"buy","time":5},{"kind":"buy","time":"1970-01-01T00:00:00.007Z","item":"\u0032"}],` +
		`"events":[{"item":"3","time":9}],"k":7,"candidates":["4"],"exclude":["5","6"],"include_seen":true,"strict":true,"model":"m"}`
	if resp, text := ask(t, s.Data(), "POST", "/v1/predict", body); resp.StatusCode != 200 {
		t.Fatal(text)
	}
	want := recommend.Request{
		User:    "ann",
		History: []event.Event{{Item: "1", Kind: "buy", Time: 5}, {Item: "2", Kind: "buy", Time: 7}},
		Events:  []event.Event{{User: "ann", Item: "3", Time: 9}},
		K:       7, Candidates: []event.ItemID{"4"}, Exclude: []event.ItemID{"5", "6"}, IncludeSeen: true, Strict: true, Model: "m",
	}
	if toText(t, got) != toText(t, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	for body, wantNil := range map[string]bool{`{}`: true, `{"history":[],"candidates":[]}`: false} {
		ask(t, s.Data(), "POST", "/v1/predict", body)
		if (got.History == nil) != wantNil || (got.Candidates == nil) != wantNil {
			t.Errorf("%s: history %#v, candidates %#v", body, got.History, got.Candidates)
		}
	}
}

func FuzzPredictBody(f *testing.F) {
	s := newTestServer(f, &fake{}, nil)
	for _, body := range goodBodies() {
		f.Add([]byte(body))
	}
	for _, c := range hostileBodies() {
		if len(c.body) < 4096 {
			f.Add([]byte(c.body))
		}
	}
	schema := predictSchema(s)
	h := s.Data()
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<16 {
			return
		}
		if utf8.Valid(body) { // the schema's own reader takes what is not
			agree(t, s, schema, body)
		}
		resp, text := ask(t, h, "POST", "/v1/predict", string(body), "Content-Type: application/json")
		if resp.StatusCode >= 500 || !json.Valid([]byte(text)) {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	})
}

func FuzzEventsBody(f *testing.F) {
	const good = `{"user":"ann","item":"1","time":1}`
	for _, body := range []string{good, `[` + good + `]`, good + "\n" + good, good + "\n{\"user\":", `[` + good + `,{}]`, "\ufeff[]", "[1,]", ""} {
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	h := newTestServer(f, &fake{}, nil).Data()
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		media := mediaJSON
		if lines {
			media = mediaNDJSON
		}
		resp, text := ask(t, h, "POST", "/v1/events", string(body), "Content-Type: "+media)
		if resp.StatusCode >= http.StatusInternalServerError || lines && resp.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		// A good event put in front and behind is stored whatever stands between.
		if !lines {
			return
		}
		framed := good + "\n" + string(body) + "\n" + good
		_, text = ask(t, h, "POST", "/v1/events", framed, "Content-Type: "+media)
		var answer wire.AppendAnswer
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Accepted < 2 {
			t.Fatalf("neighbours are spoilt: %v %s", err, text)
		}
	})
}

// FuzzOtherOperations throws bodies, path parameters and queries at the operations that the other targets leave out.
func FuzzOtherOperations(f *testing.F) {
	for _, body := range []string{
		`{"items":["1","2"],"k":3}`, `{"items":[{"id":"a","title":"A","categories":["x"],"attributes":{"n":1e3}}]}`,
		`{"title":"A","hidden":true}`, `{"requests":[{"user":"ann"},{"k":0}]}`, `{"items":[{"id":"\u0001"}]}`, `[`, ``,
	} {
		f.Add([]byte(body), "ann/1", "limit=5&cursor=x&kind=buy")
		f.Add([]byte(body), "%ff\x00", "query=%zz&limit=1e9&limit=2")
	}
	s := newTestServer(f, &fake{}, nil)
	f.Fuzz(func(t *testing.T, body []byte, id, query string) {
		if len(body) > 1<<16 || len(id) > 1<<10 || len(query) > 1<<10 {
			return
		}
		for _, op := range []struct{ method, path string }{
			{"POST", "/v1/similar"}, {"POST", "/v1/items:batch"}, {"POST", "/v1/predict:batch"}, {"PUT", "/v1/items/{id}"},
			{"GET", "/v1/items/{id}"}, {"DELETE", "/v1/items/{id}"}, {"GET", "/v1/items"}, {"GET", "/v1/users/{id}/history"},
			{"DELETE", "/v1/users/{id}"}, {"GET", "/v1/erasures/{id}"}, {"GET", "/v1/models/{id}"},
		} {
			u := url.URL{Path: strings.ReplaceAll(op.path, "{id}", id), RawPath: strings.ReplaceAll(op.path, "{id}", url.PathEscape(id)), RawQuery: query}
			r := httptest.NewRequest(op.method, "/", bytes.NewReader(body))
			r.URL = &u
			r.Header.Set("Content-Type", mediaJSON)
			w := httptest.NewRecorder()
			s.Data().ServeHTTP(w, r)
			if w.Code >= http.StatusInternalServerError || w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %s: %d %s", op.method, u.String(), w.Code, w.Body)
			}
		}
	})
}
