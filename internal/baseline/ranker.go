package baseline

import (
	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

var _ features.Ranker = (*ranker)(nil)

// ranker answers queries for a model with scratch memory of its own.
type ranker struct {
	m     *Model
	row   []float32 // score of every item
	named []uint64  // bitmap of the candidates met so far; empty between queries
	top   kernel.TopK
	knn   *knnScratch
}

// NewRanker returns a ranker for one goroutine. After its first queries it
// allocates nothing.
func (m *Model) NewRanker() features.Ranker {
	r := &ranker{m: m, row: make([]float32, m.Items()), named: make([]uint64, (m.Items()+63)/64)}
	if m.knn != nil {
		r.knn = newKNNScratch(m.knn.sessions)
	}
	return r
}

// Score implements features.Ranker.
func (r *ranker) Score(dst []float32, queries []features.Query) {
	n := r.m.Items()
	if len(dst) != n*len(queries) {
		panic("baseline: dst must have one place per query and item")
	}
	for i, q := range queries {
		r.score(dst[i*n:(i+1)*n], q.History)
	}
}

func (r *ranker) score(dst []float32, history []int32) {
	switch m := r.m; m.kind {
	case Transition:
		m.next.score(dst, m.rest, history)
	case VMISKNN:
		m.knn.score(dst, m.rest, history, m.opt, r.knn)
	default:
		copy(dst, m.counts)
	}
}

// Rank implements features.Ranker. It panics when dst and queries differ in
// length.
func (r *ranker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	if len(dst) != len(queries) {
		panic("baseline: dst must have one place per query")
	}
	for i, q := range queries {
		r.score(r.row, q.History)
		r.top.Reset(min(q.K, len(r.row)))
		if q.Candidates == nil {
			r.top.Scan(r.row, 0, q.Blocked)
		}
		r.offer(q.Candidates, q.Blocked)
		dst[i] = r.top.Sorted(dst[i])
	}
}

// offer ranks the candidates; one that is named twice is ranked once.
func (r *ranker) offer(candidates []int32, blocked []uint64) {
	for _, c := range candidates {
		if r.named[c>>6]&(1<<(c&63)) == 0 {
			r.named[c>>6] |= 1 << (c & 63)
			r.top.Scan(r.row[c:c+1], c, blocked)
		}
	}
	for _, c := range candidates {
		r.named[c>>6] = 0
	}
}
