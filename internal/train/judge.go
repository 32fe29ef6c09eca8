package train

import (
	"context"
	"fmt"
	"slices"
	"time"

	"seqrec/internal/baseline"
	"seqrec/internal/eval"
	"seqrec/internal/features"
)

// bootstrapSeed is the same everywhere, so that judging a version again gives
// the very intervals of its report.
const bootstrapSeed = 1

// JudgeOptions are what judging takes besides models and cases.
type JudgeOptions struct {
	Workers   int    // 0: all processors
	Resamples int    // 0: eval.DefaultResamples; negative: none
	Data      string // how the data was filtered, see DataPlan.Filter
	Progress  func(done, total int)
	Now       func() time.Time
}

func (o JudgeOptions) options(name string, s *features.Split, counts []int64) eval.Options {
	if o.Resamples == 0 {
		o.Resamples = eval.DefaultResamples
	}
	return eval.Options{
		Name: name, Split: s.Name, Part: "test", TargetHash: s.TargetHash, Data: o.Data, Counts: counts, Workers: o.Workers,
		Seed: bootstrapSeed, Resamples: max(o.Resamples, 0), Progress: o.Progress, Now: o.Now,
	}
}

// JudgeSplit ranks the test cases of a split with a model of the split's own
// items.
func JudgeSplit(ctx context.Context, name string, m Model, s *features.Split, opt JudgeOptions) (*eval.Result, error) {
	return judge(ctx, name, m, s, features.Counts(s.Train, s.Items), opt)
}

func judge(ctx context.Context, name string, m Model, s *features.Split, counts []int64, opt JudgeOptions) (*eval.Result, error) {
	o := opt.options(name, s, counts)
	o.Places = readsPlaces(m)
	r, err := eval.Evaluate(ctx, m.NewRanker, readable(m, s.Test), s.Items, o)
	if err != nil {
		return nil, fmt.Errorf("judge %s: %w", name, err)
	}
	return r, nil
}

// Judge ranks the test cases of a split of data with a published version, with
// both stages where it has two. Its vocabulary may be another. The catalogue that is ranked is the data's, so that
// models of different nights can be compared: items unknown to the model come last
// and are left out of histories, where a second stage keeps their places as in the
// service; an unknown target is a miss, and what only the model knows is not ranked.
func (p *Published) Judge(ctx context.Context, data *features.Dataset, s *features.Split, opt JudgeOptions) (*eval.Result, error) {
	cases := p.translate(s.Test, data.Vocab)
	o := opt.options(p.label(), s, p.Counts)
	o.Outside, o.Catalogue, o.Places = p.outside(data), data.Vocab.Len(), p.ReadsPlaces()
	r, err := eval.Evaluate(ctx, p.Served().NewRanker, cases, p.Model.Items(), o)
	if err != nil {
		return nil, fmt.Errorf("judge version %s: %w", p.Version, err)
	}
	return r, nil
}

// label names a version in tables: its name and the end of its version, which
// is the part that differs.
func (p *Published) label() string {
	short := p.Version[len(p.Version)-6:]
	if p.Name == "" {
		return short
	}
	return p.Name + " " + short
}

// outside lists the items of the model that a data set does not have.
func (p *Published) outside(data *features.Dataset) (list []int32) {
	for i, id := range p.Vocab.IDs() {
		if _, ok := data.Vocab.Number(id); !ok {
			list = append(list, int32(i))
		}
	}
	return list
}

// UnknownItems counts the items of a data set that the model does not know.
func (p *Published) UnknownItems(data *features.Dataset) (n int) {
	for _, id := range data.Vocab.IDs() {
		if _, ok := p.Vocab.Number(id); !ok {
			n++
		}
	}
	return n
}

// ReadsPlaces says whether the version reads more of a history than the events of
// the items that it knows: the places of all others, which a second stage counts.
func (p *Published) ReadsPlaces() bool { return readsPlaces(p.Served()) }

func readsPlaces(m Model) bool {
	_, ok := m.(*TwoStages)
	return ok
}

// readable gives cases as a model can read them: only a second stage has a use for
// the places of events of unknown items.
func readable(m Model, cases []features.Case) []features.Case {
	if readsPlaces(m) {
		return cases
	}
	out := make([]features.Case, len(cases))
	for i, c := range cases {
		out[i] = c.Known()
	}
	return out
}

// translate gives the cases in the model's item numbers, and as it reads them.
func (p *Published) translate(cases []features.Case, from *features.Vocab) []features.Case {
	number := make([]int32, from.Len())
	for i, id := range from.IDs() {
		number[i] = -1
		if n, ok := p.Vocab.Number(id); ok {
			number[i] = n
		}
	}
	out := make([]features.Case, len(cases))
	for i, c := range cases {
		c.Target, c.Input = number[c.Target], slices.Clone(c.Input)
		for j, item := range c.Input {
			if item >= 0 {
				c.Input[j] = number[item]
			}
		}
		out[i] = c
	}
	return readable(p.Served(), out)
}

// Baselines fits every baseline to a split.
func Baselines(s *features.Split) ([]*baseline.Model, error) {
	var out []*baseline.Model
	for _, kind := range baseline.Kinds() {
		m, err := baseline.Fit(kind, s, baseline.Options{})
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
