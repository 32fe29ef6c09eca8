package recommend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel/lifelong"
)

// The second stage. The caller's goroutine runs it on what a worker retrieved,
// with one of the version's rescorers, of which there are as many as workers.

// shortestRerank is the fewest events worth searching when the whole history does
// not fit.
const shortestRerank = 32

// rerank is one request's way through the second stage.
type rerank struct {
	s      *Service
	snap   *snapshot
	j      *job
	owner  owner
	events []event.Event // parallel to j.past

	use         RerankUse
	why         string     // what kept it from the whole history, "" if nothing did
	broke       error      // why is that the model broke
	scored      time.Time  // when all log odds were there
	found       [][]Moment // of each item of the answer; nil when not asked for
	unexplained error      // that the model broke on explaining
}

// wants says whether the second stage of a snapshot is to answer a request.
func (s *snapshot) wants(req *Request) bool { return s.second != nil && !req.NoRerank }

// look notes a whole history in the numbers of the second stage. Items that it
// does not know keep their place.
func (j *job) look(events []event.Event) {
	timed, kinds := false, j.snap.second.Kinds
	h := &j.past
	for i := range events {
		e := &events[i]
		n, ok := j.snap.number(e.Item)
		if !ok {
			n = -1
		}
		h.Items, h.Times = append(h.Items, n), append(h.Times, e.Time)
		timed = timed || e.Time != 0
		if len(kinds) > 0 {
			h.Kinds = append(h.Kinds, kinds[cmp.Or(e.Kind, event.DefaultKind)])
		}
	}
	if !timed {
		h.Times = h.Times[:0]
	}
}

// widen says how much is to be retrieved for the second stage: as many as the service
// is told to, if it is.
func (j *job) widen(told int) {
	j.wide = cmp.Or(told, j.snap.second.Candidates, defaultCandidates)
	if j.only {
		j.wide = len(j.candidates)
	}
}

// run re-ranks j.out on the best rung that fits before the job is due, and explains
// in what time is left. It fails only when the caller has left.
func (r *rerank) run(ctx context.Context, explain bool) error {
	r.use = RerankUse{Rung: RerankNone}
	if len(r.j.out) == 0 {
		return nil
	}
	scorer, err := r.scorer(ctx)
	if scorer == nil {
		r.why = "the deadline was too short for the second stage"
		return err
	}
	second := r.snap.second
	events, fresh := r.rung()
	if events == 0 {
		second.rescorers <- scorer
		second.cost.ease()
		r.why = "the deadline was too short for the second stage"
		return nil
	}
	start := r.s.cfg.Now()
	predicted := second.cost.of(second.cost.idle(events, fresh, len(r.j.out)))
	err = r.score(scorer, events, func(st *lifelong.State, from int) {
		if explain {
			r.explain(ctx, scorer, st, from)
		}
	})
	if err != nil || r.unexplained != nil {
		scorer = second.newRescorer() // the scratch of the other cannot be trusted any more
		r.s.cfg.Log.Error("a request broke the second stage", "version", r.snap.info.Version, "error", cmp.Or(err, r.unexplained))
	}
	second.rescorers <- scorer
	if err != nil {
		r.s.states.forget(r.owner.user)
		r.use = RerankUse{Rung: RerankNone}
		r.why, r.broke = "the second stage could not score this history", err
		return nil
	}
	second.cost.learn(predicted, r.scored.Sub(start)) // explaining has a cost of its own
	if err := contextError(ctx); explain && err != nil && !errors.Is(err, ErrDeadline) {
		return err
	}
	return nil
}

// scorer waits for a free rescorer. It is nil when the time is over.
func (r *rerank) scorer(ctx context.Context) (*rescorer, error) {
	select {
	case free := <-r.snap.second.rescorers:
		return free, nil
	default:
	}
	var timeout <-chan time.Time
	if !r.j.due.IsZero() {
		timer := time.NewTimer(max(r.j.due.Sub(r.s.cfg.Now()), 0))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case free := <-r.snap.second.rescorers:
		return free, nil
	case <-timeout:
		return nil, nil
	case <-ctx.Done():
		if err := contextError(ctx); err != ErrDeadline { //nolint:errorlint // contextError gives it as it is
			return nil, err
		}
		return nil, nil
	}
}

// rung chooses how many of the newest events are searched: all if that fits, else
// the largest half, quarter, ... that does, 0 if none. fresh is how many of them
// are in no state yet.
func (r *rerank) rung() (events, fresh int) {
	c := &r.snap.second.cost
	whole := r.j.past.Len()
	fits := func(events, fresh int) bool { return r.fits(c.of(c.idle(events, fresh, len(r.j.out)))) }
	r.use.Rung = RerankWhole
	if fresh = whole - r.s.states.covered(r.owner, &r.j.past); fits(whole, fresh) {
		return whole, fresh
	}
	r.use.Rung, r.why = RerankShorter, "the deadline was too short for the second stage on the whole history"
	for n := whole / 2; n >= shortestRerank; n /= 2 {
		if fits(n, n) {
			return n, n
		}
	}
	r.use.Rung = RerankNone
	return 0, 0
}

// fits reports whether work that takes so long is done before the job is due.
func (r *rerank) fits(work time.Duration) bool {
	return r.j.due.IsZero() || !r.s.cfg.Now().Add(work).After(r.j.due)
}

// score runs the rescorer over the newest events, then has the state explained, whose
// first event is number from of the history. A panic of the model is an error, like
// scores that are no numbers.
func (r *rerank) score(by *rescorer, events int, explain func(st *lifelong.State, from int)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("re-rank with %s: panic: %v\n%s", r.snap.info.Version, p, debug.Stack())
		}
	}()
	from := r.j.past.Len() - events
	search := func(st *lifelong.State) {
		if err = by.score(r.j, st); err != nil {
			return
		}
		blend(r.j.out, by.odds, r.snap.second.Blend)
		r.use.Events, r.use.Candidates, r.use.Oldest = events, len(r.j.out), r.events[from].Time
		r.scored = r.s.cfg.Now()
		explain(st, from)
	}
	if from == 0 {
		r.s.states.lend(r.owner, &r.j.past, search)
		return err
	}
	st := r.owner.model.NewState()
	st.Append(after(&r.j.past, from))
	search(st)
	return err
}

// score sets by.odds to the log odds of what was retrieved.
func (by *rescorer) score(j *job, st *lifelong.State) error {
	by.items, by.odds = by.items[:0], slices.Grow(by.odds[:0], len(j.out))[:len(j.out)]
	for i := range j.out {
		if !finite(j.out[i].Score) {
			return fmt.Errorf("the retrieval score of item number %d is %v", j.out[i].Item, j.out[i].Score)
		}
		by.items = append(by.items, j.out[i].Item)
	}
	by.scorer.ScoreState(by.odds, st, by.items, j.at)
	for i, x := range by.odds {
		if !finite(x) {
			return fmt.Errorf("the log odds of item number %d are %v", by.items[i], x)
		}
	}
	return nil
}

// blend gives every candidate its final score (see lifelong.Blend) and sorts by it,
// best first, equal ones by lower item number.
func blend(list []kernel.Scored, odds []float32, weight float64) {
	scores := make([]float32, len(list))
	for i := range list {
		scores[i] = list[i].Score
	}
	lifelong.Blend(scores, scores, odds, weight)
	for i := range list {
		list[i].Score = scores[i]
	}
	slices.SortFunc(list, func(a, b kernel.Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
}
