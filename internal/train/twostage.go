package train

import (
	"fmt"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel/lifelong"
)

// TwoStages is retrieval and re-ranking as one model, so that it can be judged
// like any other: First retrieves Candidates items that the history does not
// hold, Second scores them against the whole history, and Blend mixes the two
// (see lifelong.Blend). The rest of the catalogue keeps the order of First,
// below every candidate.
type TwoStages struct {
	First      Model
	Second     *lifelong.Model
	Candidates int
	Blend      float64
}

// Items implements Model.
func (m *TwoStages) Items() int { return m.First.Items() }

// Describe implements Model.
func (m *TwoStages) Describe() string {
	return fmt.Sprintf("%s, then %s over %d candidates, blend %g", m.First.Describe(), m.Second.Describe(), m.Candidates, m.Blend)
}

// NewRanker implements Model.
func (m *TwoStages) NewRanker() features.Ranker {
	return &twoStageRanker{m: m, first: m.First.NewRanker(), second: m.Second.NewScorer()}
}

type twoStageRanker struct {
	m       *TwoStages
	first   features.Ranker
	second  *lifelong.Scorer
	top     kernel.TopK
	best    []kernel.Scored
	blocked []uint64
	named   []int32
	stage1  []float32
	odds    []float32
}

// below parts the candidates, whose blended scores are a few units large, from
// the rest of the catalogue.
const below = 1000

// Score implements features.Ranker.
func (r *twoStageRanker) Score(dst []float32, queries []features.Query) {
	n := r.m.Items()
	r.first.Score(dst, queries)
	for i := range queries {
		r.rerank(dst[i*n:(i+1)*n], &queries[i], nil)
	}
}

// Rank implements features.Ranker.
func (r *twoStageRanker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	scores := make([]float32, r.m.Items())
	for i := range queries {
		q := &queries[i]
		r.first.Score(scores, queries[i:i+1])
		r.rerank(scores, q, q.Blocked)
		r.top.Reset(q.K)
		r.top.Scan(scores, 0, q.Blocked)
		dst[i] = r.top.Sorted(dst[i][:0])
	}
}

// rerank turns the first stage's scores of the whole catalogue into final ones.
func (r *twoStageRanker) rerank(scores []float32, q *features.Query, blocked []uint64) {
	r.retrieve(scores, q, blocked)
	mean := float32(0)
	if len(r.stage1) > 0 {
		mean = r.stage1[len(r.stage1)-1]
	}
	for i := range scores {
		scores[i] -= mean + below // order kept, and no candidate is reached
	}
	r.odds = resize(r.odds, len(r.named))
	h := lifelong.History{Items: q.History, Times: q.Times}
	r.second.Score(r.odds, h, r.named, q.At)
	lifelong.Blend(r.odds, r.stage1, r.odds, r.m.Blend)
	for i, item := range r.named {
		scores[item] = r.odds[i]
	}
}

// retrieve names the best candidates outside the history.
func (r *twoStageRanker) retrieve(scores []float32, q *features.Query, blocked []uint64) {
	words := (len(scores) + 63) / 64
	r.blocked = append(r.blocked[:0], make([]uint64, words)...)
	copy(r.blocked, blocked)
	for _, item := range q.History {
		r.blocked[item>>6] |= 1 << (item & 63)
	}
	r.top.Reset(r.m.Candidates)
	r.top.Scan(scores, 0, r.blocked)
	r.best = r.top.Sorted(r.best)
	r.named, r.stage1 = r.named[:0], r.stage1[:0]
	for _, s := range r.best {
		r.named, r.stage1 = append(r.named, s.Item), append(r.stage1, s.Score)
	}
}

func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
