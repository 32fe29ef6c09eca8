package recommend

import (
	"fmt"
	"runtime/debug"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// worker ranks batches on one goroutine. All its memory is reused, so that a
// warm worker allocates nothing.
type worker struct {
	number  int
	b       *batcher
	timer   *time.Timer
	batch   []*job
	rest    []*job // those of a batch that are ranked together
	queries []features.Query
	dst     [][]kernel.Scored
	one     [1]*job
	scan    scanner
}

func newWorker(number int, b *batcher) *worker {
	w := &worker{number: number, b: b, timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w
}

// run works until the batcher is closed and its queue is empty.
func (w *worker) run() {
	for {
		first, ok := w.b.next()
		if !ok {
			return
		}
		w.batch = w.b.gather(w.batch[:0], first, w.timer)
		w.serve(w.batch)
		clear(w.batch)
	}
}

// serve ranks the jobs of one batch and hands them back. Around a swap they may
// hold different snapshots: neighbours of one snapshot are ranked together.
func (w *worker) serve(batch []*job) {
	start := w.b.now()
	size := len(batch)
	for _, j := range batch {
		j.started = start
	}
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].snap.core == batch[0].snap.core {
			n++
		}
		w.serveCore(batch[:n])
		batch = batch[n:]
	}
	if size > 0 {
		w.b.observe.Batched(size, w.b.now().Sub(start))
	}
}

// serveCore ranks jobs of one core. Those in a hurry go first, one by one, each
// on the best rung that its time allows; the rest go together.
func (w *worker) serveCore(batch []*job) {
	w.rest = w.rest[:0]
	var together time.Duration
	for _, j := range batch {
		together += j.snap.cost.rank(j.tokens(len(j.items)))
	}
	for _, j := range batch {
		switch {
		case j.near:
			w.runNear(j, len(j.items))
			w.end(j)
		case !j.due.IsZero() && j.due.Sub(w.b.now()) < together:
			w.hurry(j)
			w.end(j)
		default:
			w.rest = append(w.rest, j)
		}
	}
	if len(w.rest) == 0 {
		return
	}
	w.runModel(w.rest)
	for _, j := range w.rest {
		w.end(j)
	}
	clear(w.rest)
}

// end stamps a job and hands it back.
func (w *worker) end(j *job) {
	j.took = w.b.now().Sub(j.started)
	w.b.finish(j)
}

// runModel ranks jobs on their whole histories, together if that works and one
// by one if it does not.
func (w *worker) runModel(batch []*job) {
	var predicted time.Duration
	for _, j := range batch {
		j.used, j.rung = len(j.items), RungModel
		predicted += j.snap.cost.rank(j.tokens(j.used))
	}
	start := w.b.now()
	err := w.rank(batch)
	if err == nil {
		batch[0].snap.cost.learn(predicted, w.b.now().Sub(start))
		return
	}
	if len(batch) == 1 {
		batch[0].err = err
		return
	}
	for _, j := range batch {
		w.one[0] = j
		j.err = w.rank(w.one[:])
	}
}

// rank runs the worker's ranker over the newest used events of each job. A
// ranker that panics is replaced, as its scratch cannot be trusted any more.
func (w *worker) rank(batch []*job) (err error) {
	core := batch[0].snap.core
	defer func() {
		if p := recover(); p != nil {
			core.rankers[w.number] = core.model.NewRanker()
			err = fmt.Errorf("rank with %s: panic: %v\n%s", core.info.Version, p, debug.Stack())
		}
	}()
	w.queries, w.dst = w.queries[:0], w.dst[:0]
	for _, j := range batch {
		w.queries = append(w.queries, j.query(j.used))
		w.dst = append(w.dst, j.out[:0])
	}
	core.rankers[w.number].Rank(w.dst, w.queries)
	for i, j := range batch {
		j.out = w.dst[i]
	}
	clear(w.queries)
	clear(w.dst)
	return nil
}

// runNear fills a job with the neighbours of its newest n items: by cosine if
// the model has item vectors, else by what it ranks after those items alone.
func (w *worker) runNear(j *job, n int) {
	j.used, j.rung = n, RungItem
	if j.snap.vectors.known() {
		w.scan.run(j, j.items[len(j.items)-n:])
		return
	}
	w.one[0] = j
	j.err = w.rank(w.one[:])
}

// scanner finds the items with the smallest angle to a set of items.
type scanner struct {
	top    kernel.TopK
	scores []float32 // one block
	query  []float32 // width
	mask   []uint64
}

// scanBlock rows are scored before they are offered to the top-k, so that the
// scores stay in the first cache.
const scanBlock = 2048

// run sets j.out to the k items nearest to the mean direction of the given ones.
// Scores are cosines.
func (s *scanner) run(j *job, of []int32) {
	v := &j.snap.vectors
	s.direction(v, of)
	mask := j.mask
	if j.only {
		s.mask = append(s.mask[:0], mask...)
		allowOnly(s.mask, mask, j.candidates)
		mask = s.mask
	}
	if s.scores == nil {
		s.scores = make([]float32, scanBlock)
	}
	s.top.Reset(j.depth())
	n := len(v.inverse)
	for lo := 0; lo < n; lo += scanBlock {
		scores := s.scores[:min(scanBlock, n-lo)]
		kernel.ScoreRows(scores, v.table[lo*v.width:], v.width, v.width, s.query)
		kernel.Mul(scores, scores, v.inverse[lo:lo+len(scores)])
		s.top.Scan(scores, int32(lo), mask)
	}
	j.out = s.top.Sorted(j.out)
}

// direction sets s.query to the unit vector of the mean of unit vectors.
func (s *scanner) direction(v *vectors, of []int32) {
	s.query = append(s.query[:0], v.row(0)...)
	clear(s.query)
	for _, item := range of {
		kernel.Axpy(s.query, v.inverse[item], v.row(item))
	}
	if n := norm(s.query); n > 0 {
		kernel.Scale(s.query, 1/n, s.query)
	}
}
