package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// scratch bounds the scores that one worker holds at a time (16 MiB).
const scratch = 4 << 20

// listLength is the length of the lists behind coverage, popularity, novelty.
const listLength = 10

// Options are the settings of Evaluate. The zero value evaluates on all
// processors, without intervals, popularity or cold counts.
type Options struct {
	Name       string  // of the model, in the result and in reports
	Split      string  // name of the split the cases come from
	Part       string  // "test" or "valid"
	TargetHash string  // features.Split.TargetHash
	Data       string  // Protocol.Data
	Counts     []int64 // training events of each item; nil: unknown
	// Outside are items that the model knows and the catalogue of the cases does
	// not have; nothing is ranked below them.
	Outside []int32
	// Catalogue is the size of the catalogue of the cases. What the model does not
	// know of it is ranked below everything that it knows. 0: all that it knows.
	Catalogue int
	// Places lets histories hold events of unknown items, -1, which the rankers
	// must know what to do with. They count for nothing else.
	Places    bool
	Workers   int    // 0: all processors
	Batch     int    // cases scored by one call; 0: up to 64, 16 MiB of scores
	Seed      uint64 // of the bootstrap
	Resamples int    // bootstrap samples; 0: no intervals
	// Progress, when not nil, is called now and then, by one goroutine at a
	// time, with the number of cases done.
	Progress func(done, total int)
	// Now is the clock behind Seconds; nil: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults(items int) Options {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Batch <= 0 {
		o.Batch = max(1, min(64, scratch/max(items, 1)))
	}
	if o.Catalogue == 0 {
		o.Catalogue = items - len(o.Outside)
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Evaluate ranks the target of every case among all items, as the package
// comment says. newRanker is called once for each worker. A Target of -1
// stands for an item that the model does not know; it counts as a miss.
//
// It returns the error of ctx when that ends first, and an error naming the
// case when a score is not a number or a case names an item outside 0..items-1.
func Evaluate(ctx context.Context, newRanker func() features.Ranker, cases []features.Case, items int, opt Options) (*Result, error) {
	if len(cases) == 0 {
		return nil, errors.New("evaluate: no cases")
	}
	if opt.Counts != nil && len(opt.Counts) != items {
		panic(fmt.Sprintf("eval: %d counts for %d items", len(opt.Counts), items))
	}
	if err := checkCases(cases, items, opt.Places); err != nil {
		return nil, err
	}
	opt = opt.withDefaults(items)
	begin := opt.Now()
	e := newEvaluation(cases, items, opt)
	if err := e.run(ctx, newRanker); err != nil {
		return nil, err
	}
	r := e.result()
	r.Seconds = opt.Now().Sub(begin).Seconds()
	return r, nil
}

func checkCases(cases []features.Case, items int, places bool) error {
	least := int32(0)
	if places {
		least = -1
	}
	for i := range cases {
		c := &cases[i]
		if c.Target < -1 || int(c.Target) >= items {
			return fmt.Errorf("evaluate case %d (user %d): target %d is outside the catalogue of %d items", i, c.User, c.Target, items)
		}
		for _, item := range c.Input {
			if item < least || int(item) >= items {
				return fmt.Errorf("evaluate case %d (user %d): history item %d is outside the catalogue of %d items", i, c.User, item, items)
			}
		}
	}
	return nil
}

// evaluation holds what the workers of one Evaluate write. Each case has its
// own slot, so no order of work changes a sum.
type evaluation struct {
	cases   []features.Case
	items   int
	opt     Options
	events  int64     // sum of Counts
	ranks   []int32   // by case
	popular []float64 // by case: mean count of its top 10
	novel   []float64 // by case: mean novelty of its top 10

	next atomic.Int64 // first case that no worker has taken
	mu   sync.Mutex   // guards what follows
	done int
	seen []uint64 // items that were in some top 10
	err  error
}

func newEvaluation(cases []features.Case, items int, opt Options) *evaluation {
	e := &evaluation{cases: cases, items: items, opt: opt, ranks: make([]int32, len(cases)), seen: make([]uint64, (items+63)/64)}
	e.popular, e.novel = make([]float64, len(cases)), make([]float64, len(cases))
	for _, c := range opt.Counts {
		e.events += c
	}
	return e
}

// run lets the workers take batches until none is left or one fails.
func (e *evaluation) run(ctx context.Context, newRanker func() features.Ranker) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for range min(e.opt.Workers, (len(e.cases)+e.opt.Batch-1)/e.opt.Batch) {
		w := &worker{e: e, ranker: newRanker(), removed: newMarks(e.items), seen: make([]uint64, len(e.seen))}
		wg.Go(func() {
			if err := w.work(ctx); err != nil {
				e.fail(err)
				stop()
			}
			e.see(w.seen)
		})
	}
	wg.Wait()
	return e.err
}

// fail keeps the first error; those that follow from its stop are ignored.
func (e *evaluation) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

func (e *evaluation) see(seen []uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, w := range seen {
		e.seen[i] |= w
	}
}

func (e *evaluation) progress(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done += n
	e.opt.Progress(e.done, len(e.cases))
}

// worker is one goroutine's memory.
type worker struct {
	e       *evaluation
	ranker  features.Ranker
	queries []features.Query
	scores  []float32 // batch x items
	removed *marks
	top     kernel.TopK
	list    []kernel.Scored
	seen    []uint64
}

func (w *worker) work(ctx context.Context) error {
	e := w.e
	for {
		to := int(e.next.Add(int64(e.opt.Batch)))
		from := to - e.opt.Batch
		if from >= len(e.cases) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		to = min(to, len(e.cases))
		if err := w.batch(from, to); err != nil {
			return err
		}
		e.progress(to - from)
	}
}

// batch scores and judges cases from..to-1.
func (w *worker) batch(from, to int) error {
	e := w.e
	w.queries = w.queries[:0]
	for i := from; i < to; i++ {
		c := &e.cases[i]
		w.queries = append(w.queries, features.Query{History: c.Input, Times: c.Times, Kinds: c.Kinds, At: c.At})
	}
	if w.scores == nil {
		w.scores = make([]float32, e.opt.Batch*e.items)
	}
	w.ranker.Score(w.scores[:(to-from)*e.items], w.queries)
	for i := from; i < to; i++ {
		for _, item := range e.opt.Outside {
			w.scores[(i-from)*e.items+int(item)] = float32(math.Inf(-1))
		}
		if err := w.judge(i, w.scores[(i-from)*e.items:(i-from+1)*e.items]); err != nil {
			return fmt.Errorf("evaluate case %d (user %d, history of %d, target %d): %w",
				i, e.cases[i].User, len(e.cases[i].Input), e.cases[i].Target, err)
		}
	}
	return nil
}

// judge fills the slots of case i from the scores of all items.
func (w *worker) judge(i int, scores []float32) error {
	e := w.e
	c := &e.cases[i]
	w.removed.fill(c.Input, c.Target)
	place, err := rank(scores, c.Target, w.removed)
	if err != nil {
		return err
	}
	e.ranks[i] = int32(place)
	w.top.Reset(listLength)
	w.top.Scan(scores, 0, w.removed.bits)
	w.list = w.top.Sorted(w.list[:0])
	for _, s := range w.list {
		w.seen[s.Item>>6] |= 1 << (s.Item & 63)
		if e.opt.Counts != nil {
			e.popular[i] += float64(e.opt.Counts[s.Item])
			e.novel[i] += novelty(e.opt.Counts[s.Item], e.events, e.items)
		}
	}
	if n := float64(len(w.list)); n > 0 {
		e.popular[i] /= n
		e.novel[i] /= n
	}
	return nil
}

// result sums up in the order of the cases.
func (e *evaluation) result() *Result {
	r := &Result{Name: e.opt.Name, Ranks: e.ranks, Users: make([]int32, len(e.cases))}
	for i := range e.cases {
		r.Users[i] = int32(e.cases[i].User)
	}
	g := groupByUser(r.Users)
	r.At, r.MRR = assemble(intervals(r.Ranks, g, e.opt.Seed, e.opt.Resamples))
	r.Protocol = e.protocol(g.users())
	r.Coverage10 = float64(countBits(e.seen)) / float64(e.opt.Catalogue)
	r.Popularity10, r.Novelty10 = mean(e.popular), mean(e.novel)
	r.Lengths = slicesBy(lengthEdges[:], r.Ranks, func(i int) int { return knownEvents(e.cases[i].Input) })
	if e.opt.Counts != nil {
		r.Targets = slicesBy(countEdges[:], r.Ranks, e.targetCount)
	}
	return r
}

// knownEvents counts the events of a history without those of unknown items.
func knownEvents(history []int32) (n int) {
	for _, item := range history {
		if item >= 0 {
			n++
		}
	}
	return n
}

// targetCount is how often the target of case i was trained.
func (e *evaluation) targetCount(i int) int {
	if t := e.cases[i].Target; t >= 0 {
		return int(e.opt.Counts[t])
	}
	return 0
}

func (e *evaluation) protocol(users int) Protocol {
	p := Protocol{
		Split: e.opt.Split, Part: e.opt.Part, Ranking: "full", Filter: "history", Ties: "lower-item",
		TargetHash: e.opt.TargetHash, Data: e.opt.Data, Items: e.opt.Catalogue, Cases: len(e.cases), Users: users,
		Seed: e.opt.Seed, Resamples: e.opt.Resamples,
	}
	for i := range e.cases {
		switch t := e.cases[i].Target; {
		case t < 0:
			p.Unknown++
		case e.opt.Counts != nil && e.opt.Counts[t] == 0:
			p.Cold++
		}
	}
	return p
}
