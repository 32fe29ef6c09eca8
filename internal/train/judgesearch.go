package train

import (
	"context"
	"errors"
	"fmt"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
)

// SearchFigures judge what a search keeps by what the data itself says.
type SearchFigures struct {
	NDCG   float64 `json:"ndcg"`   // at K, the mean over slates
	K      int     `json:"k"`      // events that the search keeps
	Slates int     `json:"slates"` // test slates whose history tells something
}

// Bounds of what JudgeSearch reads: figures over more differ in the fourth place.
const (
	presenceSlates = 30_000
	searchSlates   = 2_000
)

// ErrNoCategories says that nothing can be said of a search, since the data has no
// categories.
var ErrNoCategories = errors.New("the data has no categories")

// JudgeSearch holds the events that a search keeps for the positives of the test
// slates against their mutual information with the label (Feng et al. 2025,
// section 2.3), counted over training slates by category of target and behaviour
// and by place: see eval.Presence. Places share buckets of 1, 2, 4, ... of them,
// where the paper counts each alone. Members that select nothing are judged by
// what they weigh most. Without categories the error is ErrNoCategories.
func JudgeSearch(ctx context.Context, m *lifelong.Model, b *Behaviours, split *features.SlateSplit) (f SearchFigures, err error) {
	c := m.Config()
	f.K = c.Select
	if c.Categories == 0 {
		return f, fmt.Errorf("judge the search of %s: %w", m.Describe(), ErrNoCategories)
	}
	p, err := countPresence(ctx, b, split.Train, c)
	if err != nil {
		return f, err
	}
	scorer, sum := m.NewScorer(), 0.0
	for _, s := range spread(split.Test, searchSlates) {
		if err := ctx.Err(); err != nil {
			return f, fmt.Errorf("judge the search of %s: %w", m.Describe(), err)
		}
		e := b.Example(s, c.Length)
		history := b.codes(e.History.Items)
		relevance := make([]float64, len(history))
		if err := p.Relevance(relevance, b.Categories.Of[s.Candidates[0]], history); err != nil {
			return f, err
		}
		var selected []int32
		for _, i := range scorer.Selected(e.History, s.Candidates[0], e.At) {
			selected = append(selected, int32(i))
		}
		gain, err := eval.SelectionNDCG(relevance, selected, c.Select)
		if errors.Is(err, eval.ErrNothingRelevant) {
			continue
		}
		if err != nil {
			return f, err
		}
		sum, f.Slates = sum+gain, f.Slates+1
	}
	f.NDCG = sum / float64(max(f.Slates, 1))
	return f, nil
}

// countPresence counts which categories stand where in the histories of training
// slates.
func countPresence(ctx context.Context, b *Behaviours, slates []features.Slate, c lifelong.Config) (*eval.Presence, error) {
	p, err := eval.NewPresence(c.Categories, eval.PowerBuckets(c.Length))
	if err != nil {
		return nil, err
	}
	for _, s := range spread(slates, presenceSlates) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("count presence: %w", err)
		}
		history := b.codes(b.Example(s, c.Length).History.Items)
		for i, item := range s.Candidates {
			if err := p.Add(b.Categories.Of[item], history, i == 0); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// codes are the categories of items, -1 where none is known.
func (b *Behaviours) codes(items []int32) []int32 {
	codes := make([]int32, len(items))
	for i, item := range items {
		codes[i] = -1
		if item >= 0 && b.Categories.Of[item] > 0 {
			codes[i] = b.Categories.Of[item]
		}
	}
	return codes
}
