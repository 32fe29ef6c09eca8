package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"seqrec/internal/event"
)

const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"
)

// keptBuffer is the largest body buffer that is kept for the next request.
const keptBuffer = 1 << 20

// mediaOf is the content type without parameters, in lower case.
func mediaOf(r *http.Request) string {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func (s *Server) takeBuffer() *bytes.Buffer { return s.bodies.Get().(*bytes.Buffer) }

func (s *Server) giveBuffer(b *bytes.Buffer) {
	if b.Cap() > keptBuffer {
		return
	}
	b.Reset()
	s.bodies.Put(b)
}

// firstRead is how much memory a body gets before it has come: what a client only announces costs no more than that.
const firstRead = 64 << 10

// readBody reads the whole body, at most limit bytes of it, within the deadline of the request. On the data plane the
// request takes its slot then.
func (s *Server) readBody(c *gin.Context, to *bytes.Buffer, limit int64) *failure {
	r := c.Request
	tooMuch := fail(tooLarge, "more than "+strconv.FormatInt(limit, 10)+" bytes")
	if r.ContentLength > limit {
		return tooMuch
	}
	if r.ContentLength > 0 {
		to.Grow(min(int(r.ContentLength), firstRead) + bytes.MinRead)
	}
	deadline, _ := r.Context().Deadline()
	conn := http.NewResponseController(c.Writer)
	if err := conn.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return failureOf(err)
	}
	_, err := to.ReadFrom(http.MaxBytesReader(c.Writer, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		_ = conn.SetReadDeadline(time.Time{}) // a connection that cannot be given one does not need it lifted
		if call := callOf(r.Context()); call.place != nil {
			return s.enter(call, false)
		}
		return nil
	case errors.As(err, &over):
		return tooMuch
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(r.Context().Err(), context.DeadlineExceeded):
		return fail(malformed, "the body did not arrive within the deadline")
	case r.Context().Err() != nil:
		return failureOf(r.Context().Err())
	default:
		return bodyFailure(malformed, []event.Fault{{Detail: "was cut short"}})
	}
}
