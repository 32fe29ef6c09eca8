package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"

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

// readBody reads the whole body, at most limit bytes of it.
func (s *Server) readBody(c *gin.Context, to *bytes.Buffer, limit int64) *failure {
	r := c.Request
	tooMuch := fail(tooLarge, "more than "+strconv.FormatInt(limit, 10)+" bytes")
	if r.ContentLength > limit {
		return tooMuch
	}
	if r.ContentLength > 0 {
		to.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := to.ReadFrom(http.MaxBytesReader(c.Writer, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &over):
		return tooMuch
	case r.Context().Err() != nil:
		return failureOf(r.Context().Err())
	default:
		return bodyFailure(malformed, []event.Fault{{Detail: "was cut short"}})
	}
}
