package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"seqrec/internal/recommend"
)

func sha(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func TestScopes(t *testing.T) {
	s := newTestServer(t, &fake{}, func(o *Options) {
		for _, scope := range []string{ScopePredict, ScopeEvents, ScopeItems, ScopeAdmin} {
			o.Keys = append(o.Keys, Key{Name: scope, SHA256: sha(scope + "-key"), Scopes: []string{scope}})
		}
	})
	data, admin := s.Data(), s.Admin()
	event := `[{"user":"ann","item":"1","time":1}]`
	cases := []struct {
		h                  http.Handler
		method, path, body string
		allowed            string // the scopes that may
	}{
		{data, "POST", "/v1/predict", `{"user":"ann"}`, "predict"},
		{data, "POST", "/v1/events", event, "events"},
		{data, "GET", "/v1/users/ann/history", "", "predict admin"},
		{data, "GET", "/v1/users/ann/export", "", "admin"},
		{data, "DELETE", "/v1/users/ann", "", "admin"},
		{data, "GET", "/v1/items/7", "", "predict items"},
		{data, "PUT", "/v1/items/7", "{}", "items"},
		{data, "GET", "/v1/models", "", "predict admin"},
		{admin, "POST", "/admin/v1/models/x:promote", "", "admin"},
		{admin, "POST", "/admin/v1/models/x:load", "", "admin"},
		{admin, "POST", "/admin/v1/models/x:unload", "", "admin"},
		{admin, "POST", "/admin/v1/models/x:shadow", "", "admin"},
		{admin, "GET", "/admin/v1/erasures", "", "admin"},
		{data, "POST", "/v1/predict", `{"user":"ann","events":[{"item":"1","time":1}]}`, ""},
	}
	for _, c := range cases {
		for _, scope := range []string{ScopePredict, ScopeEvents, ScopeItems, ScopeAdmin} {
			resp, body := ask(t, c.h, c.method, c.path, c.body, "Authorization: Bearer "+scope+"-key")
			want := http.StatusForbidden
			if strings.Contains(c.allowed, scope) {
				want = http.StatusOK
			}
			if got := resp.StatusCode; got != want && (want != http.StatusOK || got/100 != 2) {
				t.Errorf("%s %s with the scope %s: %d, want %d: %s", c.method, c.path, scope, got, want, body)
			}
		}
		for _, header := range []string{"X-None: 1", "X-API-Key: wrong", "Authorization: Basic cHJlZGljdC1rZXk=", "Authorization: Bearer", "X-API-Key: " + sha("predict-key")} {
			if resp, body := ask(t, c.h, c.method, c.path, c.body, header); resp.StatusCode != 401 {
				t.Errorf("%s %s with %s: %d %s", c.method, c.path, header, resp.StatusCode, body)
			}
		}
	}
	if resp, _ := ask(t, s.Probes(), "GET", "/readyz", ""); resp.StatusCode != 200 {
		t.Errorf("probes need a key: %d", resp.StatusCode)
	}
	if resp, _ := ask(t, data, "GET", "/", ""); resp.StatusCode != 200 {
		t.Errorf("the page needs a key: %d", resp.StatusCode)
	}
}

func TestKeysReplace(t *testing.T) {
	s := newTestServer(t, &fake{}, func(o *Options) {
		o.Keys = []Key{{Name: "old", SHA256: sha("old"), Scopes: []string{ScopePredict}}}
	})
	status := func(key string) int {
		resp, _ := ask(t, s.Data(), "POST", "/v1/predict", "{}", "X-API-Key: "+key)
		return resp.StatusCode
	}
	if err := s.Keys().Replace([]Key{{Name: "", SHA256: sha("x")}, {Name: "b", SHA256: "zz"}, {Name: "c", SHA256: sha("c"), Scopes: []string{"all"}}}); err == nil ||
		strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three bad keys: %v", err)
	}
	if got := status("old"); got != 200 {
		t.Errorf("after a refused change: %d", got)
	}
	if err := s.Keys().Replace([]Key{{Name: "new", SHA256: sha("new"), Scopes: []string{ScopePredict}}}); err != nil {
		t.Fatal(err)
	}
	if old, fresh := status("old"), status("new"); old != 401 || fresh != 200 {
		t.Errorf("old key %d, new key %d", old, fresh)
	}
}

// TestRate has a clock that stands still, so nothing is regained.
func TestRate(t *testing.T) {
	s := newTestServer(t, &fake{}, func(o *Options) {
		o.Keys = []Key{{Name: "slow", SHA256: sha("slow"), Scopes: []string{ScopePredict}, Rate: 0.5, Burst: 2}, {Name: "free", SHA256: sha("free"), Scopes: []string{ScopePredict}}}
	})
	status := func(key string) string {
		resp, _ := ask(t, s.Data(), "POST", "/v1/predict", "{}", "X-API-Key: "+key)
		return resp.Status[:3] + " " + resp.Header.Get("Retry-After")
	}
	for i, want := range []string{"200 ", "200 ", "429 2", "429 2"} {
		if got := status("slow"); got != want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
	}
	if got := status("free"); got != "200 " {
		t.Errorf("another key: %q", got)
	}
	// A reload that does not change the key does not fill it up again.
	if err := s.Keys().Replace([]Key{{Name: "slow", SHA256: sha("slow"), Scopes: []string{ScopePredict}, Rate: 0.5, Burst: 2}}); err != nil {
		t.Fatal(err)
	}
	if got := status("slow"); got != "429 2" {
		t.Errorf("after a reload: %q", got)
	}
}

// TestInFlight holds one request inside and sees the next one shed.
func TestInFlight(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	s := newTestServer(t, &fake{predict: func(ctx context.Context, _ recommend.Request) (recommend.Answer, error) {
		close(inside)
		<-leave
		return exampleAnswer(), nil
	}}, func(o *Options) { o.Config.MaxInFlight = 1 })
	h := s.Data()
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, jsonRequest("/v1/predict", "{}"))
		done <- w.Code
	}()
	<-inside
	resp, body := ask(t, h, "GET", "/v1/models", "")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, "overloaded") {
		t.Errorf("the second request: %d %s", resp.StatusCode, body)
	}
	if resp, _ := ask(t, h, "GET", "/", ""); resp.StatusCode != 200 {
		t.Errorf("the page is shed too: %d", resp.StatusCode)
	}
	close(leave)
	if got := <-done; got != 200 {
		t.Errorf("the first request: %d", got)
	}
	if resp, _ := ask(t, h, "GET", "/v1/models", ""); resp.StatusCode != 200 {
		t.Errorf("the slot was not given back: %d", resp.StatusCode)
	}
}

// TestSlowBodies: clients whose bodies do not come keep nobody out, and are let go at their deadline.
func TestSlowBodies(t *testing.T) {
	s := newTestServer(t, &fake{}, func(o *Options) { o.Config.MaxInFlight = 2 })
	server := httptest.NewServer(s.Data())
	defer server.Close()
	var slow []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Timeout-Ms: 300\r\nContent-Length: 100\r\n\r\n{")
		slow = append(slow, conn)
	}
	for len(s.receiving) < len(slow) { // they have all arrived
		runtime.Gosched()
	}
	resp, err := http.Post(server.URL+"/v1/predict", mediaJSON, strings.NewReader("{}")) //nolint:forbidigo // loopback, in a test
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("beside slow clients: %d", resp.StatusCode)
	}
	for _, conn := range slow {
		answer, err := io.ReadAll(conn)
		if text := string(answer); err != nil || !strings.Contains(text, " 400 ") || !strings.Contains(text, "did not arrive") {
			t.Errorf("a slow client was told %q, %v", text, err)
		}
	}
	if len(s.slots)+len(s.receiving) != 0 {
		t.Errorf("%d slots and %d places are still taken", len(s.slots), len(s.receiving))
	}
}

func jsonRequest(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", mediaJSON)
	return r
}

func TestTimeout(t *testing.T) {
	var left time.Duration
	s := newTestServer(t, &fake{predict: func(ctx context.Context, _ recommend.Request) (recommend.Answer, error) {
		end, ok := ctx.Deadline()
		if !ok {
			t.Error("no deadline")
		}
		left = time.Until(end)
		return exampleAnswer(), nil
	}}, func(o *Options) { o.Config.Timeout = time.Hour })
	for header, want := range map[string]time.Duration{"": time.Hour, "60000": time.Minute, "2000000000": time.Hour} {
		r := jsonRequest("/v1/predict", "{}")
		r.Header.Set("X-Request-Timeout-Ms", header)
		w := httptest.NewRecorder()
		s.Data().ServeHTTP(w, r)
		if left > want || left < want-30*time.Second || w.Code != 200 {
			t.Errorf("%q gives %v, want %v (%d)", header, left, want, w.Code)
		}
	}
	for _, header := range []string{"0", "-1", "1.5", "soon", "99999999999"} {
		resp, body := ask(t, s.Data(), "POST", "/v1/predict", "{}", "X-Request-Timeout-Ms: "+header)
		if resp.StatusCode != 400 || !strings.Contains(body, `"parameter":"X-Request-Timeout-Ms"`) {
			t.Errorf("%q: %d %s", header, resp.StatusCode, body)
		}
	}
}

// TestDeadlinePasses lets a service wait for a deadline that is over at once.
func TestDeadlinePasses(t *testing.T) {
	s := newTestServer(t, &fake{predict: func(ctx context.Context, _ recommend.Request) (recommend.Answer, error) {
		<-ctx.Done()
		return recommend.Answer{}, ctx.Err()
	}}, nil)
	resp, body := ask(t, s.Data(), "POST", "/v1/predict", "{}", "X-Request-Timeout-Ms: 1")
	if resp.StatusCode != 504 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestBodyCutShort(t *testing.T) {
	s := newTestServer(t, &fake{}, nil)
	r := jsonRequest("/v1/predict", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"user":"ann"`), errReader{}))
	w := httptest.NewRecorder()
	s.Data().ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "cut short") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
