package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

func TestRoutes(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	data, admin, probes := s.Data(), s.Admin(), s.Probes()
	cases := []struct {
		h            http.Handler
		method, path string
		status       int
		allow        string
	}{
		{data, "POST", "/v1/predict:batch", 422, ""},
		{data, "POST", "/v1/predictbatch", 404, ""},
		{data, "POST", "/v1/predict:other", 404, ""},
		{data, "POST", "/v1/predict/:batch", 404, ""},
		{data, "GET", "/v1/predict:batch", 405, "OPTIONS, POST"},
		{data, "OPTIONS", "/v1/predict:batch", 204, "OPTIONS, POST"},
		{data, "OPTIONS", "/v1/items/7", 204, "DELETE, GET, HEAD, OPTIONS, PUT"},
		{data, "OPTIONS", "/nothing", 404, ""},
		{data, "HEAD", "/v1/models", 200, ""},
		{data, "HEAD", "/v1/predict", 405, "OPTIONS, POST"},
		{data, "GET", "/v1/models/", 404, ""},
		{data, "GET", "/v1//models", 404, ""},
		{data, "GET", "/v1/items/batch", 200, ""},
		{data, "GET", "/v1/items/:batch", 200, ""},
		{data, "DELETE", "/v1/users/a:promote", 200, ""},
		{data, "POST", "/admin/v1/models/x:promote", 404, ""},
		{data, "GET", "/livez", 404, ""},
		{admin, "POST", "/admin/v1/models/x:promote", 200, ""},
		{admin, "POST", "/admin/v1/models/x:rollback", 200, ""},
		{admin, "POST", "/admin/v1/models/x/:promote", 404, ""},
		{admin, "POST", "/admin/v1/models/x%3Apromote", 404, ""},
		{admin, "POST", "/admin/v1/models/:promote", 404, ""},
		{admin, "POST", "/admin/v1/models/x:forget", 404, ""},
		{admin, "GET", "/admin/v1/models/x:promote", 405, "OPTIONS, POST"},
		{admin, "POST", "/v1/predict", 404, ""},
		{probes, "GET", "/livez", 200, ""},
		{probes, "HEAD", "/readyz", 200, ""},
		{probes, "GET", "/readyz?verbose", 200, ""},
		{probes, "GET", "/readyz?verbose=perhaps", 400, ""},
		{probes, "GET", "/metrics", 200, ""},
		{probes, "POST", "/v1/predict", 404, ""},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			body := ""
			if c.method == "POST" {
				body = "{}"
			}
			resp, text, err := askServer(t, c.h, c.method, c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.status, text)
			}
			if got := resp.Header.Get("Allow"); got != c.allow {
				t.Errorf("Allow %q, want %q", got, c.allow)
			}
			if resp.StatusCode >= 400 && c.method != "HEAD" && resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %q: %s", resp.Header.Get("Content-Type"), text)
			}
			if c.method == "HEAD" && text != "" {
				t.Errorf("HEAD has a body: %s", text)
			}
		})
	}
}

// TestIDsInPaths checks that any id goes through a path and comes out the same.
func TestIDsInPaths(t *testing.T) {
	var got event.UserID
	h := newTestServer(t, &fake{history: func(_ context.Context, user event.UserID, _ recommend.Page) ([]event.Event, string, error) {
		got = user
		return nil, "", nil
	}}, nil).Data()
	for _, id := range []string{"ann", "a/b", "/", "a b", "a+b", "100%", "a%2Fb", "ünï/ко́д", "日本", "a:b", ":promote", "a?b#c", `"'<>\`, "~", strings.Repeat("é", 128)} {
		got = ""
		resp, body := ask(t, h, "GET", "/v1/users/"+url.PathEscape(id)+"/history", "")
		if resp.StatusCode != 200 || string(got) != id {
			t.Errorf("id %q came as %q: %d %s", id, got, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"a%00b", "%FF", strings.Repeat("a", 257), strings.Repeat("%C3%A9", 129), "a%0Ab"} {
		resp, body := ask(t, h, "GET", "/v1/users/"+path+"/history", "")
		if resp.StatusCode != 400 || !strings.Contains(body, `"parameter":"user"`) {
			t.Errorf("id %q: %d %s", path, resp.StatusCode, body)
		}
	}
}

func TestParameters(t *testing.T) {
	var got recommend.Page
	h := newTestServer(t, &fake{history: func(_ context.Context, _ event.UserID, page recommend.Page) ([]event.Event, string, error) {
		got = page
		return nil, "", nil
	}}, nil).Data()
	resp, body := ask(t, h, "GET", "/v1/users/ann/history?limit=7&kind=purchase&cursor=abc", "")
	if want := (recommend.Page{Limit: 7, Kind: "purchase", Cursor: "abc"}); resp.StatusCode != 200 || got != want {
		t.Errorf("page %+v, want %+v: %s", got, want, body)
	}
	resp, body = ask(t, h, "GET", "/v1/users/ann/history?limit=0&limit=1&kind=&colour=red&cursor=", "")
	want := `"errors":[{"detail":"is not a parameter of this operation","parameter":"colour"},` +
		`{"detail":"must not be empty","parameter":"cursor"},{"detail":"must not be empty","parameter":"kind"},` +
		`{"detail":"is given twice","parameter":"limit"}]`
	if resp.StatusCode != 400 || !strings.Contains(body, want) {
		t.Errorf("%d %s\nwant %s", resp.StatusCode, body, want)
	}
	for _, query := range []string{"limit=1001", "limit=-1", "limit=x", "limit=1e2", "limit=", "limit=99999999999999999999"} {
		if resp, body := ask(t, h, "GET", "/v1/users/ann/history?"+query, ""); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	if resp, body := ask(t, h, "GET", "/v1/items", ""); resp.StatusCode != 400 || !strings.Contains(body, "is required") {
		t.Errorf("a missing parameter: %d %s", resp.StatusCode, body)
	}
}

func TestContractPath(t *testing.T) {
	for path, want := range map[string]string{
		`/v1/predict\:batch`:              "/v1/predict:batch",
		"/v1/users/:user/history":         "/v1/users/{user}/history",
		`/admin/v1/models/:version\:load`: "/admin/v1/models/{version}:load",
		"/":                               "/",
	} {
		if got := contractPath(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
