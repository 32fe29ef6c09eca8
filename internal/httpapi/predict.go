package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"seqrec/internal/event"
	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

// maxModel is the length limit of a model version in bytes.
const maxModel = 64

// The members of the objects that are read here; the places are the cases of the read functions below.
func predictMembers() []string {
	return []string{"user", "history", "events", "k", "candidates", "exclude", "include_seen", "strict", "model", "rerank", "explain"}
}

func eventMembers() []string { return []string{"item", "kind", "time"} }

// predictReader reads predict requests from one body.
type predictReader struct {
	*scanner
	now     time.Time
	members []string // predictMembers
	events  []string // eventMembers
	kind    string   // the last one read
}

func newPredictReader(sc *scanner, now time.Time) *predictReader {
	return &predictReader{scanner: sc, now: now, members: predictMembers(), events: eventMembers()}
}

// request reads one PredictRequest of the contract.
func (p *predictReader) request() recommend.Request {
	var r recommend.Request
	seen := p.object(p.members, func(member int) {
		switch member {
		case 0:
			r.User = event.UserID(p.id(""))
		case 1:
			r.History = p.eventList(recommend.MaxHistory, false)
		case 2:
			r.Events = p.eventList(recommend.MaxEvents, true)
		case 3:
			r.K = p.integer(1, recommend.MaxK)
		case 4:
			r.Candidates = p.idList(recommend.MaxCandidates)
		case 5:
			r.Exclude = p.idList(recommend.MaxExclude)
		case 6:
			r.IncludeSeen = p.boolean()
		case 7:
			r.Strict = p.boolean()
		case 8:
			r.Model = p.version()
		case 9:
			r.NoRerank = !p.boolean()
		case 10:
			r.Explain = p.boolean()
		}
	})
	if seen&1 == 0 && len(r.Events) > 0 {
		p.faultAt("/user", "is required with events")
	}
	for i := range r.Events {
		r.Events[i].User = r.User
	}
	p.sameTimes(r.History)
	return r
}

// version reads the name of a model version.
func (p *predictReader) version() string {
	text, ok := p.text()
	switch {
	case ok && text == "":
		p.fault("must not be empty")
	case len(text) > maxModel:
		p.fault("must not be longer than " + strconv.Itoa(maxModel) + " characters")
	}
	return text
}

// eventList reads events; timed ones will be stored and need their time.
func (p *predictReader) eventList(most int, timed bool) []event.Event {
	list := []event.Event{}
	p.list(most, func(int) {
		if len(list) == cap(list) && len(list) == 0 {
			list = make([]event.Event, 0, 256)
		}
		list = append(list, p.event(timed))
	})
	return list
}

// noTime marks an event of a bare history without a time until the whole history is known.
const noTime = -1

func (p *predictReader) event(timed bool) event.Event {
	e := event.Event{Time: noTime}
	seen := p.object(p.events, func(member int) {
		switch member {
		case 0:
			e.Item = event.ItemID(p.id(""))
		case 1:
			p.kind = p.id(p.kind)
			e.Kind = event.Kind(p.kind)
		case 2:
			e.Time = p.time()
		}
	})
	if seen&1 == 0 {
		p.faultAt("/item", "is required")
	}
	if timed && seen&4 == 0 {
		p.faultAt("/time", "is required")
	}
	return e
}

// sameTimes holds a bare history to its rule: all events have a time or none has; 0 stands for none.
func (p *predictReader) sameTimes(history []event.Event) {
	without := 0
	for i := range history {
		if history[i].Time == noTime {
			history[i].Time = 0
			without++
		}
	}
	if without > 0 && without < len(history) {
		p.faultAt("/history", "must have a time at every event or at none")
	}
}

// time reads a time in milliseconds or RFC 3339.
func (p *predictReader) time() int64 {
	raw := p.value()
	if raw == nil {
		return 0
	}
	var ms int64
	var err error
	if raw[0] == '"' {
		var t time.Time
		t, err = time.Parse(time.RFC3339Nano, unquote(raw))
		ms = t.UnixMilli()
	} else {
		ms, err = strconv.ParseInt(string(raw), 10, 64)
	}
	if err != nil {
		p.fault("must be an integer of Unix milliseconds or an RFC 3339 string")
		return 0
	}
	// The rules for a time are those of an event; the placeholders make the rest of it sound.
	for _, f := range (event.Event{User: "-", Item: "-", Time: ms}).Validate(p.now) {
		p.fault(f.Detail)
	}
	return ms
}

func (p *predictReader) idList(most int) []event.ItemID {
	list := []event.ItemID{}
	p.list(most, func(int) { list = append(list, event.ItemID(p.id(""))) })
	return list
}

// predict answers POST /v1/predict.
func (s *Server) predict(c *gin.Context) {
	buf := s.takeBuffer()
	defer s.giveBuffer(buf)
	if f := s.readBody(c, buf, s.config.MaxBody); f != nil {
		s.refuse(c, f)
		return
	}
	sc := s.takeScanner(buf.Bytes())
	defer s.giveScanner(sc)
	req := newPredictReader(sc, s.now()).request()
	if f := sc.end(); f != nil {
		s.refuse(c, f)
		return
	}
	call := callOf(c.Request.Context())
	if f := mayAppend(call, &req); f != nil {
		s.refuse(c, f)
		return
	}
	ans, err := s.service.Predict(c.Request.Context(), req)
	if err != nil {
		s.refuse(c, predictError(err))
		return
	}
	call.model, call.stages = ans.Took, ans.Stages
	s.metrics.answered(&ans)
	s.sendJSON(c, wire.Predict200JSONResponse(answerOf(&ans, len(req.Events) > 0)))
}

// mayAppend holds a request with events to the scope that sending events needs.
func mayAppend(c *call, req *recommend.Request) *failure {
	if len(req.Events) > 0 && c.scopes != nil && !c.scopes.allows(ScopeEvents) {
		return fail(forbidden, "events need the scope "+ScopeEvents+" too")
	}
	return nil
}

// predictError makes a model that the request names and nobody knows a fault of the body: it is no resource here.
func predictError(err error) error {
	if errors.Is(err, recommend.ErrUnknownModel) {
		return invalidBody([]event.Fault{{Pointer: "/model", Detail: "names no version that can answer"}})
	}
	return err
}

// predictBatch answers POST /v1/predict:batch.
func (s *Server) predictBatch(c *gin.Context) {
	buf := s.takeBuffer()
	defer s.giveBuffer(buf)
	if f := s.readBody(c, buf, s.config.MaxBody); f != nil {
		s.refuse(c, f)
		return
	}
	sc := s.takeScanner(buf.Bytes())
	defer s.giveScanner(sc)
	reqs, failures := readBatch(sc, s.now())
	if f := sc.end(); f != nil {
		s.refuse(c, f)
		return
	}
	s.sendJSON(c, wire.PredictBatch200JSONResponse{Results: s.predictAll(c, reqs, failures)})
}

// readBatch reads a PredictBatchRequest. A faulty request leaves its faults in its own failure, with pointers from
// where it starts; faults of the document itself stay with the scanner.
func readBatch(sc *scanner, now time.Time) ([]recommend.Request, []*failure) {
	var reqs []recommend.Request
	var failures []*failure
	p := newPredictReader(sc, now)
	seen := p.object([]string{"requests"}, func(int) {
		p.list(recommend.MaxBatch, func(i int) {
			outer := p.faults
			p.faults, p.base = nil, len("/requests/"+strconv.Itoa(i))
			reqs = append(reqs, p.request())
			var f *failure
			if len(p.faults) > 0 {
				f = invalidBody(p.faults)
			}
			failures = append(failures, f)
			p.faults, p.base = outer, 0
		})
		if len(reqs) == 0 && len(p.faults) == 0 {
			p.fault("must have at least 1 element")
		}
	})
	if seen == 0 {
		p.faultAt("/requests", "is required")
	}
	return reqs, failures
}

// predictAll asks the service for the sound ones of a batch and joins answers and failures in order.
func (s *Server) predictAll(c *gin.Context, reqs []recommend.Request, failures []*failure) []wire.PredictResult {
	call := callOf(c.Request.Context())
	var sound []recommend.Request
	var places []int
	for i := range reqs {
		if failures[i] == nil {
			failures[i] = mayAppend(call, &reqs[i])
		}
		if failures[i] == nil {
			sound, places = append(sound, reqs[i]), append(places, i)
		}
	}
	results := make([]wire.PredictResult, len(reqs))
	if len(sound) > 0 {
		for i, r := range s.service.PredictBatch(c.Request.Context(), sound) {
			place := places[i]
			if r.Err != nil {
				failures[place] = failureOf(predictError(r.Err))
				continue
			}
			s.metrics.answered(&r.Answer)
			call.model = max(call.model, r.Answer.Took)
			results[place].Answer = new(answerOf(&r.Answer, len(reqs[place].Events) > 0))
		}
	}
	for i, f := range failures {
		if f != nil {
			results[i].Problem = new(f.problem(""))
		}
	}
	return results
}

// answerOf is an answer in the form of the contract.
func answerOf(a *recommend.Answer, appended bool) wire.Answer {
	w := wire.Answer{
		RecommendationId: a.RecommendationID,
		Model:            wire.ModelRef(a.Model),
		Items:            make([]wire.ScoredItem, len(a.Items)),
		History:          wire.HistoryUse{Used: a.History.Used, Unknown: a.History.Unknown, Newest: a.History.Newest},
		Rung:             a.Rung,
		Degraded:         a.Degraded,
		Short:            optional(a.Short),
		TookMs:           milliseconds(a.Took),
	}
	if u := a.Rerank; u != nil {
		w.Rerank = &wire.RerankUse{Rung: u.Rung, Events: u.Events, Candidates: u.Candidates, Oldest: optional(u.Oldest)}
	}
	for i := range a.Items {
		item := &a.Items[i]
		w.Items[i] = wire.ScoredItem{Id: string(item.ID), Title: optional(item.Title), Score: item.Score, Source: item.Source, Reason: optional(item.Reason)}
		if item.Moments != nil {
			w.Items[i].Moments = new(momentsOf(item.Moments))
		}
	}
	if appended {
		w.Appended = &wire.Appended{Accepted: a.Appended.Accepted, Duplicate: a.Appended.Duplicate, Dropped: optional(a.Appended.Dropped)}
	}
	return w
}

func momentsOf(list []recommend.Moment) []wire.Moment {
	out := make([]wire.Moment, len(list))
	for i, m := range list {
		out[i] = wire.Moment{Item: string(m.Item), Title: optional(m.Title), Kind: string(m.Kind), Time: optional(m.Time), Place: m.Place, Weight: m.Weight}
	}
	return out
}

// sendJSON answers 200.
func (s *Server) sendJSON(c *gin.Context, body any) { s.sendStatus(c, http.StatusOK, body) }

func (s *Server) sendStatus(c *gin.Context, status int, body any) {
	buf := s.takeBuffer()
	defer s.giveBuffer(buf)
	if err := json.NewEncoder(buf).Encode(body); err != nil {
		s.refuse(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", mediaJSON)
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(buf.Bytes()) // a client that is gone does not read it
}
