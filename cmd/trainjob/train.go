package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"
	"unicode"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel"
	"seqrec/internal/tensor"
	"seqrec/internal/train"
)

// trainCmd trains, judges and publishes.
type trainCmd struct {
	dataFlags
	registryFlag
	Recipe string `help:"Settings to begin with; see trainjob recipes." default:"sasrec-ce"`
	Seed   uint64 `help:"Of weights, order, dropout and negatives. Equal seeds give equal weights on one instruction set." default:"1"`
	publishFlags
	Resume          bool          `help:"Go on from the checkpoint of the same run, if there is one."`
	Work            string        `help:"Folder for checkpoints; by default .work in the registry." type:"path" placeholder:"DIR"`
	CheckpointEvery time.Duration `help:"Longest time within an epoch without a checkpoint." default:"2m"`
	Override        overrides     `embed:"" group:"Settings that override the recipe:"`

	Lifelong lifelongOverrides `embed:"" group:"Settings of second stages (dare, twin, twin-v2, eta, sdim, sim, sim-hard, din):"`
}

// Help implements kong.HelpProvider.
func (*trainCmd) Help() string {
	return `Reads the data, cuts it, trains the recipe's model with early stop on validation NDCG@10, keeps the weights of the best epoch, ranks the test cases once (all items, the user's own history removed) beside popularity, last transition, VMIS-kNN and the current version, and publishes a version folder with the report.

The last line of standard output is one JSON object with the figures and the version; everything else goes to standard error.

After an interruption, kill -9 included, the same command with --resume ends with the very weights that an undisturbed run gives.

The recipes dare, twin, twin-v2, eta, sdim, sim, sim-hard and din train a second stage for a version that is there (--first): a model that ranks its candidates again against a user's whole history. Training keeps the weights with the best AUC on validation slates, chooses how much the second stage counts by NDCG@10 on validation events, judges both stages against the first alone and against the current version, and publishes a version that holds both. It has its own cut of the data (--split and --no-baselines are not for it).

Every flag can be in a YAML file (--config) by its name, or in the environment: --rate is TRAINJOB_RATE.

  trainjob train --data ml-1m --recipe sasrec-ce --seed 1 --registry models
  trainjob train --data log.ndjson --recipe beauty --split temporal --registry models --promote
  trainjob train --data ml-1m --recipe dare --registry models --promote`
}

// publishFlags are those of the commands that publish.
type publishFlags struct {
	Name        string  `help:"What to call the model; by default the recipe's name."`
	Promote     bool    `help:"Make the version current if the gate lets it. Without this it becomes current only when nothing is."`
	Hold        bool    `help:"Do not make it current even if nothing is."`
	MaxDrop     float64 `help:"Gate: the share of the current version's NDCG@10 that may be lost beyond doubt." default:"0.02"`
	MinNDCG     float64 `name:"min-ndcg" help:"Gate: the least NDCG@10. What is below it never becomes current, not even as the first version." default:"0"`
	NoBaselines bool    `help:"Report without popularity, last transition and VMIS-kNN beside the model; the gate looks at popularity all the same."`
	workersFlag
}

// overrides are settings of a recipe. Nil keeps what the recipe says.
type overrides struct {
	Epochs           *int     `placeholder:"N" help:"At most so many epochs."`
	Patience         *int     `placeholder:"N" help:"Stop after so many epochs without a better NDCG@10 on validation; 0 never stops early."`
	EvalEvery        *int     `placeholder:"N" help:"Judge every so many epochs."`
	ValidCases       *int     `placeholder:"N" help:"Validation cases used to choose the epoch; 0 uses all."`
	Width            *int     `placeholder:"N" help:"Width of states and item vectors."`
	Blocks           *int     `placeholder:"N" help:"Attention blocks."`
	Heads            *int     `placeholder:"N" help:"Attention heads."`
	Length           *int     `placeholder:"N" help:"Newest events of a history that are looked at."`
	Hidden           *int     `placeholder:"N" help:"Width of the feed-forward layer as a multiple of the width."`
	KeyWidth         *int     `placeholder:"N" help:"Width of queries and keys."`
	Layout           *string  `placeholder:"NAME" help:"Where blocks normalise: original, pre-ln, post-ln."`
	Attention        *string  `placeholder:"NAME" help:"Kind of attention."`
	Positions        *string  `placeholder:"NAME" help:"learned-reverse, learned-forward or none."`
	Activation       *string  `placeholder:"NAME" help:"relu, gelu or silu."`
	Dropout          *float32 `placeholder:"X" help:"Dropout of embeddings and layers."`
	AttentionDropout *float32 `placeholder:"X" help:"Dropout of attention weights."`
	InitStd          *float32 `placeholder:"X" help:"Standard deviation of first weights; 0 is Xavier."`
	OutputProjection *bool    `help:"Mix the heads by one more matrix." negatable:""`
	OutputBias       *bool    `help:"One learned number an item in its score." negatable:""`
	ScaleEmbedding   *bool    `help:"Input vectors times the root of the width." negatable:""`
	SeparateOutput   *bool    `help:"A table of its own for scores." negatable:""`
	Loss             *string  `placeholder:"NAME" help:"ce, sampled, bce or gbce."`
	Negatives        *int     `placeholder:"N" help:"Negatives of sampled losses."`
	Calibration      *float64 `placeholder:"X" help:"The t of gbce: 0 weighs as bce does, 1 is calibrated."`
	Popularity       *float64 `placeholder:"X" help:"Sampled: draw by events+1 to this power; 0 is uniform."`
	LogQ             *bool    `name:"log-q" help:"Sampled: correct for the probability of being drawn; needs --popularity." negatable:""`
	Scheme           *string  `placeholder:"NAME" help:"Training samples: shifted, tiled, prefix or random-cut."`
	BatchSize        *int     `placeholder:"N" help:"Sequences a step."`
	Rate             *float64 `placeholder:"X" help:"Learning rate."`
	Schedule         *string  `placeholder:"NAME" help:"constant, linear or cosine."`
	Warmup           *int     `placeholder:"N" help:"Steps in which the rate rises."`
	Floor            *float64 `placeholder:"X" help:"Last rate as a share of the rate."`
	Decay            *float32 `placeholder:"X" help:"Decoupled weight decay."`
	ClipNorm         *float32 `placeholder:"X" help:"Longest gradient; 0 is no limit."`
	Beta1            *float32 `name:"beta1" placeholder:"X" help:"Adam's first beta."`
	Beta2            *float32 `name:"beta2" placeholder:"X" help:"Adam's second beta."`
	Neighbours       *int     `placeholder:"N" help:"VMIS-kNN: sessions that vote."`
	Sessions         *int     `placeholder:"N" help:"VMIS-kNN: newest sessions looked at."`
	SessionLength    *int     `placeholder:"N" help:"VMIS-kNN: histories are cut into sessions of at most this; 0 does not cut."`
}

// idle names the flags that are set and that a baseline has no use for. Any other
// model, kind "", has a use for all of them.
func (o *overrides) idle(kind baseline.Kind) (flags []string) {
	if kind == "" {
		return nil
	}
	for _, flag := range given(o) {
		neighbourly := flag == "--neighbours" || flag == "--sessions" || flag == "--session-length"
		if !(kind == baseline.VMISKNN && neighbourly) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// given names the flags of a struct of settings that are set: fields that may be
// nil and are not.
func given(settings any) (flags []string) {
	v := reflect.ValueOf(settings).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if v.Field(i).Kind() == reflect.Pointer && !v.Field(i).IsNil() {
			flags = append(flags, "--"+cmp.Or(field.Tag.Get("name"), kebab(field.Name)))
		}
	}
	return flags
}

// kebab writes a field's name as kong names its flag: BatchSize is batch-size.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// set puts an override, if there is one, into a field.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// setAs is set for named types.
func setAs[T ~string](field *T, value *string) {
	if value != nil {
		*field = T(*value)
	}
}

func isZero[T comparable](value *T) bool {
	var zero T
	return value != nil && *value == zero
}

// checkZeros reports the flags that were given a zero or nothing where a plan's
// zero means its default: what was asked for would be something else.
func (o *overrides) checkZeros() error {
	var faults []error
	for _, f := range [...]struct {
		name string
		zero bool
	}{
		{"epochs", isZero(o.Epochs)}, {"eval-every", isZero(o.EvalEvery)}, {"width", isZero(o.Width)}, {"blocks", isZero(o.Blocks)},
		{"heads", isZero(o.Heads)}, {"length", isZero(o.Length)}, {"hidden", isZero(o.Hidden)}, {"key-width", isZero(o.KeyWidth)},
		{"layout", isZero(o.Layout)}, {"attention", isZero(o.Attention)}, {"positions", isZero(o.Positions)}, {"activation", isZero(o.Activation)},
		{"loss", isZero(o.Loss)}, {"negatives", isZero(o.Negatives)}, {"scheme", isZero(o.Scheme)}, {"batch-size", isZero(o.BatchSize)},
		{"rate", isZero(o.Rate)}, {"schedule", isZero(o.Schedule)}, {"beta1", isZero(o.Beta1)}, {"beta2", isZero(o.Beta2)},
		{"neighbours", isZero(o.Neighbours)}, {"sessions", isZero(o.Sessions)},
	} {
		if f.zero {
			faults = append(faults, fmt.Errorf("--%s is 0 or empty; leave it out for the recipe's value", f.name))
		}
	}
	return errors.Join(faults...)
}

// apply changes a plan.
func (o *overrides) apply(p *train.Plan) {
	set(&p.Epochs, o.Epochs)
	set(&p.Patience, o.Patience)
	set(&p.EvalEvery, o.EvalEvery)
	if set(&p.ValidCases, o.ValidCases); isZero(o.ValidCases) {
		p.ValidCases = train.AllCases
	}
	setAs[features.Scheme](&p.Scheme, o.Scheme)
	set(&p.Batch, o.BatchSize)
	set(&p.Schedule.Rate, o.Rate)
	set(&p.Schedule.Kind, o.Schedule)
	set(&p.Schedule.Warmup, o.Warmup)
	set(&p.Schedule.Floor, o.Floor)
	set(&p.KNN.Neighbours, o.Neighbours)
	set(&p.KNN.Sample, o.Sessions)
	if set(&p.KNN.SessionLength, o.SessionLength); isZero(o.SessionLength) {
		p.KNN.SessionLength = baseline.Whole
	}
	o.applyModel(&p.Model)
	o.applyTrain(&p.Train)
}

func (o *overrides) applyModel(m *seqmodel.Config) {
	set(&m.Width, o.Width)
	set(&m.Blocks, o.Blocks)
	set(&m.Heads, o.Heads)
	set(&m.Length, o.Length)
	set(&m.Hidden, o.Hidden)
	set(&m.KeyWidth, o.KeyWidth)
	setAs[seqmodel.Layout](&m.Layout, o.Layout)
	set(&m.Attention, o.Attention)
	setAs[seqmodel.Positions](&m.Positions, o.Positions)
	setAs[tensor.Activation](&m.Activation, o.Activation)
	set(&m.Dropout, o.Dropout)
	set(&m.AttentionDropout, o.AttentionDropout)
	set(&m.InitStd, o.InitStd)
	set(&m.OutputProjection, o.OutputProjection)
	set(&m.OutputBias, o.OutputBias)
	set(&m.ScaleEmbedding, o.ScaleEmbedding)
	set(&m.SeparateOutput, o.SeparateOutput)
}

func (o *overrides) applyTrain(t *seqmodel.TrainConfig) {
	if o.Loss != nil && seqmodel.LossKind(*o.Loss) != t.Loss.Kind {
		t.Loss = seqmodel.Loss{Kind: seqmodel.LossKind(*o.Loss)} // another loss has other negatives
	}
	set(&t.Loss.Negatives, o.Negatives)
	if o.Calibration != nil {
		t.Loss.Calibration = o.Calibration
	}
	set(&t.Loss.Popularity, o.Popularity)
	set(&t.Loss.LogQ, o.LogQ)
	set(&t.Decay, o.Decay)
	set(&t.ClipNorm, o.ClipNorm)
	set(&t.Beta1, o.Beta1)
	set(&t.Beta2, o.Beta2)
}

// plan is the recipe with the overrides.
func (c *trainCmd) plan() (train.Plan, error) {
	r, err := findRecipe(c.Recipe)
	if err != nil {
		return train.Plan{}, err
	}
	if idle := c.Override.idle(r.plan.Baseline); len(idle) > 0 {
		return train.Plan{}, fmt.Errorf("%w: the recipe %s has no use for %s: leave them out", errUsage, r.name, strings.Join(idle, ", "))
	}
	p := c.complete(r.plan)
	if err := errors.Join(c.Override.checkZeros(), cmp.Or(p.Data.Validate(), p.WithDefaults().Validate())); err != nil {
		return p, fmt.Errorf("%w: %w", errUsage, err)
	}
	return p, nil
}

// complete adds the flags to a recipe's settings.
func (c *trainCmd) complete(p train.Plan) train.Plan {
	c.Override.apply(&p)
	p.Seed, p.Data = c.Seed, c.dataFlags.plan()
	return p
}

// suit picks a recipe's settings for short histories when the data has such.
func (c *trainCmd) suit(split *features.Split, p train.Plan) (train.Plan, string) {
	r, err := findRecipe(c.Recipe)
	if err != nil || r.short == nil {
		return p, ""
	}
	mean := meanLength(split.Train)
	if mean >= shortHistories {
		return p, fmt.Sprintf("settings: for long histories (training histories of %.1f events on average)", mean)
	}
	short := *r.short
	short.Recipe = p.Recipe
	return c.complete(short), fmt.Sprintf("settings: for short histories (training histories of %.1f events on average, below %d)", mean, shortHistories)
}

// Run implements runner.
func (c *trainCmd) Run(a *app) error {
	if isLifelong(c.Recipe) {
		return c.secondStage(a)
	}
	if given := given(&c.Lifelong); len(given) > 0 {
		return fmt.Errorf("%w: %s are settings of second stages, which the recipe %s is not: leave them out", errUsage, strings.Join(given, ", "), c.Recipe)
	}
	plan, err := c.plan()
	if err != nil {
		return err
	}
	opt, err := c.options(a, c.Data, c.registryFlag)
	if err != nil {
		return err
	}
	opt.Suit = c.suit
	opt.Work, opt.Resume, opt.Every = c.work(), c.Resume, c.CheckpointEvery
	return night(a, plan, opt)
}

// work is the folder for checkpoints.
func (c *trainCmd) work() string {
	return cmp.Or(c.Work, filepath.Join(c.dir(), ".work"))
}

// options are what train and publish have in common.
func (f *publishFlags) options(a *app, data string, reg registryFlag) (train.NightOptions, error) {
	gate := train.GateRules{MaxDrop: f.MaxDrop, MinNDCG: f.MinNDCG}
	if err := gate.Validate(); err != nil {
		return train.NightOptions{}, fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.Promote && f.Hold {
		return train.NightOptions{}, fmt.Errorf("%w: --promote and --hold ask for opposite things", errUsage)
	}
	r, err := reg.open()
	if err != nil {
		return train.NightOptions{}, err
	}
	return train.NightOptions{
		Data: data, Registry: r, Name: f.Name, Promote: f.Promote, Hold: f.Hold, Alone: f.NoBaselines,
		Gate: gate, Judge: train.JudgeOptions{Workers: f.Workers},
		Revision: revision(), CPU: kernel.Features(), Say: a.say,
	}, nil
}

// toResume says how an interrupted run goes on.
func toResume(err error) error {
	return fmt.Errorf("%w; the same command with --resume goes on", err)
}

// night runs with a progress display and prints the summary as the last line.
func night(a *app, plan train.Plan, opt train.NightOptions) error {
	shown := newDisplay(a.err)
	opt.Progress, opt.Say = shown.event, shown.say
	s, err := train.Night(a.ctx, plan, opt)
	shown.close()
	if errors.Is(err, train.ErrInterrupted) {
		return toResume(err)
	}
	if s == nil {
		return err
	}
	return errors.Join(err, json.NewEncoder(a.out).Encode(s))
}
