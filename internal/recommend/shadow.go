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
	// shadowEvents is how many events of a history are copied.
	shadowEvents = 200
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
	asked   atomic.Uint64
	queue   chan copied
	once    sync.Once
	stopped chan struct{}
	done    chan struct{}
}

// copied is a prediction and what was answered.
type copied struct {
	req    Request // its History is what the answer rests on
	answer []event.ItemID
}

func startShadow(snap *snapshot, c Config) *shadow {
	sh := &shadow{
		snap: snap, observe: c.Observer, share: c.ShadowShare,
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

// offer copies a prediction that the model has answered, if it is its turn. It
// never waits: without room or an idle worker the copy is dropped.
func (sh *shadow) offer(b *batcher, req *Request, events []event.Event, ans *Answer) {
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
	// The caller may use its memory again once it is answered.
	c.req.History = slices.Clone(events[max(0, len(events)-shadowEvents):])
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
	var jobs jobs
	ranker := sh.snap.model.NewRanker()
	for {
		select {
		case <-sh.stopped:
			return
		case c := <-sh.queue:
			start := now()
			ids, err := sh.rank(&jobs, ranker, &c.req)
			cmp := Comparison{Version: sh.snap.info.Version, Err: err, Took: now().Sub(start)}
			if err != nil {
				ranker = sh.snap.model.NewRanker() // its scratch cannot be trusted any more
			} else {
				cmp.Overlap, cmp.RBO = overlap(c.answer, ids)
			}
			sh.observe.Shadowed(cmp)
		}
	}
}

// rank is what the shadow would have answered.
func (sh *shadow) rank(jobs *jobs, ranker features.Ranker, req *Request) (ids []event.ItemID, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("rank with %s: panic: %v", sh.snap.info.Version, p)
		}
	}()
	sh.snap.refs.Add(1) // the job's own; ours keeps it above zero
	j := jobs.take(sh.snap)
	defer jobs.give(j)
	j.fill(req, req.History)
	var ranked []kernel.Scored
	if len(j.items) > 0 && (!j.only || len(j.candidates) > 0) {
		dst := [][]kernel.Scored{j.out[:0]}
		ranker.Rank(dst, []features.Query{j.query(len(j.items))})
		ranked = dst[0]
	}
	for _, r := range sh.snap.popularInto(ranked, j.k, j.mask, j.candidates, j.only) {
		ids = append(ids, event.ItemID(sh.snap.vocab.ID(r.Item)))
	}
	return ids, nil
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
