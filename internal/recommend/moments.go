package recommend

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/seqmodel/lifelong"
)

// explain notes for each item of the answer the events that the search selected, as
// long as there is time for one more and the caller is there. from is the first event
// of the state. A panic of the model costs the moments alone.
func (r *rerank) explain(ctx context.Context, by *rescorer, st *lifelong.State, from int) {
	defer func() {
		if p := recover(); p != nil {
			r.found, r.unexplained = nil, fmt.Errorf("explain with %s: panic: %v\n%s", r.snap.info.Version, p, debug.Stack())
		}
	}()
	var explainer *lifelong.Explainer
	c, events := &r.snap.second.cost.explain, st.Len()
	start, predicted := r.s.cfg.Now(), time.Duration(0)
	next := c.ready.at(events) + c.item.at(events)
	r.found = make([][]Moment, min(r.j.k, len(r.j.out), MaxExplained))
	for i := range r.found {
		if ctx.Err() != nil {
			break
		}
		if !r.fits(c.of(next)) {
			if i == 0 {
				c.ease()
			}
			break
		}
		if explainer == nil {
			explainer = by.scorer.ExplainState(st, r.j.at)
		}
		r.found[i] = r.moments(explainer, r.j.out[i].Item, from)
		predicted += c.of(next)
		next = c.item.at(events)
	}
	c.learn(predicted, r.s.cfg.Now().Sub(start))
}

// moments are the heaviest events behind the score of an item.
func (r *rerank) moments(by *lifelong.Explainer, item int32, from int) []Moment {
	list := []Moment{}
	for _, m := range by.Moments(item, MaxMoments) {
		if !finite(m.Weight) {
			break
		}
		e := &r.events[from+m.Event]
		list = append(list, Moment{
			Item: e.Item, Title: r.snap.title(e.Item), Kind: cmp.Or(e.Kind, event.DefaultKind), Time: e.Time,
			Place: len(r.events) - from - m.Event, Weight: m.Weight,
		})
	}
	return list
}

// title is what the catalogue calls an item, "" if it has no name for it.
func (s *snapshot) title(id event.ItemID) string {
	if n, ok := s.number(id); ok {
		return s.cat.titles[n]
	}
	return ""
}
