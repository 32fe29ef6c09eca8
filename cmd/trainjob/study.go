package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// studyCmd compares members of the lifelong family on a log, as their papers do.
type studyCmd struct {
	Data         string   `help:"Interactions: a file or a folder that holds one; the public logs of Taobao (UserBehavior.csv) and Tmall (user_log_format1.csv) as they are." required:"" type:"path" placeholder:"PATH"`
	Kinds        []string `help:"Keep only events of these kinds; of the two public logs page views and clicks are kept by default." placeholder:"KIND"`
	DropItems    []string `help:"Leave these items out." placeholder:"ITEM"`
	MinItemCount int      `help:"Leave out items with fewer events; 0 keeps all, as the papers do." default:"0"`
	Models       []string `help:"Members to compare: dare, twin, twin-v2, eta, sdim, sim, sim-hard, din." default:"dare,twin"`
	Seeds        []uint64 `help:"Of weights and order; figures are means over them, with Student's interval." default:"1,2,3,4,5"`
	Epochs       int      `default:"2"`
	EvalEvery    int      `help:"Steps between validations." default:"150"`
	BatchSize    int      `help:"Rows (candidates) a step." default:"2048"`
	Rate         float32  `help:"Learning rate." default:"0.01"`
	Width        int      `help:"Width of each table." default:"16"`
	Attention    int      `name:"attention-width" help:"Width of dare's attention tables; 0 is the width." default:"0"`
	Length       int      `help:"Newest events of a history." default:"200"`
	Select       int      `help:"Events that the search keeps." default:"20"`
	MinEvents    int      `help:"Leave out users with fewer events." default:"210"`
	Positives    int      `help:"Training positives a user." default:"19"`
	PositiveStep int      `help:"Events from one to the next older one." default:"5"`
	Negatives    int      `help:"Items a slate has that were not taken, drawn by popularity." default:"2"`
	workersFlag
}

// Help implements kong.HelpProvider.
func (*studyCmd) Help() string {
	return `Trains members of the lifelong family on a log and prints the area under the ROC curve over all test rows, its mean over users, how well the search keeps the events that tell most about a target (NDCG against mutual information by category, where the data has some), and intervals over seeds. Nothing is published. The defaults are the protocol of DARE (ICLR 2025): page views, users with 210 events and more, the last event as test, the one before it as validation, 19 older ones every fifth back from the third to last as training positives, two negatives each by popularity, the newest 200 events as history, K = 20, Adam at 0.01, 2 epochs, the weights with the best validation AUC.

The last line of standard output is one JSON object.

  trainjob study --data UserBehavior.csv --models dare,twin,eta,sdim,din
  trainjob study --data ml-1m --min-events 20 --positive-step 3 --positives 20 --epochs 3`
}

// studied is one member's line.
type studied struct {
	Model    string             `json:"model"`
	AUC      []float64          `json:"auc"` // by seed
	UserGAUC []float64          `json:"user_gauc"`
	Search   []float64          `json:"search_ndcg,omitempty"`    // against mutual information; none without categories
	Interval *eval.SeedInterval `json:"auc_over_seeds,omitempty"` // from two seeds on
	Seconds  []float64          `json:"seconds"`
}

// Run implements runner.
func (c *studyCmd) Run(a *app) error {
	plans, err := c.plans()
	if err != nil {
		return err
	}
	b, err := train.ReadBehaviours(a.ctx, c.Data, features.ReadOptions{Kinds: c.Kinds, DropItems: c.DropItems, MinItemCount: c.MinItemCount}, a.say)
	if err != nil {
		return err
	}
	split, err := features.CutSlates(b.Data, plans[0].Slates)
	if err != nil {
		return err
	}
	a.say("%d users, %d items, %d events; slates: %d to train, %d to validate, %d to test; %d users have fewer than %d events",
		len(b.Data.Users), b.Data.Vocab.Len(), b.Data.Len(), len(split.Train), len(split.Valid), len(split.Test), split.Short, c.MinEvents)
	var lines []studied
	for _, plan := range plans {
		line, err := c.study(a, plan, b, split)
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	w := tabwriter.NewWriter(a.err, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "model\tAUC\tuser-GAUC\tsearch NDCG\tinterval over seeds")
	for _, l := range lines {
		interval, search := "", "-"
		if len(l.Search) > 0 {
			search = fmt.Sprintf("%.4f", mean(l.Search))
		}
		if l.Interval != nil {
			interval = fmt.Sprintf("%.4f to %.4f", l.Interval.Low, l.Interval.High)
		}
		fmt.Fprintf(w, "%s\t%.4f\t%.4f\t%s\t%s\n", l.Model, mean(l.AUC), mean(l.UserGAUC), search, interval)
	}
	return errors.Join(w.Flush(), json.NewEncoder(a.out).Encode(map[string]any{"data": c.Data, "seeds": c.Seeds, "train_slates": len(split.Train), "test_slates": len(split.Test), "models": lines}))
}

// zeros reports the flags that were given a 0 where a plan's zero means its
// default: what was asked for would be something else.
func (c *studyCmd) zeros() error {
	for _, f := range [...]struct {
		flag string
		zero bool
	}{
		{"epochs", c.Epochs == 0}, {"eval-every", c.EvalEvery == 0}, {"batch-size", c.BatchSize == 0}, {"rate", c.Rate == 0}, {"width", c.Width == 0},
		{"length", c.Length == 0}, {"select", c.Select == 0}, {"min-events", c.MinEvents == 0}, {"positives", c.Positives == 0},
		{"positive-step", c.PositiveStep == 0}, {"negatives", c.Negatives == 0},
	} {
		if f.zero {
			return fmt.Errorf("%w: --%s is 0, want more", errUsage, f.flag)
		}
	}
	return nil
}

// checkLists reports what is wrong with the models and seeds: a model without a
// name would be the default one, and an interval over seeds takes their runs to be
// independent.
func (c *studyCmd) checkLists() error {
	var faults []error
	for i, name := range c.Models {
		switch {
		case !slices.Contains(lifelong.Kinds(), name):
			faults = append(faults, fmt.Errorf("--models: model %q is unknown, want some of %s", name, strings.Join(lifelong.Kinds(), ", ")))
		case slices.Contains(c.Models[:i], name):
			faults = append(faults, fmt.Errorf("--models: %s is named twice", name))
		}
	}
	for i, seed := range c.Seeds {
		if slices.Contains(c.Seeds[:i], seed) {
			faults = append(faults, fmt.Errorf("--seeds: %d is named twice, and equal seeds are one run, not two", seed))
		}
	}
	if len(c.Models) == 0 || len(c.Seeds) == 0 {
		faults = append(faults, errors.New("want a model and a seed"))
	}
	return errors.Join(faults...)
}

// plans are the settings of every member.
func (c *studyCmd) plans() (plans []train.LifelongPlan, err error) {
	if err := c.zeros(); err != nil {
		return nil, err
	}
	if err := c.checkLists(); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, name := range c.Models {
		p := train.LifelongPlan{Model: lifelong.Config{Model: name, Width: c.Width, Length: c.Length, Select: c.Select},
			Slates: features.SlateOptions{MinEvents: c.MinEvents, Count: c.Positives, Step: c.PositiveStep, Negatives: c.Negatives, Seed: 1},
			Batch:  c.BatchSize, Epochs: c.Epochs, EvalEvery: c.EvalEvery}
		if name == "dare" {
			p.Model.AttentionWidth = c.Attention
		}
		p.Train.LR = c.Rate
		if err := p.WithDefaults().Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// study trains one member under every seed.
func (c *studyCmd) study(a *app, plan train.LifelongPlan, b *train.Behaviours, split *features.SlateSplit) (line studied, err error) {
	line.Model = plan.Model.Model
	for _, seed := range c.Seeds {
		plan.Seed = seed
		shown := newDisplay(a.err)
		fit, err := train.FitLifelong(a.ctx, plan, b, split, train.FitOptions{Progress: shown.slates})
		shown.close()
		if err != nil {
			return line, fmt.Errorf("%s, seed %d: %w", line.Model, seed, err)
		}
		f, err := train.JudgeSlates(a.ctx, fit.Model, b, split.Test, c.Workers)
		if err != nil {
			return line, fmt.Errorf("%s, seed %d: %w", line.Model, seed, err)
		}
		a.say("%s seed %d: AUC %.4f, user-GAUC %.4f, best at step %d, %.0f s", line.Model, seed, f.AUC, f.UserGAUC.AUC, fit.BestStep, fit.Seconds)
		switch search, err := train.JudgeSearch(a.ctx, fit.Model, b, split); {
		case err == nil:
			line.Search = append(line.Search, search.NDCG)
		case !errors.Is(err, train.ErrNoCategories):
			return line, fmt.Errorf("%s, seed %d: %w", line.Model, seed, err)
		}
		line.AUC, line.UserGAUC, line.Seconds = append(line.AUC, f.AUC), append(line.UserGAUC, f.UserGAUC.AUC), append(line.Seconds, fit.Seconds)
	}
	if i, err := eval.OverSeeds(line.AUC); err == nil {
		line.Interval = &i
	}
	return line, nil
}
