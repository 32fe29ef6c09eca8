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
//
// Items of the history that First puts above the last candidate are scored with
// them: who judges takes them out of the ranking, but not one that is the very
// item looked for, where users repeat themselves.
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
	named   []int32 // candidates: first those outside the history, then those in it
	unseen  int     // how many are outside
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
		r.retrieve(dst[i*n:(i+1)*n], &queries[i])
		r.rerank(dst[i*n:(i+1)*n], &queries[i])
	}
}

// Rank implements features.Ranker.
func (r *twoStageRanker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	scores := make([]float32, r.m.Items())
	for i := range queries {
		q := &queries[i]
		r.first.Score(scores, queries[i:i+1])
		r.top.Reset(r.m.Candidates)
		r.top.Scan(scores, 0, q.Blocked)
		r.best = r.top.Sorted(r.best)
		r.name()
		r.rerank(scores, q)
		r.top.Reset(q.K)
		r.top.Scan(scores, 0, q.Blocked)
		dst[i] = r.top.Sorted(dst[i][:0])
	}
}

// rerank turns the first stage's scores of the whole catalogue into final ones.
func (r *twoStageRanker) rerank(scores []float32, q *features.Query) {
	last := float32(0)
	if r.unseen > 0 {
		last = r.stage1[r.unseen-1]
	}
	for i := range scores {
		scores[i] -= last + below // order kept, and no candidate is reached
	}
	r.odds = resize(r.odds, len(r.named))
	h := lifelong.History{Items: q.History, Times: q.Times}
	r.second.Score(r.odds, h, r.named, q.At)
	mix := r.mix(r.odds, r.m.Blend)
	for i, item := range r.named {
		scores[item] = mix.Score(r.stage1[i], r.odds[i])
	}
}

// mix has the scale of the candidates outside the history, as in service.
func (r *twoStageRanker) mix(odds []float32, weight float64) lifelong.Mix {
	return lifelong.NewMix(r.stage1[:r.unseen], odds[:r.unseen], weight)
}

// retrieve names the best candidates outside the history, and those of the history
// that come before the last of them.
func (r *twoStageRanker) retrieve(scores []float32, q *features.Query) {
	r.blocked = append(r.blocked[:0], make([]uint64, (len(scores)+63)/64)...)
	for _, item := range q.History {
		r.blocked[item>>6] |= 1 << (item & 63)
	}
	r.top.Reset(r.m.Candidates)
	r.top.Scan(scores, 0, r.blocked)
	r.best = r.top.Sorted(r.best)
	r.name()
	for _, item := range q.History {
		if word, bit := item>>6, uint64(1)<<(item&63); r.blocked[word]&bit != 0 {
			r.blocked[word] &^= bit // each once
			if r.unseen == 0 || scores[item] >= r.stage1[r.unseen-1] {
				r.named, r.stage1 = append(r.named, item), append(r.stage1, scores[item])
			}
		}
	}
}

// name takes what was retrieved as the candidates.
func (r *twoStageRanker) name() {
	r.named, r.stage1 = r.named[:0], r.stage1[:0]
	for _, s := range r.best {
		r.named, r.stage1 = append(r.named, s.Item), append(r.stage1, s.Score)
	}
	r.unseen = len(r.named)
}

func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
