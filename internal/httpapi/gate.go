package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"seqrec/internal/event"
)

// gate lets a request of an operation in: key and scope, the key's rate, a slot among those in flight, a deadline.
// Probes pass freely. What is refused here has cost nothing yet.
func (s *Server) gate(op *operation) gin.HandlerFunc {
	return func(c *gin.Context) {
		call := callOf(c.Request.Context())
		call.operation = op.id
		if op.plane == planeProbes {
			c.Next()
			return
		}
		if f := s.admit(call, op, c.Request); f != nil {
			s.refuse(c, f)
			return
		}
		if op.plane == planeData {
			if f := s.enter(call, len(op.media) > 0); f != nil {
				s.refuse(c, f)
				return
			}
			defer call.leave()
		}
		timeout, f := s.timeout(c.Request, op)
		if f != nil {
			s.refuse(c, f)
			return
		}
		if timeout > 0 {
			ctx, cancel := context.WithTimeout(c.Request.Context(), timeout)
			defer cancel()
			c.Request = c.Request.WithContext(ctx)
		}
		c.Next()
	}
}

// enter gives a call its place: one of the slots in flight, or, while its body is still to come, one of those that
// receive. Without that difference, a few hundred clients who send slowly would keep everybody out.
func (s *Server) enter(c *call, body bool) *failure {
	places := s.slots
	if body {
		places = s.receiving
	}
	select {
	case places <- struct{}{}:
	default:
		s.metrics.shed.Inc()
		return &failure{kind: overloaded, retry: 1}
	}
	c.leave() // the place before, if any
	c.place = places
	return nil
}

// leave gives the place of a call back.
func (c *call) leave() {
	if c.place != nil {
		<-c.place
		c.place = nil
	}
}

// admit checks the key of a request: known, allowed, within its rate.
func (s *Server) admit(call *call, op *operation, r *http.Request) *failure {
	key, f := s.keys.find(r)
	if f != nil {
		return f
	}
	call.key, call.scopes = key.Name, key
	if !key.allows(op.scopes...) {
		return fail(forbidden, "needs the scope "+strings.Join(op.scopes, " or "))
	}
	if key.limit == nil {
		return nil
	}
	now := s.now()
	reservation := key.limit.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	reservation.CancelAt(now)
	s.metrics.limited.Inc()
	return &failure{kind: tooManyRequests, retry: int((wait + time.Second - 1) / time.Second)}
}

// timeout is what the client asks for, within the server's own; 0 for an export, which lasts as long as it is read.
func (s *Server) timeout(r *http.Request, op *operation) (time.Duration, *failure) {
	limit := s.config.Timeout
	if op.streams {
		limit = 0
	}
	asked := r.Header.Get("X-Request-Timeout-Ms")
	if asked == "" {
		return limit, nil
	}
	ms, err := strconv.ParseUint(asked, 10, 31)
	if err != nil || ms == 0 {
		return 0, &failure{kind: malformed, faults: []fault{{Parameter: "X-Request-Timeout-Ms",
			Fault: event.Fault{Detail: "must be a whole number of milliseconds, at least 1"}}}}
	}
	wanted := time.Duration(ms) * time.Millisecond
	if limit > 0 {
		wanted = min(wanted, limit)
	}
	return wanted, nil
}
