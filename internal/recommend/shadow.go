package recommend

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

const (
	shadowQueue = 8  // copies that may wait; more are dropped
	shadowDepth = 10 // places of an answer that are compared
	// shadowEvents is how many events of a history are copied: they are masked, and a
	// second stage searches them. So many fit into a MiB.
	shadowEvents = 10_000
)

// Comparison is what became of one copied prediction.
type Comparison struct {
	Version string
	Dropped bool          // there was no capacity to spare; the rest is zero then
	Err     error         // the shadow broke on it
	Overlap float64       // share of the first places that both answers name
	RBO     float64       // rank-biased overlap, 0 to 1: early places count more
	Took    time.Duration // of the shadow's ranking
}

// shadow is a version that answers copies of predictions, on a goroutine of its own
// with a ranker of its own, and only while a worker of the service is idle.
type shadow struct {
	snap    *snapshot
	observe Observer
	share   float64
	wide    int // as Config.RerankCandidates
	asked   atomic.Uint64
	queue   chan copied
	once    sync.Once
	stopped chan struct{}
	done    chan struct{}
}

// copied is a prediction and what was answered.
type copied struct {
	req    Request // its History is what the answer rests on
	recent int     // the newest of it that retrieval looks at
	whole  int     // the newest of it that a second stage searches
	answer []event.ItemID
}

func startShadow(snap *snapshot, c Config) *shadow {
	sh := &shadow{
		snap: snap, observe: c.Observer, share: c.ShadowShare, wide: c.RerankCandidates,
		queue: make(chan copied, shadowQueue), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	go sh.run(c.Now)
	return sh
}

// end stops the shadow and waits until it has let its version go.
func (sh *shadow) end() {
	sh.once.Do(func() { close(sh.stopped) })
	<-sh.done
}

// offer copies a prediction that all stages of the model have answered, if it is its
// turn. It never waits: without room or an idle worker the copy is dropped.
func (sh *shadow) offer(b *batcher, req *Request, past *past, ans *Answer) {
	if ans.Rung != RungModel || ans.Rerank != nil && ans.Rerank.Rung != RerankWhole {
		return
	}
	n := float64(sh.asked.Add(1))
	if math.Floor(n*sh.share) == math.Floor((n-1)*sh.share) {
		return
	}
	if b.idle.Load() == 0 || len(sh.queue) == cap(sh.queue) {
		sh.observe.Shadowed(Comparison{Version: sh.snap.info.Version, Dropped: true})
		return
	}
	c := copied{req: *req, answer: make([]event.ItemID, min(len(ans.Items), shadowDepth))}
	for i := range c.answer {
		c.answer[i] = ans.Items[i].ID
	}
	events := past.recent // one of the two ends the other
	if len(past.whole) > len(events) && sh.snap.wants(req) {
		events = past.whole
	}
	events = newest(events, shadowEvents)
	// The caller may use its memory again once it is answered.
	c.req.History, c.recent = slices.Clone(events), min(len(events), len(past.recent))
	if c.whole = c.recent; past.both {
		c.whole = min(len(events), len(past.whole))
	}
	c.req.Exclude, c.req.Candidates = slices.Clone(req.Exclude), slices.Clone(req.Candidates)
	select {
	case sh.queue <- c:
	default:
		sh.observe.Shadowed(Comparison{Version: sh.snap.info.Version, Dropped: true})
	}
}

// run answers copies until the shadow is ended.
func (sh *shadow) run(now func() time.Time) {
	defer close(sh.done)
	defer sh.snap.release()
	r := sh.newRanker()
	for {
		select {
		case <-sh.stopped:
			return
		case c := <-sh.queue:
			start := now()
			ids, err := r.rank(&c)
			cmp := Comparison{Version: sh.snap.info.Version, Err: err, Took: now().Sub(start)}
			if err != nil {
				r = sh.newRanker() // the scratch of the other cannot be trusted any more
			} else {
				cmp.Overlap, cmp.RBO = overlap(c.answer, ids)
			}
			sh.observe.Shadowed(cmp)
		}
	}
}

// shadowRanker is what a shadow ranks with, both stages.
type shadowRanker struct {
	sh    *shadow
	jobs  jobs
	first features.Ranker
	by    *rescorer // nil without a second stage
}

func (sh *shadow) newRanker() *shadowRanker {
	r := &shadowRanker{sh: sh, first: sh.snap.model.NewRanker()}
	if sh.snap.second != nil {
		r.by = sh.snap.second.newRescorer()
	}
	return r
}

// rank is what the shadow would have answered, without a deadline.
func (r *shadowRanker) rank(c *copied) (ids []event.ItemID, err error) {
	snap := r.sh.snap
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("rank with %s: panic: %v", snap.info.Version, p)
		}
	}()
	snap.refs.Add(1) // the job's own; ours keeps it above zero
	j := r.jobs.take(snap)
	defer r.jobs.give(j)
	both := snap.wants(&c.req)
	if both {
		j.look(newest(c.req.History, c.whole))
	}
	j.fill(&c.req, newest(c.req.History, c.recent))
	if both {
		j.widen(r.sh.wide)
	}
	if len(j.items) > 0 && (!j.only || len(j.candidates) > 0) {
		dst := [][]kernel.Scored{j.out[:0]}
		r.first.Rank(dst, []features.Query{j.query(len(j.items))})
		if j.out = dst[0]; both && len(j.out) > 0 {
			if err := r.by.again(j); err != nil {
				return nil, err
			}
		}
	}
	for _, x := range snap.popularInto(j.out[:min(j.k, len(j.out))], j.k, j.mask, j.candidates, j.only) {
		ids = append(ids, event.ItemID(snap.vocab.ID(x.Item)))
	}
	return ids, nil
}

// again re-ranks j.out after the whole history, of which no state is kept.
func (by *rescorer) again(j *job) error {
	second := j.snap.second
	st := second.Model.NewState()
	st.Append(j.past)
	if err := by.score(j, st); err != nil {
		return err
	}
	blend(j.out, by.odds, second.Blend)
	return nil
}

// overlap compares two rankings down to the length of a: the share of common
// items, and rank-biased overlap with p = 0.9 (Webber, Moffat & Zobel 2010, eq. 4),
// cut off there and scaled so that equal rankings have 1.
func overlap(a, b []event.ItemID) (share, rbo float64) {
	if len(a) == 0 {
		return 1, 1
	}
	common, weight, sum := 0, 1.0, 0.0
	for d := 1; d <= len(a); d++ {
		if d <= len(b) {
			// The new item of each side may be among the earlier ones of the other.
			if slices.Contains(b[:d], a[d-1]) {
				common++
			}
			if slices.Contains(a[:d-1], b[d-1]) {
				common++
			}
		} else if slices.Contains(b, a[d-1]) {
			common++
		}
		rbo += weight * float64(common) / float64(d)
		sum += weight
		weight *= 0.9
	}
	return float64(common) / float64(len(a)), rbo / sum
}
