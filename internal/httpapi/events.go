package httpapi

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"seqrec/internal/event"
	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

const (
	// maxEvents is how many events one request may carry.
	maxEvents = 10000
	// maxLine is the length limit of one event's text in bytes.
	maxLine = 64 << 10
)

// inbox sorts the events of one request: those that can be stored, and those that are rejected with their reason.
type inbox struct {
	now      time.Time
	n        int // events seen
	good     []event.Event
	rejected []wire.Rejected
}

// take reads one event's text.
func (in *inbox) take(text []byte) {
	index := in.n
	in.n++
	if index >= maxEvents {
		return
	}
	if len(text) > maxLine {
		in.reject(index, []event.Fault{{Detail: "is longer than " + strconv.Itoa(maxLine) + " bytes"}})
		return
	}
	e, faults := event.Decode(text, in.now)
	if len(faults) > 0 {
		in.reject(index, faults)
		return
	}
	in.good = append(in.good, e)
}

func (in *inbox) reject(index int, faults []event.Fault) {
	in.rejected = append(in.rejected, wire.Rejected{Index: index, Problem: invalidBody(faults).problem("")})
}

// lines reads newline-delimited JSON; a blank line is none.
func (in *inbox) lines(body []byte) {
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			in.take(line)
		}
	}
}

// array reads a JSON array. Only its frame must be sound JSON for the neighbours of a bad event to be found, so text
// that is not UTF-8 and members given twice are left for take to see.
func (in *inbox) array(body []byte) *failure {
	sc := &scanner{dec: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	if sc.open('[', "must be an array of events") {
		for sc.more() {
			if raw := sc.value(); raw != nil {
				in.take(raw)
			}
		}
	}
	return sc.end()
}

// appendEvents answers POST /v1/events.
func (s *Server) appendEvents(c *gin.Context) {
	buf := s.takeBuffer()
	defer s.giveBuffer(buf)
	if f := s.readBody(c, buf, s.config.MaxEventsBody); f != nil {
		s.refuse(c, f)
		return
	}
	in := inbox{now: s.now(), rejected: []wire.Rejected{}}
	if mediaOf(c.Request) == mediaNDJSON {
		in.lines(buf.Bytes())
	} else if f := in.array(buf.Bytes()); f != nil {
		s.refuse(c, f)
		return
	}
	if in.n > maxEvents {
		s.refuse(c, invalidBody([]event.Fault{{Detail: "must have at most " + plural(maxEvents, "event") + ", has " + strconv.Itoa(in.n)}}))
		return
	}
	var r recommend.AppendResult
	if len(in.good) > 0 {
		var err error
		if r, err = s.service.Append(c.Request.Context(), in.good); err != nil {
			s.refuse(c, err)
			return
		}
	}
	s.countEvents(&in, r)
	s.sendStatus(c, http.StatusAccepted, wire.AppendAnswer{
		Accepted: r.Accepted, Duplicate: r.Duplicate, Dropped: optional(r.Dropped), Rejected: in.rejected,
	})
}

func (s *Server) countEvents(in *inbox, r recommend.AppendResult) {
	s.metrics.events.WithLabelValues("accepted").Add(float64(r.Accepted))
	s.metrics.events.WithLabelValues("duplicate").Add(float64(r.Duplicate))
	s.metrics.events.WithLabelValues("dropped").Add(float64(r.Dropped))
	s.metrics.events.WithLabelValues("rejected").Add(float64(len(in.rejected)))
	for i := range in.good {
		s.metrics.eventAges.Observe(in.now.Sub(time.UnixMilli(in.good[i].Time)).Seconds())
	}
}
