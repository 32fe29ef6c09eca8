package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
)

// TwoStages is retrieval and re-ranking as one model, so that it can be judged
// like any other: First retrieves Candidates items that the history does not
// hold, Second scores them against the whole history, and Blend mixes the two
// (see lifelong.Blend). The rest of the catalogue keeps the order of First,
// below every candidate.
//
// Judges ask for an item again where it is the answer, though the history holds
// it. So what the history holds and First puts among the candidates is scored
// beside them, on their scale; the scores of the candidates are those of serving.
//
// Its rankers take histories with events of unknown items (-1), which keep their
// places before Second, as in the service, and which First does not see.
type TwoStages struct {
	First      Model
	Second     *lifelong.Model
	Candidates int
	Blend      float64
	Kinds      []string // of behaviour, by the code that Second learned; empty when it learned none
}

// defaultCandidates is how many items the service retrieves for a second stage
// whose manifest does not say.
const defaultCandidates = 300

// openSecond joins the second stage of a version to its first; nil when the
// version has none. What one file promises of the other is checked.
func openSecond(v *registry.Version, first Model) (_ *TwoStages, err error) {
	set := v.Manifest.Reranker
	if set == nil {
		return nil, nil
	}
	f, err := v.Open(registry.RerankerFile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m, err := lifelong.Load(f, v.Size(registry.RerankerFile))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", registry.RerankerFile, err)
	case m.Items() != first.Items():
		return nil, fmt.Errorf("%s has %d items, the first stage %d", registry.RerankerFile, m.Items(), first.Items())
	case m.Config().Kinds != len(set.Kinds):
		return nil, fmt.Errorf("%s learned %d kinds of behaviour, the manifest names %d", registry.RerankerFile, m.Config().Kinds, len(set.Kinds))
	}
	return &TwoStages{First: first, Second: m, Candidates: cmp.Or(set.Candidates, defaultCandidates), Blend: set.Blend, Kinds: set.Kinds}, nil
}

// Items implements Model.
func (m *TwoStages) Items() int { return m.First.Items() }

// Describe implements Model.
func (m *TwoStages) Describe() string {
	return fmt.Sprintf("%s, then %s over %d candidates, blend %g", m.First.Describe(), m.Second.Describe(), m.Candidates, m.Blend)
}

// NewRanker implements Model.
func (m *TwoStages) NewRanker() features.Ranker {
	r := &twoStageRanker{m: m, first: m.First.NewRanker(), second: m.Second.NewScorer(), kinds: map[string]int32{}}
	for code, name := range m.Kinds {
		r.kinds[name] = int32(code)
	}
	return r
}

type twoStageRanker struct {
	m       *TwoStages
	first   features.Ranker
	second  *lifelong.Scorer
	kinds   map[string]int32
	known   []features.Query // as the first stage reads them
	codes   []int32          // of the kinds of the history at hand
	top     kernel.TopK
	best    []kernel.Scored
	blocked []uint64
	named   []int32 // candidates, the first fresh of them outside the history
	fresh   int
	stage1  []float32
	odds    []float32
}

// aside shrinks the first stage's scores so far that no candidate, which has at
// least 1, is reached, nor what stands beside them. A power of two changes no
// order, as a shift by rounding may.
const aside = 1.0 / (1 << 60)

// Score implements features.Ranker.
func (r *twoStageRanker) Score(dst []float32, queries []features.Query) {
	n := r.m.Items()
	r.known = r.known[:0]
	for i := range queries {
		r.known = append(r.known, queries[i].Known())
	}
	r.first.Score(dst, r.known)
	for i := range queries {
		r.rerank(dst[i*n:(i+1)*n], &queries[i], nil)
	}
}

// Rank implements features.Ranker.
func (r *twoStageRanker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	scores := make([]float32, r.m.Items())
	for i := range queries {
		q := &queries[i]
		r.known = append(r.known[:0], q.Known())
		r.first.Score(scores, r.known)
		r.rerank(scores, q, q.Blocked)
		r.top.Reset(q.K)
		r.top.Scan(scores, 0, q.Blocked)
		dst[i] = r.top.Sorted(dst[i][:0])
	}
}

// rerank turns the first stage's scores of the whole catalogue into final ones.
func (r *twoStageRanker) rerank(scores []float32, q *features.Query, blocked []uint64) {
	r.retrieve(scores, q, blocked)
	kernel.Scale(scores, aside, scores)
	r.odds = resize(r.odds, len(r.named))
	r.second.Score(r.odds, r.history(q), r.named, momentOf(q.Times))
	lifelong.BlendBeside(r.odds, r.stage1, r.odds, r.m.Blend, r.fresh)
	least := float32(math.Inf(1))
	for _, x := range r.odds[:r.fresh] {
		least = min(least, x)
	}
	for i, item := range r.named {
		scores[item] = max(r.odds[i]-least+1, 0.5) // what is worse than every candidate stays above the rest
	}
}

// history is that of a query as the second stage reads it: a kind is what the
// service makes of it, where nobody said the default one.
func (r *twoStageRanker) history(q *features.Query) lifelong.History {
	h := lifelong.History{Items: q.History, Times: q.Times}
	if len(r.m.Kinds) == 0 {
		return h
	}
	r.codes = r.codes[:0]
	for i := range q.History {
		kind := string(event.DefaultKind)
		if q.Kinds != nil {
			kind = cmp.Or(q.Kinds[i], kind)
		}
		r.codes = append(r.codes, r.kinds[kind])
	}
	h.Kinds = r.codes
	return h
}

// retrieve names the best candidates outside the history, then what the history
// holds and scores as high as the last of them.
func (r *twoStageRanker) retrieve(scores []float32, q *features.Query, blocked []uint64) {
	words := (len(scores) + 63) / 64
	r.blocked = append(r.blocked[:0], make([]uint64, words)...)
	copy(r.blocked, blocked)
	for _, item := range q.History {
		if item >= 0 {
			r.blocked[item>>6] |= 1 << (item & 63)
		}
	}
	r.top.Reset(r.m.Candidates)
	r.top.Scan(scores, 0, r.blocked)
	r.best = r.top.Sorted(r.best)
	r.named, r.stage1 = r.named[:0], r.stage1[:0]
	for _, s := range r.best {
		r.named, r.stage1 = append(r.named, s.Item), append(r.stage1, s.Score)
	}
	r.fresh = len(r.named)
	bar := float32(math.Inf(-1))
	if r.fresh == r.m.Candidates {
		bar = r.stage1[r.fresh-1]
	}
	for _, item := range q.History {
		if item < 0 {
			continue
		}
		word, bit := item>>6, uint64(1)<<(item&63)
		if open := blocked == nil || blocked[word]&bit == 0; open && scores[item] >= bar && r.blocked[word]&bit != 0 {
			r.blocked[word] &^= bit // once
			r.named, r.stage1 = append(r.named, item), append(r.stage1, scores[item])
		}
	}
}

func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
