package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

func TestRequestID(t *testing.T) {
	h := newTestServer(t, &fake{}, func(o *Options) { o.NewID = func() string { return "made" } }).Data()
	for given, want := range map[string]string{"mine-1": "mine-1", "": "made", "two words": "made", strings.Repeat("a", 129): "made", "ü": "made"} {
		resp, _ := ask(t, h, "GET", "/v1/models", "", "X-Request-ID: "+given)
		if got := resp.Header.Get("X-Request-ID"); got != want {
			t.Errorf("%q gives %q, want %q", given, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := newTestServer(t, &fake{}, nil).Data()
	for path, want := range map[string][2]string{
		"/v1/predict": {"no-store", "model;dur=0.420, total;dur=0.000"},
		"/v1/nothing": {"no-store", "total;dur=0.000"},
	} {
		resp, _ := ask(t, h, "POST", path, "{}")
		if got := [2]string{resp.Header.Get("Cache-Control"), resp.Header.Get("Server-Timing")}; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// TestServerTiming names the stages that a prediction went through, and no others.
func TestServerTiming(t *testing.T) {
	f := &fake{predict: func(context.Context, recommend.Request) (recommend.Answer, error) {
		a := exampleAnswer()
		a.Stages = recommend.Stages{Store: 1500 * time.Microsecond, Rank: 2 * time.Millisecond, Rerank: 3250 * time.Microsecond}
		return a, nil
	}}
	resp, _ := ask(t, newTestServer(t, f, nil).Data(), "POST", "/v1/predict", "{}")
	want := "history;dur=1.500, retrieve;dur=2.000, rerank;dur=3.250, model;dur=0.420, total;dur=0.000"
	if got := resp.Header.Get("Server-Timing"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPanic checks that a panic is a problem while nothing has been sent, and a cut connection after.
func TestPanic(t *testing.T) {
	var logged bytes.Buffer
	page := 0
	s := newTestServer(t, &fake{
		predict: func(context.Context, recommend.Request) (recommend.Answer, error) { panic("secret words") },
		history: func(context.Context, event.UserID, recommend.Page) ([]event.Event, string, error) {
			if page++; page > 1 {
				return nil, "", errors.New("secret words")
			}
			return slices.Repeat(exampleHistory(), 500), "more", nil
		},
	}, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&logged, nil)) })
	resp, body := ask(t, s.Data(), "POST", "/v1/predict", "{}")
	if resp.StatusCode != 500 || strings.Contains(body, "secret") || !strings.Contains(logged.String(), "secret words") {
		t.Errorf("%d %s, logged %s", resp.StatusCode, body, logged.String())
	}
	logged.Reset()
	_, body, err := askServer(t, s.Data(), "GET", "/v1/users/ann/export", "")
	if err == nil || strings.Contains(body, "secret") || !strings.Contains(logged.String(), "secret words") {
		t.Errorf("a broken export ends with %v, %d bytes, logged %s", err, len(body), logged.String())
	}
}

func TestExportFailsBeforeItBegins(t *testing.T) {
	s := newTestServer(t, &fake{history: func(context.Context, event.UserID, recommend.Page) ([]event.Event, string, error) {
		return nil, "", recommend.ErrStore
	}}, nil)
	if resp, body := ask(t, s.Data(), "GET", "/v1/users/ann/export", ""); resp.StatusCode != 503 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestExportReadsEveryPage(t *testing.T) {
	var cursors []string
	s := newTestServer(t, &fake{history: func(_ context.Context, _ event.UserID, p recommend.Page) ([]event.Event, string, error) {
		cursors = append(cursors, p.Cursor)
		next := map[string]string{"": "a", "a": "b"}[p.Cursor]
		return exampleHistory(), next, nil
	}}, nil)
	resp, body := ask(t, s.Data(), "GET", "/v1/users/ann/export", "")
	if got := strings.Join(cursors, ","); got != ",a,b" || strings.Count(body, "\n") != 6 || resp.Header.Get("Content-Type") != mediaNDJSON {
		t.Errorf("cursors %q, %s", got, body)
	}
}

// TestLog checks the line of a request: sampled, with what an operator needs and nothing of what a user did.
func TestLog(t *testing.T) {
	var logged bytes.Buffer
	s := newTestServer(t, &fake{predict: func(_ context.Context, r recommend.Request) (recommend.Answer, error) {
		if r.User == "broken" {
			return recommend.Answer{}, errors.New("disk on fire")
		}
		return exampleAnswer(), nil
	}}, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&logged, nil))
		o.Config.LogEvery = 3
		o.Keys = []Key{{Name: "shop", SHA256: sha("key"), Scopes: []string{ScopePredict}}}
	})
	for range 6 {
		ask(t, s.Data(), "POST", "/v1/predict", `{"user":"secret-user","history":[{"item":"secret-item"}]}`, "X-API-Key: key")
	}
	if got := strings.Count(logged.String(), "\n"); got != 2 {
		t.Errorf("%d lines for 6 requests, one of 3 wanted:\n%s", got, logged.String())
	}
	for _, want := range []string{"operation=predict", "status=200", "request_id=req-1", "key=shop", "ms=", "level=INFO"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("no %s in %s", want, logged.String())
		}
	}
	if strings.Contains(logged.String(), "secret") {
		t.Errorf("the log tells what a user did: %s", logged.String())
	}
	logged.Reset()
	ask(t, s.Data(), "POST", "/v1/predict", `{"user":"broken"}`, "X-API-Key: key")
	if !strings.Contains(logged.String(), "level=ERROR") || !strings.Contains(logged.String(), "disk on fire") {
		t.Errorf("a failure of ours is logged as %q", logged.String())
	}
}

func TestMetrics(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	ask(t, s.Data(), "POST", "/v1/predict", "{}")
	ask(t, s.Data(), "POST", "/v1/predict", `{"k":0}`)
	ask(t, s.Data(), "GET", "/v1/wherever", "")
	ask(t, s.Data(), "POST", "/v1/events", `[{"user":"ann","item":"1","time":978350400000},{}]`)
	_, text := ask(t, s.Probes(), "GET", "/metrics", "")
	for _, want := range []string{
		`recsvc_http_requests_total{code="200",operation="predict"} 1`,
		`recsvc_http_requests_total{code="422",operation="predict"} 1`,
		`recsvc_http_requests_total{code="404",operation="none"} 1`,
		`recsvc_http_request_duration_seconds_count{operation="predict"} 2`,
		`recsvc_predict_rung_total{rung="model"} 1`,
		`recsvc_predict_history_events_sum 2`,
		`recsvc_predict_unknown_items_total 1`,
		`recsvc_events_total{result="accepted"} 1`,
		`recsvc_events_total{result="rejected"} 1`,
		`recsvc_event_age_seconds_count 1`,
		`recsvc_http_requests_in_flight{plane="data"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

func TestCORS(t *testing.T) {
	s := newTestServer(t, &fake{}, func(o *Options) { o.Config.AllowedOrigins = []string{"https://shop.example"} })
	for origin, allowed := range map[string]string{"https://shop.example": "https://shop.example", "https://other.example": ""} {
		resp, _ := ask(t, s.Data(), "POST", "/v1/events", "[]", "Origin: "+origin)
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != allowed || resp.StatusCode != 202 {
			t.Errorf("%s: allowed %q, want %q (%d)", origin, got, allowed, resp.StatusCode)
		}
		resp, _ = ask(t, s.Data(), "OPTIONS", "/v1/events", "", "Origin: "+origin, "Access-Control-Request-Method: POST")
		if got := resp.Header.Get("Access-Control-Allow-Headers"); (got != "") != (allowed != "") || resp.StatusCode != 204 {
			t.Errorf("%s: preflight %d %q", origin, resp.StatusCode, got)
		}
	}
	resp, _ := ask(t, s.Admin(), "POST", "/admin/v1/models/x:promote", "", "Origin: https://shop.example")
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the admin plane answers a page of another origin")
	}
}

func TestReady(t *testing.T) {
	broken := recommend.Check{Name: "store", Detail: "closed"}
	checks := []recommend.Check{{Name: "model", OK: true}}
	s := newTestServer(t, &fake{ready: func(context.Context) []recommend.Check { return checks }}, nil)
	status := func() int {
		resp, _ := ask(t, s.Probes(), "GET", "/readyz", "")
		return resp.StatusCode
	}
	if got := status(); got != 200 {
		t.Errorf("all well: %d", got)
	}
	checks = append(checks, broken)
	resp, body := ask(t, s.Probes(), "GET", "/readyz?verbose=1", "")
	if want := `{"checks":[{"name":"model","ok":true},{"detail":"closed","name":"store","ok":false}],"status":"unavailable"}`; resp.StatusCode != 503 || strings.TrimSpace(body) != want {
		t.Errorf("%d %s\nwant %s", resp.StatusCode, body, want)
	}
	checks = checks[:1]
	s.Drain()
	if got := status(); got != 503 {
		t.Errorf("draining: %d", got)
	}
	if resp, _ := ask(t, s.Data(), "POST", "/v1/predict", "{}"); resp.StatusCode != 200 || resp.Header.Get("Connection") != "close" {
		t.Errorf("draining, a request: %d, Connection %q", resp.StatusCode, resp.Header.Get("Connection"))
	}
	if resp, _ := ask(t, s.Probes(), "GET", "/livez", ""); resp.StatusCode != 200 {
		t.Errorf("draining is not dying: %d", resp.StatusCode)
	}
}

func TestRollback(t *testing.T) {
	serving, steps := "B", 0
	s := newTestServer(t, &fake{
		model: func(_ context.Context, name string) (recommend.ModelInfo, error) {
			if name == "current" {
				name = serving
			}
			return recommend.ModelInfo{Version: name}, nil
		},
		rollback: func(context.Context) (recommend.ModelInfo, error) {
			if steps == 2 {
				return recommend.ModelInfo{}, recommend.ErrUnknownModel
			}
			steps++
			serving = "A"
			return recommend.ModelInfo{Version: serving}, nil
		},
	}, nil)
	for i, want := range []int{200, 409} {
		resp, body := ask(t, s.Admin(), "POST", "/admin/v1/models/B:rollback", "")
		if resp.StatusCode != want {
			t.Errorf("rollback %d of B: %d, want %d: %s", i+1, resp.StatusCode, want, body)
		}
	}
	if resp, _ := ask(t, s.Admin(), "POST", "/admin/v1/models/current:rollback", ""); resp.StatusCode != 200 || steps != 2 {
		t.Errorf("rollback of current: %d after %d steps", resp.StatusCode, steps)
	}
	if resp, body := ask(t, s.Admin(), "POST", "/admin/v1/models/current:rollback", ""); resp.StatusCode != 409 || !strings.Contains(body, "current before") {
		t.Errorf("rollback with nothing before: %d %s", resp.StatusCode, body)
	}
}

func TestStaticFiles(t *testing.T) {
	h := newTestServer(t, &fake{}, nil).Data()
	for path, media := range map[string]string{"/": "text/html", "/docs": "text/html", "/assets/app.js": "text/javascript", "/assets/style.css": "text/css",
		"/assets/icon.svg": "image/svg+xml", "/favicon.ico": "image/svg+xml", "/openapi.yaml": "application/yaml", "/openapi.json": "application/json"} {
		resp, body := ask(t, h, "GET", path, "")
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), media) || body == "" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		if strings.Contains(body, "https://cdn") || strings.Contains(body, `src="http`) {
			t.Errorf("%s loads from elsewhere", path)
		}
	}
	for _, path := range []string{"/assets/", "/assets/none.js", "/assets/..%2findex.html", "/assets/%2e%2e", "/index.html"} {
		if resp, _ := ask(t, h, "GET", path, ""); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no service":         {},
		"a negative limit":   {Service: &fake{}, Config: Config{MaxBody: -1}},
		"a key with no hash": {Service: &fake{}, Keys: []Key{{Name: "a"}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestHTTPServer(t *testing.T) {
	s := Config{}.HTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: %+v", s)
	}
}
