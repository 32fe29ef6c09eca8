package recommend

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"seqrec/internal/event"
)

// appendFirst stores the events that ride in a request. It is a write: the
// request fails if it cannot be made.
func (s *Service) appendFirst(ctx context.Context, events []event.Event) (AppendResult, error) {
	if len(events) == 0 {
		return AppendResult{}, nil
	}
	if s.store == nil {
		return AppendResult{}, fmt.Errorf("append events of the request: %w", ErrStore)
	}
	r, err := s.store.Append(ctx, events)
	if err != nil {
		return r, storeError(ctx, "append events of the request", err)
	}
	return r, nil
}

// history returns the events an answer may rest on, oldest first: the bare
// history of the request, else what the store holds of the user. The events of
// the request are part of it either way. If the store fails, err says so and the
// events are what is known without it. At most limit stored events are read, in
// one call.
func (s *Service) history(ctx context.Context, req *Request, limit int) (events []event.Event, err error) {
	switch user := req.eventUser(); {
	case req.History != nil:
		events = req.History
	case user == "":
	case s.store == nil:
		err = fmt.Errorf("read history: %w", ErrStore)
	default:
		events, err = s.recent(ctx, user, limit)
	}
	return byTime(merge(events, req.Events)), err
}

// recent reads a stored history under its own deadline, which leaves at least
// half of what the request still has to the model.
func (s *Service) recent(ctx context.Context, user event.UserID, limit int) ([]event.Event, error) {
	patience := s.cfg.HistoryTimeout
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, deadline.Sub(s.cfg.Now())/2)
	}
	inner, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	events, err := s.store.Recent(inner, user, limit)
	if err != nil {
		return nil, storeError(ctx, "read history", err)
	}
	return events, nil
}

// past is a history as the two stages see it.
type past struct {
	owner  owner         // of whole
	recent []event.Event // what retrieval looks at and masks
	whole  []event.Event // what the second stage searches; nil without one
	both   bool          // whether there is a second stage
}

// past prepares the reading of a request's history.
func (s *Service) past(snap *snapshot, req *Request) past {
	if !snap.wants(req) {
		return past{}
	}
	user := req.eventUser()
	if req.History != nil {
		user = ""
	}
	return past{owner: s.states.owner(user, snap.second.Model), both: true}
}

// read fetches the history, for both stages at once. On an error there is what
// is known without the store.
func (p *past) read(ctx context.Context, s *Service, req *Request) (err error) {
	if !p.both {
		p.recent, err = s.history(ctx, req, s.cfg.HistoryLimit)
		return err
	}
	p.recent, err = s.history(ctx, req, max(s.cfg.HistoryLimit, s.cfg.RerankHistory))
	if err != nil {
		p.owner.user = "" // a history with a hole is not kept
	}
	p.whole = newest(p.recent, s.cfg.RerankHistory)
	if req.History == nil {
		p.recent = newest(p.recent, s.cfg.HistoryLimit)
		if len(p.whole) == s.cfg.RerankHistory {
			p.whole = steady(p.whole)
		}
	}
	return err
}

// steadyShare is how many times the oldest part of a full history, some of which may
// be left out, goes into it.
const steadyShare = 50

// steady is a full history without some of its oldest events, up to one in steadyShare.
// Of a user with more events than are read, every new one pushes the oldest out: if the
// search began there, no kept state would serve twice. So it begins with that event of
// the oldest part whose hash is the smallest, which stays the first until it falls off
// or a smaller one comes into that part: for about 1,000 new events, of 100,000. The
// history at hand alone decides (as in content-defined chunking), so an answer does not
// depend on what is kept.
func steady(full []event.Event) []event.Event {
	first, least := 0, uint64(math.MaxUint64)
	for i := range full[:len(full)/steadyShare] {
		if h := mark(&full[i]); h <= least { // of equal ones the newer, which stays longer
			first, least = i, h
		}
	}
	return full[first:]
}

// mark is a hash of item and time, the same on every server: FNV-1a, finished by that
// of SplitMix64.
func mark(e *event.Event) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(e.Item) {
		h = (h ^ uint64(e.Item[i])) * 0x100000001b3
	}
	h ^= uint64(e.Time)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// newest are the newest n events, or all if there are no more.
func newest(events []event.Event, n int) []event.Event { return events[max(0, len(events)-n):] }

// merge adds those of more that are not in events yet, each once. It does not
// change events.
func merge(events, more []event.Event) []event.Event {
	if len(more) == 0 {
		return events
	}
	fresh := make(map[event.Event]bool, len(more))
	for _, e := range more {
		fresh[identity(e)] = true
	}
	for _, e := range events {
		delete(fresh, identity(e))
	}
	all := append(make([]event.Event, 0, len(events)+len(fresh)), events...)
	for _, e := range more {
		if id := identity(e); fresh[id] {
			all = append(all, e.Canonical())
			delete(fresh, id)
		}
	}
	return all
}

// identity is what tells the events of one user apart; a bare history names no
// user.
func identity(e event.Event) event.Event {
	e = e.Canonical()
	e.User = ""
	return e
}

// byTime returns the events oldest first, equal times in the order given. What
// was in order already comes back as it is.
func byTime(events []event.Event) []event.Event {
	order := func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) }
	if slices.IsSortedFunc(events, order) {
		return events
	}
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, order)
	return sorted
}

// fill turns a request and its history into what a worker needs, and counts the
// events whose item the model does not know. What look has numbered of them, which
// is the newest, is not looked up again.
func (j *job) fill(req *Request, events []event.Event) (unknown int, newest int64) {
	timed, known := false, j.past.Items
	for i := range events {
		newest = max(newest, events[i].Time)
		timed = timed || events[i].Time != 0
		var n int32
		var ok bool
		if at := i - len(events) + len(known); at >= 0 {
			n, ok = known[at], known[at] >= 0
		} else {
			n, ok = j.snap.number(events[i].Item)
		}
		if !ok {
			unknown++
			continue
		}
		j.items = append(j.items, n)
		j.times = append(j.times, events[i].Time)
	}
	if !timed {
		j.times = j.times[:0]
	}
	if j.at = req.At; j.at == 0 {
		j.at = newest
	}
	j.k = req.limit()
	if !req.IncludeSeen {
		for _, n := range j.items {
			block(j.mask, n)
		}
	}
	for _, id := range req.Exclude {
		if n, ok := j.snap.number(id); ok {
			block(j.mask, n)
		}
	}
	j.fillCandidates(req.Candidates)
	return unknown, newest
}

func (j *job) fillCandidates(ids []event.ItemID) {
	j.only = ids != nil
	for _, id := range ids {
		if n, ok := j.snap.number(id); ok {
			j.candidates = append(j.candidates, n)
		}
	}
	j.candidates = sortedSet(j.candidates)
}

// limit is how many items the request wants.
func (r *Request) limit() int {
	if r.K == 0 {
		return DefaultK
	}
	return r.K
}
