package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel/lifelong"
)

// LifelongPlan is everything that decides what a target-aware model becomes,
// besides the data. The zero value of a field means the default that
// WithDefaults fills in: the protocol of DARE (arXiv 2410.02604, appendix).
type LifelongPlan struct {
	Model     lifelong.Config       `json:"model"`
	Train     lifelong.TrainConfig  `json:"train"`
	Slates    features.SlateOptions `json:"slates"`
	Batch     int                   `json:"batch"`      // rows (candidates) a step; default 2048
	Epochs    int                   `json:"epochs"`     // default 2
	EvalEvery int                   `json:"eval_every"` // steps between validations; default 150
	Seed      uint64                `json:"seed"`       // of the weights and the order of slates
}

// WithDefaults fills in what is zero.
func (p LifelongPlan) WithDefaults() LifelongPlan {
	p.Model, p.Slates = p.Model.WithDefaults(), p.Slates.WithDefaults()
	p.Train.Seed = p.Seed
	p.Train = p.Train.WithDefaults()
	if p.Batch == 0 {
		p.Batch = 2048
	}
	if p.Epochs == 0 {
		p.Epochs = 2
	}
	if p.EvalEvery == 0 {
		p.EvalEvery = 150
	}
	return p
}

// Validate reports all faults of a complete plan that can be seen without data.
func (p LifelongPlan) Validate() error {
	m := p.Model
	if m.Items == 0 {
		m.Items = 1 // known with the data, like the categories
	}
	if m.Model == "sim-hard" {
		m.Categories = max(m.Categories, 1)
	}
	errs := []error{m.Validate(), p.Train.Validate(), p.Slates.Validate()}
	if p.Batch < 1 || p.Epochs < 1 || p.EvalEvery < 1 {
		errs = append(errs, fmt.Errorf("batch %d, epochs %d, eval-every %d: want at least 1 each", p.Batch, p.Epochs, p.EvalEvery))
	}
	return errors.Join(errs...)
}

// Behaviours is a data set as target-aware models read it.
type Behaviours struct {
	Data       *features.Dataset
	Categories features.Codes // by item; one name or fewer is no category at all
	Kinds      features.Codes // by event; likewise
}

// NewBehaviours numbers the categories of items and the kinds of events.
func NewBehaviours(data *features.Dataset, items []features.Item) *Behaviours {
	return &Behaviours{Data: data, Categories: features.CategoryCodes(items, data.Vocab), Kinds: features.KindCodes(data)}
}

// ReadBehaviours reads a log with the categories that it names itself or that a
// catalogue beside it gives.
func ReadBehaviours(ctx context.Context, path string, opt features.ReadOptions, say func(string, ...any)) (*Behaviours, error) {
	data, _, err := features.ReadContext(ctx, path, opt)
	if err != nil {
		return nil, err
	}
	return NewBehaviours(data, catalogueOf(data, path, say)), nil
}

// catalogueOf is the catalogue beside the data, else what the log says of its
// items; nil when there is neither.
func catalogueOf(data *features.Dataset, path string, say func(string, ...any)) []features.Item {
	items, _, err := features.ReadItems(catalogueFolder(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return data.Catalogue()
	case err != nil:
		say("categories are left out: %v", err)
		return nil
	}
	return items
}

// catalogueFolder is where the catalogue beside the data lies.
func catalogueFolder(data string) string {
	if info, err := os.Stat(data); err == nil && !info.IsDir() {
		return filepath.Dir(data)
	}
	return data
}

// configure fills in what the data decides.
func (b *Behaviours) configure(c lifelong.Config) lifelong.Config {
	c.Items = b.Data.Vocab.Len()
	c.Categories, c.Kinds = 0, 0
	if len(b.Categories.Names) > 2 { // more than "unknown" and one other
		c.Categories = len(b.Categories.Names)
	}
	if len(b.Kinds.Names) > 2 && b.Kinds.Of != nil {
		c.Kinds = len(b.Kinds.Names)
	}
	if b.Data.Times == nil {
		c.Gaps = false
	}
	return c
}

// Example is a slate with its history of at most n events. Its moment is that of
// the newest of them, as in the service, which nobody tells when an item will be
// taken.
func (b *Behaviours) Example(s features.Slate, n int) lifelong.Example {
	first := b.Data.Offsets[s.User]
	hi := first + int(s.End)
	lo := max(first, hi-n)
	e := lifelong.Example{History: lifelong.History{Items: b.Data.Items[lo:hi]}, Candidates: s.Candidates}
	if b.Data.Times != nil {
		e.History.Times = b.Data.Times[lo:hi]
		e.At = momentOf(e.History.Times)
	}
	if b.Kinds.Of != nil {
		e.History.Kinds = b.Kinds.Of[lo:hi]
	}
	return e
}

// momentOf is the time of the newest event, 0 where none is known.
func momentOf(times []int64) int64 {
	if len(times) == 0 {
		return 0
	}
	return times[len(times)-1]
}

// LifelongProgress tells how a fit is going, after every step.
type LifelongProgress struct {
	Step, Steps int     // so far, in all
	Loss        float64 // of the step
	ValidAUC    float64 // of the last validation, 0 before the first
	BestAUC     float64
}

// LifelongFit is a trained model and how it came about.
type LifelongFit struct {
	Model    *lifelong.Model
	Plan     LifelongPlan // complete
	BestStep int
	ValidAUC float64
	Curve    []ValidPoint
	Seconds  float64 // of training, validation included
}

// ValidPoint is the validation AUC after a step.
type ValidPoint struct {
	Step int     `json:"step"`
	AUC  float64 `json:"auc"`
	Loss float64 `json:"loss"` // mean training loss since the point before
}

// FitOptions say how a fit is watched and kept.
type FitOptions struct {
	Progress func(LifelongProgress) // may be nil
	// Checkpoint is the file that holds the state of the fit; "": none is kept.
	Checkpoint string
	Every      time.Duration // longest time without a checkpoint; 0: one at each validation
	Resume     bool          // go on from Checkpoint if there is one
	Identity   string        // of plan and data: a checkpoint with another is refused
	CPU        string        // the instruction set, likewise, unless Anew
	Anew       bool          // begin anew where a checkpoint was made with another instruction set, and say so
	Say        func(string, ...any)
}

// FitLifelong trains on the training slates and keeps the weights with the best
// pooled AUC on the validation slates. When ctx ends first its error comes back,
// with the best so far. A fit that goes on from its checkpoint ends with the very
// weights of one that was never interrupted.
func FitLifelong(ctx context.Context, plan LifelongPlan, b *Behaviours, split *features.SlateSplit, opt FitOptions) (*LifelongFit, error) {
	plan = plan.WithDefaults()
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	plan.Model = b.configure(plan.Model)
	m, err := lifelong.New(plan.Model, b.Categories.Of, plan.Seed)
	if err != nil {
		return nil, err
	}
	tr, err := lifelong.NewTrainer(m, plan.Train)
	if err != nil {
		return nil, err
	}
	f := &lifelongLoop{plan: plan, b: b, split: split, model: m, trainer: tr, opt: opt, fit: &LifelongFit{Model: m, Plan: plan}}
	f.at.Identity, f.at.CPU = opt.Identity, opt.CPU
	f.cut()
	if err := f.resume(); err != nil {
		return nil, err
	}
	f.start = time.Now().Add(-time.Duration(f.at.Seconds * float64(time.Second)))
	f.saved = time.Now()
	err = f.run(ctx)
	f.fit.Seconds = time.Since(f.start).Seconds()
	f.fit.BestStep, f.fit.ValidAUC, f.fit.Curve = f.at.BestStep, f.at.BestAUC, f.at.Curve
	if f.best != nil {
		copy(m.Params().All().V, f.best)
	}
	return f.fit, err
}

// lifelongLoop is a fit under way.
type lifelongLoop struct {
	plan    LifelongPlan
	b       *Behaviours
	split   *features.SlateSplit
	model   *lifelong.Model
	trainer *lifelong.Trainer
	opt     FitOptions
	fit     *LifelongFit
	slates  int // of a step
	steps   int // of an epoch
	at      fitState
	best    []float32 // all weights
	start   time.Time // of training, as if it had never been interrupted
	saved   time.Time
}

// fitState is where a fit stands, beside weights and optimiser.
type fitState struct {
	Identity string       `json:"identity"`
	CPU      string       `json:"cpu"`
	Epoch    int          `json:"epoch"` // whole ones done
	Step     int          `json:"step"`  // of the epoch under way, done
	Losses   float64      `json:"losses"`
	Since    int          `json:"since"` // steps since the last validation
	Due      bool         `json:"due"`   // it is time for one
	Valid    float64      `json:"valid"`
	BestAUC  float64      `json:"best_auc"`
	BestStep int          `json:"best_step"` // 0 before the first validation
	Curve    []ValidPoint `json:"curve"`
	Seconds  float64      `json:"seconds"`
}

// cut says how many slates make a step.
func (f *lifelongLoop) cut() {
	rows := 1
	for _, s := range f.split.Train { // hard negatives may be few
		rows = max(rows, len(s.Candidates))
	}
	f.slates = max(1, f.plan.Batch/rows)
	f.steps = (len(f.split.Train) + f.slates - 1) / f.slates
}

func (f *lifelongLoop) run(ctx context.Context) error {
	order := make([]int, len(f.split.Train))
	for i := range order {
		order[i] = i
	}
	shuffle := func(epoch int) {
		rng := rand.New(rand.NewPCG(f.plan.Seed, uint64(epoch)))
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for epoch := range f.at.Epoch { // each shuffles what the one before it left
		shuffle(epoch)
	}
	if err := f.validateIfDue(ctx); err != nil {
		return err
	}
	for ; f.at.Epoch < f.plan.Epochs; f.at.Epoch, f.at.Step = f.at.Epoch+1, 0 {
		shuffle(f.at.Epoch)
		for f.at.Step < f.steps {
			if ctx.Err() != nil {
				return f.interrupted(ctx)
			}
			lo := f.at.Step * f.slates
			if err := f.step(ctx, order[lo:min(lo+f.slates, len(order))]); err != nil {
				return err
			}
		}
	}
	return f.save()
}

// step learns from the numbered training slates, and validates when it is time.
func (f *lifelongLoop) step(ctx context.Context, slates []int) error {
	batch := make([]lifelong.Example, 0, len(slates))
	for _, i := range slates {
		batch = append(batch, f.b.Example(f.split.Train[i], f.plan.Model.Length))
	}
	loss, err := f.trainer.Step(batch)
	if err != nil {
		return err
	}
	f.at.Losses, f.at.Since, f.at.Step = f.at.Losses+loss, f.at.Since+1, f.at.Step+1
	done, all := f.trainer.Steps(), f.steps*f.plan.Epochs
	f.at.Due = done%f.plan.EvalEvery == 0 || done == all
	validated := f.at.Due
	if err := f.validateIfDue(ctx); err != nil {
		return err
	}
	if f.opt.Progress != nil {
		f.opt.Progress(LifelongProgress{Step: done, Steps: all, Loss: loss, ValidAUC: f.at.Valid, BestAUC: f.at.BestAUC})
	}
	if every := f.opt.Every; every == 0 && validated || every > 0 && time.Since(f.saved) >= every {
		return f.save()
	}
	return nil
}

// validateIfDue can be interrupted, and taken up, like a step.
func (f *lifelongLoop) validateIfDue(ctx context.Context) error {
	if !f.at.Due {
		return nil
	}
	err := f.validate(ctx)
	if err != nil && ctx.Err() != nil {
		return f.interrupted(ctx)
	}
	return err
}

func (f *lifelongLoop) validate(ctx context.Context) error {
	scores, labels, err := ScoreSlates(ctx, f.model, f.b, f.split.Valid, 0)
	if err != nil {
		return err
	}
	at := &f.at
	if at.Valid, err = eval.AUC(scores, labels); err != nil {
		return fmt.Errorf("validate %s: %w", f.model.Describe(), err)
	}
	step := f.trainer.Steps()
	at.Curve = append(at.Curve, ValidPoint{step, at.Valid, at.Losses / float64(at.Since)})
	at.Losses, at.Since, at.Due = 0, 0, false
	if at.Valid > at.BestAUC || at.BestStep == 0 {
		at.BestAUC, at.BestStep = at.Valid, step
		f.best = append(f.best[:0], f.model.Params().All().V...)
	}
	return nil
}

// scoreGroup is how many slates one scorer packs at a time.
const scoreGroup = 64

// ScoreSlates scores the candidates of every slate, slate by slate, and says of
// each whether it is the positive. workers is how many goroutines share the
// work, 0 for the cores; it does not change the result.
func ScoreSlates(ctx context.Context, m *lifelong.Model, b *Behaviours, slates []features.Slate, workers int) (scores []float32, labels []bool, err error) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	first := make([]int, len(slates)+1)
	for i, s := range slates {
		first[i+1] = first[i] + len(s.Candidates)
		for j := range s.Candidates {
			labels = append(labels, j == 0)
		}
	}
	scores = make([]float32, len(labels))
	scorers := make([]*lifelong.Scorer, workers)
	groups := (len(slates) + scoreGroup - 1) / scoreGroup
	kernel.Parallel(groups, workers, func(w, g int) {
		if ctx.Err() != nil {
			return
		}
		if scorers[w] == nil {
			scorers[w] = m.NewScorer()
		}
		lo, hi := g*scoreGroup, min((g+1)*scoreGroup, len(slates))
		examples := make([]lifelong.Example, 0, hi-lo)
		for _, s := range slates[lo:hi] {
			examples = append(examples, b.Example(s, m.Config().Length))
		}
		scorers[w].ScoreExamples(scores[first[lo]:first[hi]], examples)
	})
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("score slates: %w", err)
	}
	return scores, labels, nil
}
