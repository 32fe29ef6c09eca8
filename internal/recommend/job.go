package recommend

import (
	"sync"
	"sync/atomic"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel/lifelong"
)

// The life of a job. The caller and a worker meet in job.state: whoever moves it
// owns what follows.
const (
	jobWaiting   int32 = iota // in the queue, the caller's
	jobTaken                  // a worker's
	jobWithdrawn              // the caller left before it cost; the worker drops it
	jobAbandoned              // the caller left while the worker ranked; the worker cleans up
	jobDone                   // the caller's again
)

// job is one request on its way through the queue, with all the memory it needs.
// The caller fills the first group, the worker the second.
type job struct {
	snap       *snapshot // held by the job until it is done
	near       bool      // neighbours of the items, not what follows them
	items      []int32   // history, oldest first
	times      []int64   // parallel to items; empty when no event has a time
	at         int64
	mask       []uint64
	candidates []int32 // sorted; used only if only is set
	only       bool    // rank the candidates alone
	k          int
	wide       int              // items the second stage wants to choose from; 0 without one
	past       lifelong.History // what it searches: every event, by its own numbers
	due        time.Time        // latest moment for a result; zero for none
	queued     time.Time

	out     []kernel.Scored
	rung    string // "" if nothing fitted before due
	used    int    // events ranked with
	err     error
	started time.Time
	took    time.Duration

	state atomic.Int32
	done  chan struct{} // 1; the worker's signal
	timer *time.Timer
}

// query is the model's view of the newest n events of the job.
func (j *job) query(n int) features.Query {
	lo := len(j.items) - n
	q := features.Query{History: j.items[lo:], At: j.at, Blocked: j.mask, K: j.depth()}
	if len(j.times) > 0 {
		q.Times = j.times[lo:]
	}
	if j.only {
		q.Candidates = j.candidates
	}
	return q
}

// depth is how many items are to be retrieved.
func (j *job) depth() int { return max(j.k, j.wide) }

// tokens is how many events the model will read of the newest n.
func (j *job) tokens(n int) int {
	if w, ok := j.snap.model.(windowed); ok {
		return min(n, w.Window())
	}
	return n
}

// jobs recycles the memory of jobs. Only a job whose worker is through with it
// comes back.
type jobs struct{ pool sync.Pool }

// take returns an empty job holding snap, whose reference it takes over.
func (p *jobs) take(snap *snapshot) *job {
	j, _ := p.pool.Get().(*job)
	if j == nil {
		j = &job{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
		j.timer.Stop()
	}
	j.snap = snap
	j.mask = append(j.mask[:0], snap.cat.hidden...)
	j.items, j.times, j.candidates, j.out = j.items[:0], j.times[:0], j.candidates[:0], j.out[:0]
	j.past.Items, j.past.Times, j.past.Kinds = j.past.Items[:0], j.past.Times[:0], j.past.Kinds[:0]
	j.near, j.only, j.at, j.k, j.wide = false, false, 0, 0, 0
	j.due, j.queued, j.started, j.took = time.Time{}, time.Time{}, time.Time{}, 0
	j.rung, j.used, j.err = "", 0, nil
	j.state.Store(jobWaiting)
	return j
}

// give lets the snapshot go and keeps the memory for the next request. A job
// that may still be in the queue or with a worker must not come back.
func (p *jobs) give(j *job) {
	j.snap.release()
	j.snap = nil
	p.pool.Put(j)
}
