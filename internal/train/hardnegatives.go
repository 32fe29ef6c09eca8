package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// harden puts what the first stage retrieves into the slates that train and that
// choose the weights. Those that judge stay as the papers cut them.
func (s *second) harden(ctx context.Context) error {
	if s.opt.Hard < 0 {
		return nil
	}
	s.opt.Say("asking the first stage for negatives: %d a slate, from %d candidates", s.opt.Hard, s.opt.Candidates)
	for i, slates := range [][]features.Slate{s.split.Train, s.split.Valid} {
		asked := everySoOften(func(done int) { s.opt.Say("asked about %d of %d slates", done, len(slates)) })
		if err := addHardNegatives(ctx, s.first.Model, s.b, slates, s.opt.Hard, s.opt.Candidates, s.plan.Seed<<1|uint64(i), s.opt.Workers, asked); err != nil {
			return err
		}
	}
	return nil
}

// everySoOften calls say at most every ten seconds, and not in the first ten.
func everySoOften(say func(done int)) func(done int) {
	var mu sync.Mutex
	last := time.Now()
	return func(done int) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) >= 10*time.Second {
			last = time.Now()
			say(done)
		}
	}
}

// hardSlates is how many slates ask the first stage together.
const hardSlates = 32

// addHardNegatives appends up to n negatives to each slate, drawn without
// replacement from the first candidates that model retrieves for the slate's
// history, less what the user ever takes and what the slate has already. A second stage is only ever asked to order what was retrieved, and
// items drawn by popularity look nothing like it (hard negatives from the
// retrieval stage: Huang et al., KDD 2020, arXiv 2006.11632). A slate for which
// fewer are left gets those. workers does not change the result. asked
// hears, from any goroutine, how many slates have been asked about.
func addHardNegatives(ctx context.Context, model Model, b *Behaviours, slates []features.Slate, n, candidates int, seed uint64, workers int, asked func(done int)) error {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	miners := make([]*hardMiner, workers)
	var done atomic.Int64
	groups := (len(slates) + hardSlates - 1) / hardSlates
	kernel.Parallel(groups, workers, func(w, g int) {
		if ctx.Err() != nil {
			return
		}
		if miners[w] == nil {
			miners[w] = &hardMiner{b: b, ranker: model.NewRanker(), candidates: candidates}
		}
		lo, hi := g*hardSlates, min((g+1)*hardSlates, len(slates))
		miners[w].mine(slates[lo:hi], n, rand.New(rand.NewPCG(seed, uint64(g)<<8|'n')))
		asked(int(done.Add(int64(hi - lo))))
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("hard negatives: %w", err)
	}
	return nil
}

// hardMiner asks the first stage; one goroutine uses it.
type hardMiner struct {
	b          *Behaviours
	ranker     features.Ranker
	candidates int
	queries    []features.Query
	blocked    [][]uint64
	retrieved  [][]kernel.Scored
	pool       []int32 // what may be drawn
}

func (m *hardMiner) mine(slates []features.Slate, n int, rng *rand.Rand) {
	m.queries = m.queries[:0]
	for len(m.blocked) < len(slates) {
		m.blocked = append(m.blocked, make([]uint64, (m.b.Data.Vocab.Len()+63)/64))
		m.retrieved = append(m.retrieved, nil)
	}
	for i, s := range slates {
		m.queries = append(m.queries, m.query(s, m.blocked[i]))
	}
	m.ranker.Rank(m.retrieved[:len(slates)], m.queries)
	for i := range slates {
		own := slates[i].Candidates
		slates[i].Candidates = append(own[:len(own):len(own)], m.draw(m.retrieved[i], own, n, rng)...)
	}
}

// draw gives up to n of what was retrieved, none twice and none that is there.
func (m *hardMiner) draw(retrieved []kernel.Scored, there []int32, n int, rng *rand.Rand) []int32 {
	m.pool = m.pool[:0]
	for _, s := range retrieved {
		if !slices.Contains(there, s.Item) {
			m.pool = append(m.pool, s.Item)
		}
	}
	n = min(n, len(m.pool))
	for i := range n {
		j := i + rng.IntN(len(m.pool)-i)
		m.pool[i], m.pool[j] = m.pool[j], m.pool[i]
	}
	return m.pool[:n]
}

// query asks for what a slate's user never takes.
func (m *hardMiner) query(s features.Slate, blocked []uint64) features.Query {
	d := m.b.Data
	clear(blocked)
	lo, hi := d.Offsets[s.User], d.Offsets[s.User+1]
	for _, item := range d.Items[lo:hi] {
		if item >= 0 {
			blocked[item>>6] |= 1 << (item & 63)
		}
	}
	end := lo + int(s.End)
	q := features.Query{History: d.Items[lo:end], K: m.candidates, Blocked: blocked}
	if d.Times != nil {
		q.Times = d.Times[lo:end]
		q.At = momentOf(q.Times)
	}
	if d.Kinds != nil {
		q.Kinds = d.Kinds[lo:end]
	}
	return q.Known()
}
