package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

// otherExample is an example of the contract's problem responses.
func otherExample(t *testing.T, s *Server, name string) any {
	t.Helper()
	example := s.contract.doc.Components.Responses["Other"].Value.Content["application/problem+json"].Examples[name]
	if example == nil {
		t.Fatalf("the contract has no problem example %q", name)
	}
	return asJSON(t, example.Value.Value)
}

// TestProblems provokes every problem of the contract's list and holds the answer to its example.
func TestProblems(t *testing.T) {
	const secret = "pebble: /var/lib/secret: i/o error"
	failing := func(err error) *fake {
		return &fake{predict: func(context.Context, recommend.Request) (recommend.Answer, error) {
			return recommend.Answer{}, fmt.Errorf("%s: %w", secret, err)
		}}
	}
	keyed := func(o *Options) {
		o.Keys = []Key{{Name: "beacon", SHA256: sha("beacon"), Scopes: []string{ScopeEvents}}}
	}
	cases := []struct {
		example string
		service *fake
		change  func(*Options)
		method  string
		path    string
		body    string
		headers []string
		retry   string
	}{
		{example: "unauthorized", change: keyed},
		{example: "forbidden", change: keyed, headers: []string{"X-API-Key: beacon"}},
		{example: "notFound", path: "/v1/nothing"},
		{example: "methodNotAllowed", path: "/v1/predict", method: http.MethodPatch},
		{example: "tooLarge", body: `{"user":"` + strings.Repeat("a", 1<<20) + `"}`},
		{example: "unsupportedMediaType", headers: []string{"Content-Type: text/plain"}},
		{example: "tooManyRequests", change: func(o *Options) { o.Config.Rate, o.Config.Burst = 1e-9, 1 }, retry: "1000000000"},
		{example: "internal", service: failing(io.ErrNoProgress)},
		{example: "overloaded", service: failing(recommend.ErrBusy), retry: "1"},
		{example: "notReady", service: failing(recommend.ErrNoModel), retry: "5"},
		{example: "storeUnavailable", service: failing(recommend.ErrStore), retry: "1"},
		{example: "shuttingDown", service: failing(recommend.ErrClosed), retry: "1"},
		{example: "deadline", service: failing(recommend.ErrDeadline)},
		{example: "deadline", service: failing(context.DeadlineExceeded)},
	}
	seen := map[string]bool{}
	for _, c := range cases {
		t.Run(c.example, func(t *testing.T) {
			orElse(&c.service, &fake{})
			orElse(&c.method, http.MethodPost)
			orElse(&c.path, "/v1/predict")
			orElse(&c.body, "{}")
			s := newTestServer(t, c.service, c.change)
			h := s.Data()
			if c.example == "tooManyRequests" {
				ask(t, h, c.method, c.path, c.body)
			}
			resp, body := ask(t, h, c.method, c.path, c.body, c.headers...)
			want := otherExample(t, s, c.example)
			if c.example == "methodNotAllowed" {
				want.(map[string]any)["detail"] = "allowed: OPTIONS, POST"
			}
			if c.example == "unsupportedMediaType" {
				want.(map[string]any)["detail"] = "send application/json"
			}
			if diff := cmp.Diff(want, fromJSON(t, body)); diff != "" {
				t.Errorf("(-contract +answer):\n%s", diff)
			}
			if got := float64(resp.StatusCode); got != want.(map[string]any)["status"] {
				t.Errorf("status %v", got)
			}
			if got := resp.Header.Get("Retry-After"); got != c.retry {
				t.Errorf("Retry-After %q, want %q", got, c.retry)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			if strings.Contains(body, "pebble") {
				t.Errorf("internal words left: %s", body)
			}
		})
		seen[c.example] = true
	}
	s := newTestServer(t, &fake{}, nil)
	for name := range s.contract.doc.Components.Responses["Other"].Value.Content["application/problem+json"].Examples {
		if !seen[name] {
			t.Errorf("no case provokes %q", name)
		}
	}
}

// TestKinds holds every row of the table to the contract's list.
func TestKinds(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	for _, k := range []kind{malformed, unauthorized, forbidden, notFound, methodNotAllowed, conflict, modelRefused, tooLarge, unsupportedMedia,
		invalid, tooManyRequests, internal, overloaded, notReady, storeUnavailable, shuttingDown, deadline} {
		status, title := k.meaning()
		row := fmt.Sprintf("| `/problems/%s` | %d |", k, status)
		if !strings.Contains(s.contract.doc.Info.Description, row) {
			t.Errorf("the contract does not list %s", row)
		}
		if title == "" || k != internal && strings.HasPrefix(title, "Something") {
			t.Errorf("%s has no title", k)
		}
	}
}

func TestFailureOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want kind
	}{
		{recommend.ErrUnknownModel, notFound},
		{recommend.ErrNotFound, notFound},
		{recommend.ErrRefused, modelRefused},
		{recommend.ErrInvalid, invalid},
		{&recommend.InvalidError{Faults: []event.Fault{{Pointer: "/k"}}}, invalid},
		{context.Canceled, clientGone},
		{fmt.Errorf("%w: %w", recommend.ErrStore, context.DeadlineExceeded), deadline},
		{errors.New("anything else"), internal},
	} {
		if got := failureOf(fmt.Errorf("wrapped: %w", c.err)); got.kind != c.want {
			t.Errorf("%v is %s, want %s", c.err, got.kind, c.want)
		}
	}
}

func TestCompressedBodyIsRefusedByName(t *testing.T) {
	h := newTestServer(t, &fake{}, nil).Data()
	resp, body := ask(t, h, http.MethodPost, "/v1/predict", "{}", "Content-Encoding: gzip")
	if resp.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(body, "Content-Encoding") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body = ask(t, h, http.MethodPost, "/v1/predict", "{}", "Content-Encoding: identity"); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestRefusedModelSaysWhy(t *testing.T) {
	f := failureOf(fmt.Errorf("load version v: %w: weights are short", recommend.ErrRefused))
	if p := f.problem(""); p.Detail == nil || !strings.Contains(*p.Detail, "weights are short") {
		t.Errorf("%+v", p)
	}
}

// TestPlaces checks that the same error of the service reads as the operation means it.
func TestPlaces(t *testing.T) {
	none := func(context.Context, string) (recommend.ModelInfo, error) {
		return recommend.ModelInfo{}, recommend.ErrUnknownModel
	}
	s := newTestServer(t, &fake{
		predict: func(context.Context, recommend.Request) (recommend.Answer, error) {
			return recommend.Answer{}, recommend.ErrUnknownModel
		},
		model: none,
		promote: func(context.Context, string) (recommend.ModelInfo, error) {
			return recommend.ModelInfo{}, recommend.ErrRefused
		},
		getItem: func(context.Context, event.ItemID) (recommend.CatalogItem, error) {
			return recommend.CatalogItem{}, recommend.ErrNotFound
		},
	}, nil)
	for _, c := range []struct {
		h                  http.Handler
		method, path, body string
		status             int
	}{
		{s.Data(), "POST", "/v1/predict", `{"model":"01X"}`, 422},
		{s.Data(), "GET", "/v1/models/01X", "", 404},
		{s.Data(), "GET", "/v1/items/7", "", 404},
		{s.Admin(), "POST", "/admin/v1/models/01X:promote", "", 409},
		{s.Admin(), "POST", "/admin/v1/models/01X:rollback", "", 404},
	} {
		resp, body := ask(t, c.h, c.method, c.path, c.body)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, resp.StatusCode, c.status, body)
		}
	}
}
