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

// rerankCost predicts how long the second stage needs. Its shape is measured by
// the warm-up; strain is learnt from every request.
type rerankCost struct {
	strain
	event     float64 // ns to take one event into a state
	candidate float64 // ns for each candidate, whatever the history
	pair      float64 // ns for each candidate and event
}

// idle is what it takes on the idle machine, in ns, to score candidates against a
// history of which fresh events are not in a state yet.
func (c *rerankCost) idle(events, fresh, candidates int) float64 {
	return c.event*float64(fresh) + float64(candidates)*(c.candidate+c.pair*float64(events))
}

// Golden requests of the second stage.
const (
	goldenEvents     = 1000
	goldenCandidates = 64
)

// warmSecond has every rescorer answer golden requests of the most popular items:
// a history of one event and a long one. It fails unless all log odds are numbers
// and the same from each.
func (c *core) warmSecond() error {
	if c.second == nil {
		return nil
	}
	candidates := c.popular[:min(goldenCandidates, len(c.popular))]
	long := lifelong.History{Items: c.golden(goldenEvents).History}
	short := lifelong.History{Items: long.Items[:1]}
	states := [2]*lifelong.State{c.second.Model.NewState(), c.second.Model.NewState()}
	states[0].Append(short)
	start := time.Now()
	states[1].Append(long)
	c.second.cost.event = float64(time.Since(start)) / goldenEvents
	var want []float32
	for i := range cap(c.second.rescorers) {
		r := <-c.second.rescorers
		got := make([]float32, 2*len(candidates))
		took := [2]time.Duration{}
		for which, st := range states {
			begin := time.Now()
			r.scorer.ScoreState(got[which*len(candidates):][:len(candidates)], st, candidates, 0)
			took[which] = time.Since(begin)
		}
		c.second.rescorers <- r
		for k, odds := range got {
			if !finite(odds) || i > 0 && odds != want[k] {
				return fmt.Errorf("golden request of the reranker: log odds %v of candidate %d from rescorer %d", odds, k%len(candidates), i)
			}
		}
		want = got
		c.second.cost.measured(took[0], took[1], len(candidates), i == 0)
	}
	return nil
}

// measured takes in how long a history of one event and one of goldenEvents took;
// the fastest rescorer counts.
func (c *rerankCost) measured(short, long time.Duration, candidates int, first bool) {
	candidate := float64(short) / float64(candidates)
	pair := float64(max(long-short, 0)) / float64(candidates*(goldenEvents-1))
	if first || candidate < c.candidate {
		c.candidate = candidate
	}
	if first || pair < c.pair {
		c.pair = pair
	}
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
