package recommend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/seqmodel/lifelong"
)

// Service answers requests. All methods are safe for concurrent use.
type Service struct {
	cfg      Config
	store    Store    // nil: bare histories only
	versions Versions // nil: Serve is the only way to a model
	batcher  *batcher
	jobs     jobs
	current  atomic.Pointer[snapshot]
	states   *states // of the current snapshot's second stage

	loadMu   sync.Mutex // held while a version is loaded and put in place
	swapMu   sync.Mutex // held while current is replaced
	refused  sync.Map   // version -> why
	left     sync.Map   // version -> why the service went back from it by itself
	aside    sync.Map   // version -> *core, held beside the one that serves
	shadow   atomic.Pointer[shadow]
	guard    atomic.Pointer[guard] // of the version put in place last
	retreats sync.WaitGroup
	closed   atomic.Bool
}

// New starts a service without a model; Reload or Serve gives it one. store may
// be nil, then only bare histories are answered. versions may be nil.
func New(cfg Config, store Store, versions Versions) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Service{cfg: cfg, store: store, versions: versions, batcher: newBatcher(cfg), states: newStates(cfg.RerankCacheBytes)}, nil
}

// Close finishes the requests that wait and lets the model go. Store and
// versions are the caller's to close, afterwards.
func (s *Service) Close() error {
	s.closed.Store(true)
	s.batcher.Close()
	s.retreats.Wait()
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	s.letAsideGo()
	s.swapMu.Lock()
	defer s.swapMu.Unlock()
	s.publish(nil)
	return nil
}

// take returns the current snapshot, retained for the caller, if it is the one
// asked for.
func (s *Service) take(version string) (*snapshot, error) {
	for {
		snap := s.current.Load()
		if snap == nil {
			if s.closed.Load() {
				return nil, ErrClosed
			}
			return nil, ErrNoModel
		}
		if version != "" && version != "current" && version != snap.info.Version {
			return nil, fmt.Errorf("version %q is not loaded: %w", version, ErrUnknownModel)
		}
		if snap.retain() {
			return snap, nil
		}
	}
}

// publish puts a snapshot in place of the current one and lets that go. Callers
// hold swapMu.
func (s *Service) publish(snap *snapshot) {
	if old := s.current.Swap(snap); old != nil {
		old.release()
	}
	s.states.keep(snap.reranker())
}

// reranker is the model of the second stage, nil without one.
func (s *snapshot) reranker() *lifelong.Model {
	if s == nil || s.second == nil {
		return nil
	}
	return s.second.Model
}

// States tells how the search states of users are kept.
func (s *Service) States() StateStats { return s.states.stats() }

// Predict answers what the user of the request will want next.
//
// Errors: ErrInvalid (as *InvalidError), ErrNoModel, ErrUnknownModel, ErrStore
// (events could not be stored; or strict and no history), ErrBusy and ErrDeadline
// (strict), ErrDeadline if the deadline had passed at the door, context.Canceled,
// ErrClosed.
func (s *Service) Predict(ctx context.Context, req Request) (Answer, error) {
	start := s.cfg.Now()
	p := Prediction{}
	ans, err := s.predict(ctx, &req, &p)
	s.done(start, &ans, err, &p)
	return ans, err
}

// done stamps an answer and tells the observer.
func (s *Service) done(start time.Time, ans *Answer, err error, p *Prediction) {
	p.Took = s.cfg.Now().Sub(start)
	p.Err = err
	if err == nil {
		ans.Took, ans.Stages = p.Took, p.Stages
		p.Rerank = ans.Rerank
		p.Rung, p.Degraded, p.Items = ans.Rung, ans.Degraded != nil, len(ans.Items)
		p.Used, p.Unknown = ans.History.Used, ans.History.Unknown
		if len(ans.Items) > 0 {
			p.Best = ans.Items[0].Score
		}
	}
	s.cfg.Observer.Predicted(*p)
}

func (s *Service) predict(ctx context.Context, req *Request, p *Prediction) (Answer, error) {
	if f := req.Validate(); len(f) > 0 {
		return Answer{}, &InvalidError{Faults: f}
	}
	if err := contextError(ctx); err != nil {
		return Answer{}, err
	}
	snap, err := s.take(req.Model)
	if err != nil {
		return Answer{}, err
	}
	defer snap.release()

	read := s.cfg.Now()
	appended, err := s.appendFirst(ctx, req.Events)
	if err != nil {
		return Answer{}, err
	}
	past := s.past(snap, req)
	historyErr := past.read(ctx, s, req)
	p.Stages.Store = s.cfg.Now().Sub(read)
	if historyErr != nil && (req.Strict || errors.Is(historyErr, context.Canceled)) {
		return Answer{}, historyErr
	}
	ans, err := s.rankHistory(ctx, snap, req, &past, p)
	if err != nil {
		return Answer{}, err
	}
	if sh := s.shadow.Load(); sh != nil {
		sh.offer(s.batcher, req, &past, &ans)
	}
	ans.Appended = appended
	if historyErr != nil && ans.Degraded == nil {
		ans.Degraded = new("the stored history could not be read")
	}
	return ans, nil
}

// rankHistory fills a job, has it ranked and turns the result into an answer.
func (s *Service) rankHistory(ctx context.Context, snap *snapshot, req *Request, past *past, p *Prediction) (Answer, error) {
	snap.refs.Add(1) // the job's own; the caller's keeps it above zero
	j := s.jobs.take(snap)
	if past.both {
		j.look(past.whole)
	}
	unknown, newest := j.fill(req, past.recent)
	if past.both {
		j.widen(s.cfg.RerankCandidates)
	}
	ans, err := s.climb(ctx, snap, j, req, past, p)
	if err != nil {
		return Answer{}, err
	}
	ans.History.Unknown, ans.History.Newest = unknown, newest
	return ans, nil
}

// climb gets the best rung that time and load allow for a filled job. It
// consumes the job.
func (s *Service) climb(ctx context.Context, snap *snapshot, j *job, req *Request, past *past, p *Prediction) (Answer, error) {
	if len(j.items) == 0 || j.only && len(j.candidates) == 0 { // nothing to go by, or nothing to rank
		defer s.jobs.give(j)
		if len(j.items) == 0 {
			s.states.forget(past.owner.user) // of whom nothing may be held any more
		}
		return s.popular(snap, j, req), nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		j.due = deadline.Add(-s.cfg.Reserve)
	}
	how, err := s.run(ctx, j, p)
	if how == finished {
		defer s.jobs.give(j)
	}
	switch {
	case err == nil && how == finished && j.rung != "":
		return s.settle(ctx, snap, j, req, past, p)
	case how == gone || errors.Is(err, ErrClosed):
		return Answer{}, cmp.Or(err, contextError(ctx))
	case err == nil:
		err = ErrDeadline
		if how == finished {
			s.judge(snap.info.Version, p, false) // it waited too long
		}
	}
	if req.Strict {
		return Answer{}, err
	}
	ans := s.popular(snap, j, req)
	ans.Degraded = new(degradedBy(err))
	return ans, nil
}

// settle turns what a worker ranked into an answer, by way of the second stage if
// there is one.
func (s *Service) settle(ctx context.Context, snap *snapshot, j *job, req *Request, past *past, p *Prediction) (Answer, error) {
	r := rerank{s: s, snap: snap, j: j, owner: past.owner, events: past.whole}
	defer func() { s.judge(snap.info.Version, p, r.broke != nil || r.unexplained != nil) }()
	if j.rung != RungModel && req.Strict {
		return Answer{}, ErrDeadline
	}
	if j.wide > 0 {
		start := s.cfg.Now()
		err := r.run(ctx, req.Explain)
		if len(j.out) > 0 {
			p.Stages.Rerank = s.cfg.Now().Sub(start)
		}
		if err != nil {
			return Answer{}, err
		}
		if r.why != "" && req.Strict {
			return Answer{}, cmp.Or(r.broke, ErrDeadline)
		}
	}
	ans := s.answer(snap, j, j.out[:min(j.k, len(j.out))], j.rung, req.Explain)
	ans.History.Used = j.used
	if j.wide > 0 {
		ans.Rerank = &r.use
		for i, found := range r.found {
			ans.Items[i].Moments = found
		}
	}
	switch {
	case j.rung != RungModel:
		ans.Degraded = new("the deadline was too short for the model on the whole history")
	case r.why != "":
		ans.Degraded = &r.why
	}
	return ans, nil
}

// popular is the answer of the last rung.
func (s *Service) popular(snap *snapshot, j *job, req *Request) Answer {
	ans := s.answer(snap, j, nil, RungPopular, req.Explain)
	if snap.wants(req) {
		ans.Rerank = &RerankUse{Rung: RerankNone}
	}
	return ans
}

// run queues a job and waits for it. how is finished if the job is the caller's
// again, which it is too when it never got into the queue. A version that broke is
// judged here, one that ranked by the caller, once all stages are through.
func (s *Service) run(ctx context.Context, j *job, p *Prediction) (how outcome, err error) {
	if err := s.batcher.submit(j); err != nil {
		return finished, err
	}
	how = s.batcher.wait(ctx, j)
	if how != finished {
		return how, nil
	}
	p.Stages.Queue, p.Stages.Rank = j.started.Sub(j.queued), j.took
	if j.err != nil {
		s.judge(j.snap.info.Version, p, true)
		s.cfg.Log.Error("a request broke its ranker", "version", j.snap.info.Version, "error", j.err)
	}
	return how, j.err
}

// degradedBy puts a failure into words that may leave the house.
func degradedBy(err error) string {
	switch {
	case errors.Is(err, ErrBusy):
		return "too many requests are waiting"
	case errors.Is(err, ErrDeadline):
		return "the deadline was too short for the model"
	}
	return "the model could not rank this history"
}

// Similar returns the items closest to a set of items, none of the set among
// them. Unknown items are dropped and counted in History.Unknown. Errors are
// those of Predict, as if strict.
func (s *Service) Similar(ctx context.Context, items []event.ItemID, k int) (Answer, error) {
	start := s.cfg.Now()
	p := Prediction{}
	ans, err := s.similar(ctx, items, k, &p)
	s.done(start, &ans, err, &p)
	return ans, err
}

func (s *Service) similar(ctx context.Context, items []event.ItemID, k int, p *Prediction) (Answer, error) {
	req := Request{K: k, History: make([]event.Event, len(items)), Strict: true}
	for i, id := range items {
		req.History[i].Item = id
	}
	if f := validateSimilar(items, k); len(f) > 0 {
		return Answer{}, &InvalidError{Faults: f}
	}
	if err := contextError(ctx); err != nil {
		return Answer{}, err
	}
	snap, err := s.take("")
	if err != nil {
		return Answer{}, err
	}
	defer snap.release()
	snap.refs.Add(1)
	j := s.jobs.take(snap)
	j.near = true
	unknown, _ := j.fill(&req, req.History)
	ans := Answer{Short: "none of the items is known to the model"}
	if len(j.items) == 0 {
		s.jobs.give(j)
		ans.RecommendationID, ans.Model = s.cfg.NewID(), ModelRef{snap.info.Name, snap.info.Version}
	} else if ans, err = s.nearest(ctx, snap, j, p); err != nil {
		return Answer{}, err
	}
	ans.Rung, ans.History.Unknown = RungSimilar, unknown
	return ans, nil
}

// nearest has a near job ranked. It consumes the job.
func (s *Service) nearest(ctx context.Context, snap *snapshot, j *job, p *Prediction) (Answer, error) {
	how, err := s.run(ctx, j, p)
	if how != finished {
		return Answer{}, contextError(ctx)
	}
	defer s.jobs.give(j)
	if err != nil {
		return Answer{}, err
	}
	s.judge(snap.info.Version, p, false)
	// No popular items fill this list up: they are not similar to anything.
	ans := s.answer(snap, j.upTo(len(j.out)), j.out, RungSimilar, false)
	ans.History.Used = len(j.items)
	return ans, nil
}

// upTo lowers how many items a job wants.
func (j *job) upTo(k int) *job {
	j.k = min(j.k, k)
	return j
}

// PredictBatch answers every request on its own; one that fails leaves the
// others alone. At most MaxBatch requests are accepted, the rest get ErrInvalid.
func (s *Service) PredictBatch(ctx context.Context, reqs []Request) []Result {
	results := make([]Result, len(reqs))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2*s.cfg.MaxBatch)
	for i := range reqs {
		if i >= MaxBatch {
			results[i].Err = fmt.Errorf("request %d of a batch of at most %d: %w", i, MaxBatch, ErrInvalid)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i].Answer, results[i].Err = s.Predict(ctx, reqs[i])
		})
	}
	wg.Wait()
	return results
}

// contextError is nil while ctx lives, ErrDeadline when its time is over, and
// context.Canceled when the caller left.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
		return ErrDeadline
	} else if err != nil {
		return err
	}
	return nil
}

// storeError tells a store that failed from a caller who left or asked for
// what cannot be.
func storeError(ctx context.Context, doing string, err error) error {
	if cause := contextError(ctx); cause != nil {
		return fmt.Errorf("%s: %w", doing, cause)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalid) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrStore, err)
}
