package train

import (
	"fmt"
	"time"

	"seqrec/internal/seqmodel"
)

// Start is a model whose weights another one may begin with.
type Start struct {
	Model seqmodel.Model
	From  []int32 // by item of the new model: its number in Model, -1 for none
}

// warm finds what the model begins with: the version that the options name, nil
// for fresh weights. What keeps it from being used is said and is no error, for
// fresh weights are always right; a model that has learned from the events of the
// test is never used, since its successor would be judged on what it knows by heart.
func (n *night) warm() (*Start, error) {
	if n.opt.Warm == "" {
		return nil, nil
	}
	p, err := Open(n.opt.Registry, n.opt.Warm)
	if err != nil {
		return nil, fmt.Errorf("warm start: %w", err)
	}
	s, why := n.startFrom(p)
	if s == nil {
		n.origin = "fresh weights, not those of " + p.Version + ": " + why
		n.opt.Say("warm start: %s", n.origin)
		return nil, nil
	}
	trial, err := seqmodel.New(n.plan.Model, n.plan.Seed)
	if err != nil {
		return nil, err
	}
	done, err := seqmodel.Transfer(trial, s.Model, s.From)
	if err != nil {
		return nil, fmt.Errorf("warm start: %w", err)
	}
	rest := "the rest of the network too"
	if !done.Whole {
		rest = "the rest begins fresh, as its shape is another"
	}
	n.plan.Warm = p.Version
	n.origin = fmt.Sprintf("from version %s: the vectors of %d items, %d items are new; %s", p.Version, done.Known, done.New, rest)
	n.opt.Say("warm start: %s", n.origin)
	return s, nil
}

// startFrom gives a published model as a start, or says why it is none.
func (n *night) startFrom(p *Published) (s *Start, why string) {
	m, ok := p.Model.(seqmodel.Model)
	switch {
	case !ok:
		return nil, "it is a " + string(p.Plan.Baseline) + " baseline"
	case m.Config().Width != n.plan.Model.WithDefaults().Width:
		return nil, fmt.Sprintf("it has width %d", m.Config().Width)
	case n.knows(p.TrainedTo):
		return nil, "it has learned from events up to " + p.TrainedTo.Format(time.DateTime) + ", which are in this test"
	}
	s = &Start{Model: m, From: make([]int32, n.data.Vocab.Len())}
	for i, id := range n.data.Vocab.IDs() {
		s.From[i] = -1
		if number, ok := p.Vocab.Number(id); ok {
			s.From[i] = number
		}
	}
	return s, ""
}
