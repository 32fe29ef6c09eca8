package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"seqrec/internal/kernel"
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
	First          string `help:"Version that retrieves what the second stage ranks again." default:"current" placeholder:"VERSION"`
	Candidates     int    `help:"Items it retrieves." default:"200"`
	AttentionWidth *int   `placeholder:"N" help:"Width of each attention table (dare); narrower ones search faster."`
	Select         *int   `placeholder:"N" help:"Events that the search keeps."`
	PositionRows   *int   `placeholder:"N" help:"Rows of the position tables; fewer than length+1 share rows, logarithmically."`
	Gaps           *bool  `negatable:"" help:"A table of the time between event and candidate."`
	MinEvents      *int   `placeholder:"N" help:"Leave out users with fewer events; 20 by default, where the papers have 210 for logs of long histories."`
	Positives      *int   `placeholder:"N" help:"Training positives a user."`
	PositiveStep   *int   `placeholder:"N" help:"Events from one to the next older one."`
	SlateNegatives *int   `placeholder:"N" help:"Items a slate has that were not taken, drawn by popularity."`
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
}

// lifelongPlan is a recipe's settings with the flags.
func (c *trainCmd) lifelongPlan() (train.LifelongPlan, error) {
	p := train.LifelongPlan{Model: lifelong.Config{Model: c.Recipe}, Seed: c.Seed}
	p.Slates.MinEvents, p.Slates.Seed = 20, c.Seed
	c.Lifelong.apply(&p)
	o := &c.Override
	used := map[string]bool{"epochs": true, "eval-every": true, "width": true, "length": true, "heads": true, "init-std": true, "batch-size": true, "rate": true, "beta1": true, "beta2": true}
	var idle []string
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
	if err := errors.Join(o.checkZeros(), p.WithDefaults().Validate()); err != nil {
		return p, fmt.Errorf("%w: %w", errUsage, err)
	}
	return p, nil
}

// secondStage trains and publishes a second stage.
func (c *trainCmd) secondStage(a *app) error {
	plan, err := c.lifelongPlan()
	if err != nil {
		return err
	}
	if c.Lifelong.Candidates < 10 || c.Lifelong.Candidates > 1000 {
		return fmt.Errorf("%w: --candidates is %d, want 10 to 1000", errUsage, c.Lifelong.Candidates)
	}
	filter := c.dataFlags.plan()
	if err := filter.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	reg, err := c.registryFlag.open()
	if err != nil {
		return err
	}
	shown := newDisplay(a.err)
	s, err := train.SecondStage(a.ctx, plan, train.SecondOptions{
		Data: c.Data, Filter: filter, Registry: reg, First: c.Lifelong.First, Candidates: c.Lifelong.Candidates, Publish: true, Promote: c.Promote,
		Workers: c.Workers, Revision: revision(), CPU: kernel.Features(), Say: shown.say, Progress: shown.slates,
	})
	shown.close()
	if s == nil {
		return err
	}
	return errors.Join(err, json.NewEncoder(a.out).Encode(s))
}

// isLifelong says whether a recipe makes a second stage.
func isLifelong(recipe string) bool { return slices.Contains(lifelong.Kinds(), recipe) }
