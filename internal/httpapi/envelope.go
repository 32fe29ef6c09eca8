package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/recommend"
)

// call is what is known of a request while it runs. It travels in the request's context.
type call struct {
	id        string
	operation string // of the contract; "none" until a route is found
	key       string // name of the key, "" before the gate
	start     time.Time
	model     time.Duration    // time spent behind this layer, 0 when it was not asked
	stages    recommend.Stages // parts of model; zero for more than one prediction
	cause     error            // of an internal error; for the log only
	scopes    *heldKey
	place     chan struct{} // where it holds a token; see Server.enter
}

type callKey struct{}

// callOf returns the call of a request's context; outside an envelope it returns an empty one.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{operation: "none"}
}

// envelope is the outermost layer of a plane.
func (s *Server) envelope(p plane, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{id: requestID(r), operation: "none", start: s.now()}
		if c.id == "" {
			c.id = s.newID()
		}
		out := &answer{ResponseWriter: w, call: c, now: s.now}
		h := w.Header()
		h.Set("X-Request-ID", c.id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if s.draining.Load() {
			h.Set("Connection", "close")
		}
		s.metrics.inFlight.WithLabelValues(string(p)).Inc()
		defer s.finish(p, out, r)
		if p == planeData && s.cors(out, r) {
			return
		}
		next.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// finish recovers a panic, counts the request and writes its log line.
func (s *Server) finish(p plane, out *answer, r *http.Request) {
	s.metrics.inFlight.WithLabelValues(string(p)).Dec()
	c := out.call
	thrown := recover()
	aborted := thrown == http.ErrAbortHandler //nolint:errorlint // a panic value, which net/http compares just so
	if thrown != nil && !aborted {
		c.cause = fmt.Errorf("panic: %v\n%s", thrown, debug.Stack())
		if out.status == 0 {
			(&failure{kind: internal}).write(out, c.id)
		} else {
			aborted = true // too late for a problem: cut the answer off
		}
	}
	if out.status == 0 {
		out.status = http.StatusOK
	}
	took := s.now().Sub(c.start)
	s.metrics.requests.WithLabelValues(c.operation, strconv.Itoa(out.status)).Inc()
	s.metrics.duration.WithLabelValues(c.operation).Observe(took.Seconds())
	if p != planeProbes || c.cause != nil {
		s.logLine(out, r, took)
	}
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) logLine(out *answer, r *http.Request, took time.Duration) {
	c := out.call
	level := slog.LevelInfo
	if out.status >= http.StatusInternalServerError || c.cause != nil {
		level = slog.LevelError
	}
	if (s.logged.Add(1)-1)%uint64(s.config.LogEvery) != 0 && level == slog.LevelInfo {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", c.id), slog.String("method", r.Method), slog.String("operation", c.operation),
		slog.Int("status", out.status), slog.Float64("ms", milliseconds(took)), slog.Int64("bytes", out.bytes),
	}
	if c.key != "" {
		attrs = append(attrs, slog.String("key", c.key))
	}
	if c.cause != nil {
		attrs = append(attrs, slog.String("error", c.cause.Error()))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID is the client's, if it is 1 to 128 printable ASCII characters.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-ID")
	if len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return id
}

// cors answers a browser's preflight (true) and marks answers that pages of an allowed origin may read.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || len(s.config.AllowedOrigins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !slices.Contains(s.config.AllowedOrigins, origin) && !slices.Contains(s.config.AllowedOrigins, "*") {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-ID, Server-Timing, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, X-API-Key, Content-Type, X-Request-ID, X-Request-Timeout-Ms")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// answer is the writer of one request: it remembers status and size and adds Server-Timing.
type answer struct {
	http.ResponseWriter
	call   *call
	now    func() time.Time
	status int
	bytes  int64
}

// WriteHeader sends the headers, once.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	a.Header().Set("Server-Timing", a.timing())
	a.ResponseWriter.WriteHeader(status)
}

// timing is what is known of where the time went: the stages of a prediction, all of it (model), all of the request.
func (a *answer) timing() string {
	c := a.call
	b := make([]byte, 0, 128)
	add := func(name string, took time.Duration) {
		b = strconv.AppendFloat(append(append(b, name...), ";dur="...), milliseconds(took), 'f', 3, 64)
	}
	for _, part := range []struct {
		name string
		took time.Duration
	}{{"history", c.stages.Store}, {"queue", c.stages.Queue}, {"retrieve", c.stages.Rank}, {"rerank", c.stages.Rerank}, {"model", c.model}} {
		if part.took > 0 {
			add(part.name, part.took)
			b = append(b, ", "...)
		}
	}
	add("total", a.now().Sub(c.start))
	return string(b)
}

// Write sends a part of the body.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Flush sends what is held back; gin asks for it.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
