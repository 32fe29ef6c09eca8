package recommend

import (
	"fmt"
	"math"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
)

// Reranker is the second stage of a version: a target-aware model that scores
// what the first stage retrieved against the whole history.
type Reranker struct {
	Model *lifelong.Model
	Kinds map[event.Kind]int32 // code of each kind that the model learned; others have code 0
	// Blend is the weight of the second stage, Candidates how many retrieved items
	// it was judged with (0 when nobody said); see registry.Reranker.
	Blend      float64
	Candidates int
}

// newReranker joins a model and its settings. They come from two files, so what
// one promises of the other is checked.
func newReranker(m *lifelong.Model, set *registry.Reranker) (*Reranker, error) {
	if got, want := len(set.Kinds), m.Config().Kinds; got != want {
		return nil, fmt.Errorf("the reranker learned %d kinds of behaviour, the manifest names %d", want, got)
	}
	r := &Reranker{Model: m, Kinds: make(map[event.Kind]int32, len(set.Kinds)), Blend: set.Blend, Candidates: set.Candidates}
	for code, name := range set.Kinds {
		r.Kinds[event.Kind(name)] = int32(code)
	}
	return r, nil
}

// checkReranker holds a second stage to the version it belongs to.
func checkReranker(l *Loaded) error {
	r := l.Reranker
	switch {
	case r == nil:
		return nil
	case r.Model.Items() != l.Vocab.Len():
		return fmt.Errorf("the reranker has %d items, the vocabulary %d", r.Model.Items(), l.Vocab.Len())
	case !(r.Blend >= 0) || math.IsInf(r.Blend, 1):
		return fmt.Errorf("the blend of the reranker is %v, want 0 or more", r.Blend)
	}
	for kind, code := range r.Kinds {
		if code < 0 || int(code) >= r.Model.Config().Kinds {
			return fmt.Errorf("the reranker gives kind %q code %d and has %d", kind, code, r.Model.Config().Kinds)
		}
	}
	return nil
}

// second is a Reranker ready to serve: it belongs to a core. A nil second is a
// version that has none, or whose blend of 0 leaves it nothing to say.
type second struct {
	*Reranker
	rescorers chan *rescorer // those that are free
	cost      rerankCost
}

// rescorer is a scorer with its scratch; one request uses it at a time.
type rescorer struct {
	scorer *lifelong.Scorer
	items  []int32
	odds   []float32
}

func newSecond(r *Reranker, rescorers int) *second {
	if r == nil || r.Blend == 0 {
		return nil
	}
	s := &second{Reranker: r, rescorers: make(chan *rescorer, rescorers)}
	for range rescorers {
		s.rescorers <- s.newRescorer()
	}
	return s
}

func (s *second) newRescorer() *rescorer { return &rescorer{scorer: s.Model.NewScorer()} }

// Golden requests of the second stage. The histories are far apart in length, for the
// cost is told from both.
const (
	goldenFew        = 100    // events of the short history
	goldenMany       = 10_000 // events of the long one
	goldenCandidates = 64
)

// warmSecond has every rescorer answer golden requests of the most popular items: a
// short history and a long one. It fails unless all log odds are numbers and the same
// from each. Then it measures what a request costs.
func (c *core) warmSecond() error {
	if c.second == nil {
		return nil
	}
	candidates := c.popular[:min(goldenCandidates, len(c.popular))]
	histories := [2]lifelong.History{{Items: c.golden(goldenFew).History}, {Items: c.golden(goldenMany).History}}
	var states [2]*lifelong.State
	for i, h := range histories {
		states[i] = c.second.Model.NewState()
		states[i].Append(h)
	}
	var want []float32
	for i := range cap(c.second.rescorers) {
		r := <-c.second.rescorers
		got := make([]float32, 2*len(candidates))
		for which, st := range states {
			r.scorer.ScoreState(got[which*len(candidates):][:len(candidates)], st, candidates, 0)
		}
		c.second.rescorers <- r
		for k, odds := range got {
			if !finite(odds) || i > 0 && odds != want[k] {
				return fmt.Errorf("golden request of the reranker: log odds %v of candidate %d from rescorer %d", odds, k%len(candidates), i)
			}
		}
		want = got
	}
	r := <-c.second.rescorers
	c.second.cost.measure(time.Now, r.rehearsal(c.second.Model, histories, states, candidates))
	c.second.rescorers <- r
	return nil
}

// rehearsal lends the parts of the second stage to be timed.
func (by *rescorer) rehearsal(model *lifelong.Model, histories [2]lifelong.History, states [2]*lifelong.State, candidates []int32) rehearsal {
	odds := make([]float32, len(candidates))
	return rehearsal{
		candidates: len(candidates),
		build:      func(which int) { model.NewState().Append(histories[which]) },
		score:      func(which, n int) { by.scorer.ScoreState(odds[:n], states[which], candidates[:n], 0) },
		explain: func(which int) (one func()) {
			e := by.scorer.ExplainState(states[which], 0)
			return func() { e.Moments(candidates[0], MaxMoments) }
		},
	}
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
