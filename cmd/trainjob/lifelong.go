package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// lifelongRecipes are the recipes of second stages: one for each member of the
// family, all with the settings of the authors of DARE (Feng et al., ICLR 2025).
func lifelongRecipes() map[string]string {
	return map[string]string{
		"dare":     "second stage: DARE, search and representation with tables of their own (ICLR 2025)",
		"twin":     "second stage: TWIN, one set of tables for search and representation (KDD 2023)",
		"twin-v2":  "second stage: TWIN-V2, TWIN over clusters of like events (CIKM 2024)",
		"eta":      "second stage: ETA, search by hash codes (2021)",
		"sdim":     "second stage: SDIM, attention by hash collision: the cheapest (CIKM 2022)",
		"sim":      "second stage: SIM, a search of its own, then several heads (CIKM 2020)",
		"sim-hard": "second stage: SIM with search by category; needs categories",
		"din":      "second stage: DIN, a small network on every pair: the dearest (KDD 2018)",
	}
}

// lifelongOverrides are settings of a second stage. Nil keeps the recipe's.
type lifelongOverrides struct {
	First          *string  `placeholder:"VERSION" help:"Version that retrieves what the second stage ranks again; by default the current one."`
	Candidates     *int     `placeholder:"N" help:"Items it retrieves, 10 to 1000; 200 by default."`
	AttentionWidth *int     `placeholder:"N" help:"Width of each attention table (dare); narrower ones search faster."`
	Select         *int     `placeholder:"N" help:"Events that the search keeps."`
	PositionRows   *int     `placeholder:"N" help:"Rows of the position tables; fewer than length+1 share rows, logarithmically."`
	Gaps           *bool    `negatable:"" help:"A table of the time between event and candidate."`
	MinEvents      *int     `placeholder:"N" help:"Leave out users with fewer events; 20 by default, where the papers have 210 for logs of long histories."`
	Positives      *int     `placeholder:"N" help:"Training positives a user."`
	PositiveStep   *int     `placeholder:"N" help:"Events from one to the next older one."`
	SlateNegatives *int     `placeholder:"N" help:"Items a slate has that were not taken, drawn by popularity."`
	HardNegatives  *int     `placeholder:"N" help:"Items it has besides, drawn from what the first stage retrieves; 4 by default, 0 for none."`
	Auxiliary      *float64 `placeholder:"X" help:"Weight of the auxiliary loss, by which the search learns from events that it does not keep; 1 by default, 0 leaves its head out."`
}

// apply changes a plan.
func (o *lifelongOverrides) apply(p *train.LifelongPlan) {
	set(&p.Model.AttentionWidth, o.AttentionWidth)
	set(&p.Model.Select, o.Select)
	set(&p.Model.Positions, o.PositionRows)
	set(&p.Model.Gaps, o.Gaps)
	set(&p.Slates.MinEvents, o.MinEvents)
	set(&p.Slates.Count, o.Positives)
	set(&p.Slates.Step, o.PositiveStep)
	set(&p.Slates.Negatives, o.SlateNegatives)
	if o.Auxiliary != nil {
		p.Train.Auxiliary, p.Model.NoAuxiliary = float32(*o.Auxiliary), *o.Auxiliary == 0
	}
}

// hard is train.SecondOptions.Hard.
func (o *lifelongOverrides) hard() int {
	switch {
	case o.HardNegatives == nil:
		return 0
	case *o.HardNegatives == 0:
		return -1
	}
	return *o.HardNegatives
}

// lifelongRecipe is a recipe's settings.
func lifelongRecipe(name string, seed uint64) train.LifelongPlan {
	p := train.LifelongPlan{Model: lifelong.Config{Model: name}, Seed: seed}
	p.Slates.MinEvents, p.Slates.Seed = 20, seed
	return p
}

// lifelongPlan is a recipe's settings with the flags.
func (c *trainCmd) lifelongPlan() (train.LifelongPlan, error) {
	p := lifelongRecipe(c.Recipe, c.Seed)
	c.Lifelong.apply(&p)
	o := &c.Override
	used := map[string]bool{"epochs": true, "eval-every": true, "width": true, "length": true, "heads": true, "init-std": true, "batch-size": true, "rate": true, "beta1": true, "beta2": true}
	idle := c.idleForSecond()
	for _, flag := range given(o) {
		if !used[strings.TrimPrefix(flag, "--")] {
			idle = append(idle, flag)
		}
	}
	if len(idle) > 0 {
		return p, fmt.Errorf("%w: the recipe %s has no use for %s: leave them out", errUsage, c.Recipe, strings.Join(idle, ", "))
	}
	set(&p.Epochs, o.Epochs)
	set(&p.EvalEvery, o.EvalEvery)
	set(&p.Model.Width, o.Width)
	set(&p.Model.Length, o.Length)
	set(&p.Model.Heads, o.Heads)
	set(&p.Model.InitStd, o.InitStd)
	set(&p.Batch, o.BatchSize)
	set(&p.Train.Beta1, o.Beta1)
	set(&p.Train.Beta2, o.Beta2)
	if o.Rate != nil {
		p.Train.LR = float32(*o.Rate)
	}
	if err := errors.Join(o.checkZeros(), c.Lifelong.check(c.Recipe), p.WithDefaults().Validate()); err != nil {
		return p, fmt.Errorf("%w: %w", errUsage, err)
	}
	return p, nil
}

// idleForSecond names the flags that were given and say nothing to a second
// stage. heads is for the members that have some.
func (c *trainCmd) idleForSecond() (flags []string) {
	for _, f := range [...]struct {
		flag  string
		given bool
	}{
		{"--split", c.Split != features.SplitLeaveOneOut}, {"--no-baselines", c.NoBaselines},
		{"--heads", c.Override.Heads != nil && !strings.HasPrefix(c.Recipe, "sim")},
		{"--attention-width", c.Lifelong.AttentionWidth != nil && c.Recipe != "dare"},
		{"--auxiliary", c.Lifelong.Auxiliary != nil && slices.Contains([]string{"eta", "sdim", "sim-hard"}, c.Recipe)},
		{"--select", c.Lifelong.Select != nil && c.Recipe == "sdim"},
		{"--gaps", c.Lifelong.Gaps != nil && c.Recipe == "sdim"},
		{"--position-rows", c.Lifelong.PositionRows != nil && c.Recipe == "sdim"},
	} {
		if f.given {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// check reports the settings that were given a number which means the default or
// none at all.
func (o *lifelongOverrides) check(recipe string) error {
	var faults []error
	for _, f := range [...]struct {
		flag  string
		value *int
	}{
		{"attention-width", o.AttentionWidth}, {"select", o.Select}, {"position-rows", o.PositionRows}, {"min-events", o.MinEvents},
		{"positives", o.Positives}, {"positive-step", o.PositiveStep}, {"slate-negatives", o.SlateNegatives},
	} {
		if isZero(f.value) {
			faults = append(faults, fmt.Errorf("--%s is 0; leave it out for what the recipe %s has", f.flag, recipe))
		}
	}
	if n := o.HardNegatives; n != nil && (*n < 0 || *n > 100) {
		faults = append(faults, fmt.Errorf("--hard-negatives is %d, want 0 to 100", *n))
	}
	if n := o.candidates(); n < 10 || n > 1000 {
		faults = append(faults, fmt.Errorf("--candidates is %d, want 10 to 1000", n))
	}
	return errors.Join(faults...)
}

func (o *lifelongOverrides) candidates() int {
	if o.Candidates == nil {
		return 200
	}
	return *o.Candidates
}

func (o *lifelongOverrides) first() string {
	if o.First == nil {
		return "current"
	}
	return *o.First
}

// secondStage trains and publishes a second stage.
func (c *trainCmd) secondStage(a *app) error {
	plan, err := c.lifelongPlan()
	if err != nil {
		return err
	}
	filter := c.dataFlags.plan()
	if err := filter.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	opt, err := c.options(a, c.Data, c.registryFlag)
	if err != nil {
		return err
	}
	shown := newDisplay(a.err)
	s, err := train.SecondStage(a.ctx, plan, train.SecondOptions{
		Data: c.Data, Filter: filter, AsFirst: reflect.DeepEqual(filter, usualFilter), Registry: opt.Registry, First: c.Lifelong.first(), Candidates: c.Lifelong.candidates(), Hard: c.Lifelong.hard(), Publish: true,
		Promote: opt.Promote, Hold: opt.Hold, Gate: opt.Gate, Name: opt.Name, Workers: c.Workers, Revision: opt.Revision, CPU: opt.CPU, Say: shown.say, Progress: shown.slates,
		Work: c.work(), Resume: c.Resume, Every: c.CheckpointEvery,
	})
	shown.close()
	if errors.Is(err, train.ErrInterrupted) {
		return toResume(err)
	}
	if s == nil {
		return err
	}
	return errors.Join(err, json.NewEncoder(a.out).Encode(s))
}

// usualFilter is what dataFlags say where nothing was given.
var usualFilter = dataFlags{Split: features.SplitLeaveOneOut, MinItemCount: 5}.plan()

// isLifelong says whether a recipe makes a second stage.
func isLifelong(recipe string) bool { return slices.Contains(lifelong.Kinds(), recipe) }
