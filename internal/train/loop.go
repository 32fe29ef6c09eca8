package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel"
)

// ErrInterrupted says that a run was asked to stop and wrote a checkpoint.
var ErrInterrupted = errors.New("training was interrupted")

// Options are the settings of a run. They are complete: the zero value of a
// field means what its comment says and no other default.
type Options struct {
	Epochs    int // at most this many
	Patience  int // stop after so many judged epochs without a better one; 0: never
	EvalEvery int // judge every so many epochs, and after the last; 0: every one
	// ValidCases bounds how many validation cases choose the epoch; they are
	// spread evenly over the users. 0: all of them.
	ValidCases int
	Sampler    features.SamplerOptions
	Schedule   Schedule
	Workers    int // of validation; 0: all processors

	// Checkpoint is the file that holds the run's state; "": none is kept.
	Checkpoint string
	// CheckpointEvery is the longest time within an epoch without a
	// checkpoint; 0: only at the end of epochs.
	CheckpointEvery time.Duration
	Resume          bool   // go on from Checkpoint if there is one
	Anew            bool   // begin anew, not fail, where that was made with another instruction set
	Identity        string // names settings and data; a checkpoint with another is refused
	CPU             string // instruction set in use; a checkpoint made with another is refused

	// Progress, when not nil, is told of every step and epoch. It must not wait.
	Progress func(Event)
	// Now is the clock of rates and checkpoints; nil: time.Now. It has no
	// influence on the weights.
	Now func() time.Time
}

// Event is what Progress hears.
type Event struct {
	Kind            EventKind
	Epoch, Epochs   int // this one, from 1, and at most
	Batch, Batches  int
	Loss            float64 // mean of the epoch so far
	Rate            float64
	Valid           float64 // NDCG@10 of the last judged epoch
	Best            float64
	BestEpoch       int           // 0 before the first judged epoch
	Stale           int           // judged epochs since then
	TokensPerSecond float64       // of this epoch's steps
	Left            time.Duration // if all epochs are run
}

// EventKind says what happened.
type EventKind int

// What happens in a run.
const (
	Resumed EventKind = iota + 1 // went on from a checkpoint
	Fresh                        // was to go on, but found no checkpoint
	Stepped                      // one batch is done
	Judged                       // one epoch is done, and judged if it was its turn
	Saved                        // a checkpoint was written
)

// Outcome is what a run leaves.
type Outcome struct {
	Weights []byte // of the best epoch, as Learner.SaveWeights wrote them
	Epochs  []eval.Epoch
	Best    int     // epoch of Weights, from 1
	Valid   float64 // its NDCG@10 on the validation cases
	Why     string  // why the run ended, for people
	// Diverged says that the run ended because loss, gradients or scores were no
	// longer numbers; Weights are from before that.
	Diverged bool
	Steps    int
	Tokens   int64
	Seconds  float64 // of all steps and validations, earlier parts of a resumed run included
}

// SecondsPerEpoch is the mean time of an epoch's steps, validation left out.
func (o *Outcome) SecondsPerEpoch() float64 {
	return o.stepSeconds() / float64(max(len(o.Epochs), 1))
}

// TokensPerSecond is how many input events a second of steps learned from.
func (o *Outcome) TokensPerSecond() float64 {
	if s := o.stepSeconds(); s > 0 {
		return float64(o.Tokens) / s
	}
	return 0
}

func (o *Outcome) stepSeconds() (s float64) {
	for _, e := range o.Epochs {
		s += e.Seconds
	}
	return s
}

// Run trains until the epochs are over, patience is, or ctx ends. When ctx ends
// it writes a checkpoint and returns an error that wraps ErrInterrupted. A run
// that diverges ends with the weights of its best epoch, or with an error when
// it has none; that and any other error leave the last checkpoint as it was.
func Run(ctx context.Context, net Network, split *features.Split, opt Options) (*Outcome, error) {
	l, err := newLoop(net, split, opt)
	if err != nil {
		return nil, err
	}
	for !l.over() {
		err := l.steps(ctx)
		if err == nil {
			err = l.judge(ctx)
		}
		if l.diverge(err) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return l.outcome()
}

// loop is a run in progress.
type loop struct {
	opt     Options
	split   *features.Split
	valid   []features.Case
	sampler *features.Sampler
	learner Learner
	state   progress
	best    []byte // weights of the best epoch so far

	batch   features.Batch
	rankers []features.Ranker // kept between validations
	saved   time.Time         // when the last checkpoint was written
	mark    time.Time         // when the time up to state.Seconds ended

	diverged bool // the run ended by diverge
}

// progress is the part of a run that a checkpoint holds as JSON. Numbers that
// steer training are exact in it: Go writes the shortest text that reads back
// to the same float64.
type progress struct {
	Identity string       `json:"identity"`
	CPU      string       `json:"cpu"`
	Epoch    int          `json:"epoch"` // being trained, from 1
	Batch    int          `json:"batch"` // of it, done
	Step     int          `json:"step"`
	LossSum  float64      `json:"loss_sum"` // of this epoch's batches
	Tokens   int          `json:"tokens"`   // of this epoch
	Seconds  float64      `json:"seconds"`  // of this epoch's steps
	Total    int64        `json:"total_tokens"`
	Judging  float64      `json:"judging_seconds"` // of all validations
	Epochs   []eval.Epoch `json:"epochs"`
	Best     int          `json:"best"`
	Valid    float64      `json:"valid"`
	Stale    int          `json:"stale"`
	Why      string       `json:"why"` // set when the run is over
}

func newLoop(net Network, split *features.Split, opt Options) (*loop, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	sampler, err := features.NewSampler(split.Train, split.TrainTimes, opt.Sampler)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	l := &loop{opt: opt, split: split, sampler: sampler, valid: spread(split.Valid, opt.ValidCases)}
	l.state = progress{Identity: opt.Identity, CPU: opt.CPU, Epoch: 1, Epochs: []eval.Epoch{}}
	resumed := false
	if opt.Checkpoint != "" {
		if err := sweep(opt.Checkpoint); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		if opt.Resume {
			resumed, err = l.restore(net)
			if err != nil && !(opt.Anew && errors.Is(err, ErrOtherCPU)) {
				return nil, err
			}
		}
	}
	if !resumed {
		if l.learner, err = net.New(); err != nil {
			return nil, err
		}
	}
	l.saved = l.now()
	l.sampler.Epoch(l.state.Epoch - 1)
	l.sampler.Skip(l.state.Batch)
	switch {
	case resumed:
		l.tell(Resumed)
	case opt.Resume:
		l.tell(Fresh)
	}
	return l, nil
}

func (o *Options) validate() error {
	o.Schedule = o.Schedule.WithDefaults()
	switch {
	case o.Epochs < 1:
		return fmt.Errorf("train for %d epochs: want at least 1", o.Epochs)
	case o.Patience < 0 || o.EvalEvery < 0 || o.ValidCases < 0:
		return errors.New("train: patience, eval-every and valid-cases want 0 or more")
	}
	if o.EvalEvery == 0 {
		o.EvalEvery = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	return o.Schedule.Validate()
}

// spread takes n of a list at equal distances; 0 takes all.
func spread[T any](list []T, n int) []T {
	if n == 0 || n >= len(list) {
		return list
	}
	out := make([]T, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}

func (l *loop) now() time.Time { return l.opt.Now() }

// over says whether the run has ended, and fixes why.
func (l *loop) over() bool {
	s := &l.state
	if s.Epoch > l.opt.Epochs {
		s.Why = fmt.Sprintf("all %d epochs done", l.opt.Epochs)
	} else if l.opt.Patience > 0 && s.Stale >= l.opt.Patience && s.Batch == 0 {
		s.Why = fmt.Sprintf("no better epoch in %d", s.Stale*l.opt.EvalEvery)
	}
	return s.Why != ""
}

// steps runs the rest of the epoch's batches.
func (l *loop) steps(ctx context.Context) error {
	s := &l.state
	total := l.opt.Epochs * l.sampler.Batches()
	l.mark = l.now()
	for {
		if ctx.Err() != nil {
			return l.interrupted(ctx)
		}
		if !l.sampler.Next(&l.batch) {
			return nil
		}
		l.learner.SetLR(float32(l.opt.Schedule.At(s.Step, total)))
		loss, err := l.learner.Step(&l.batch)
		if err == nil && !finite(loss) {
			err = fmt.Errorf("loss is %v: %w", loss, seqmodel.ErrDiverged)
		}
		if err != nil {
			return fmt.Errorf("train epoch %d, batch %d of %d: %w%s", s.Epoch, s.Batch+1, l.sampler.Batches(), err, l.kept())
		}
		s.Batch++
		s.Step++
		s.LossSum += loss
		s.Tokens += len(l.batch.Items)
		s.Total += int64(len(l.batch.Items))
		l.clock()
		l.tell(Stepped)
		if l.opt.CheckpointEvery > 0 && l.mark.Sub(l.saved) >= l.opt.CheckpointEvery {
			if err := l.save(); err != nil {
				return err
			}
			l.mark = l.now()
		}
	}
}

// diverge ends the run if err is divergence and there are weights to keep. The
// epoch in which it happened does not count.
func (l *loop) diverge(err error) bool {
	s := &l.state
	if s.Best == 0 || !errors.Is(err, seqmodel.ErrDiverged) && !errors.Is(err, eval.ErrNotANumber) {
		return false
	}
	l.diverged, s.Why = true, fmt.Sprintf("diverged at epoch %d; weights of epoch %d are kept", s.Epoch, s.Best)
	s.Total -= int64(s.Tokens)
	return true
}

func finite(x float64) bool { return x-x == 0 }

// clock adds the time since mark to the epoch.
func (l *loop) clock() {
	now := l.now()
	l.state.Seconds += now.Sub(l.mark).Seconds()
	l.mark = now
}

// kept says where training can go on after an error.
func (l *loop) kept() string {
	if l.opt.Checkpoint == "" || l.state.Step == 0 {
		return ""
	}
	if _, err := os.Stat(l.opt.Checkpoint); err != nil {
		return ""
	}
	return fmt.Sprintf(" (the last good checkpoint is kept: %s)", l.opt.Checkpoint)
}

// interrupted saves the run and says so.
func (l *loop) interrupted(ctx context.Context) error {
	if err := l.save(); err != nil {
		return errors.Join(ErrInterrupted, err)
	}
	return fmt.Errorf("%w at epoch %d, batch %d: %w", ErrInterrupted, l.state.Epoch, l.state.Batch, context.Cause(ctx))
}

// judge closes the epoch: validation when it is its turn, best weights kept,
// checkpoint written.
func (l *loop) judge(ctx context.Context) error {
	s := &l.state
	e := eval.Epoch{
		Epoch: s.Epoch, Loss: s.LossSum / float64(max(s.Batch, 1)), Seconds: s.Seconds, Tokens: s.Tokens,
		Rate: l.opt.Schedule.At(max(s.Step-1, 0), l.opt.Epochs*l.sampler.Batches()),
	}
	if len(l.valid) > 0 && (s.Epoch%l.opt.EvalEvery == 0 || s.Epoch == l.opt.Epochs) {
		begin := l.now()
		r, err := l.evaluate(ctx)
		if ctx.Err() != nil {
			return l.interrupted(ctx) // with all batches done: a resumed run begins with this validation
		}
		if err != nil {
			return fmt.Errorf("validate epoch %d: %w%s", s.Epoch, err, l.kept())
		}
		s.Judging += l.now().Sub(begin).Seconds()
		e.Judged, e.Valid, e.HR = true, r.NDCG10(), r.HR10()
		s.Stale++
	}
	if len(l.valid) == 0 || (e.Judged && (s.Best == 0 || e.Valid > s.Valid)) {
		if err := l.keep(); err != nil {
			return err
		}
		s.Best, s.Valid, s.Stale = s.Epoch, e.Valid, 0
	}
	s.Epochs = append(s.Epochs, e)
	l.tell(Judged)
	s.Epoch++
	s.Batch, s.LossSum, s.Tokens, s.Seconds = 0, 0, 0, 0
	l.sampler.Epoch(s.Epoch - 1)
	return l.save()
}

// evaluate ranks the validation cases with the present weights.
func (l *loop) evaluate(ctx context.Context) (*eval.Result, error) {
	used := 0
	ranker := func() features.Ranker {
		if used == len(l.rankers) {
			l.rankers = append(l.rankers, l.learner.NewRanker())
		}
		used++
		return l.rankers[used-1]
	}
	return eval.Evaluate(ctx, ranker, l.valid, l.split.Items, eval.Options{Name: "validation", Workers: l.opt.Workers, Now: l.opt.Now})
}

// keep stores the present weights as the best.
func (l *loop) keep() error {
	var b bytes.Buffer
	if err := l.learner.SaveWeights(&b); err != nil {
		return fmt.Errorf("keep the weights of epoch %d: %w", l.state.Epoch, err)
	}
	l.best = b.Bytes()
	return nil
}

func (l *loop) outcome() (*Outcome, error) {
	s := &l.state
	if s.Best == 0 {
		return nil, errors.New("train: no epoch was judged")
	}
	o := &Outcome{Weights: l.best, Epochs: slices.Clone(s.Epochs), Best: s.Best, Valid: s.Valid, Why: s.Why, Diverged: l.diverged, Steps: s.Step, Tokens: s.Total}
	o.Seconds = o.stepSeconds() + s.Judging
	return o, nil
}

// tell reports progress.
func (l *loop) tell(kind EventKind) {
	s := &l.state
	e := Event{
		Kind: kind, Epoch: s.Epoch, Epochs: l.opt.Epochs, Batch: s.Batch, Batches: l.sampler.Batches(),
		Loss: s.LossSum / float64(max(s.Batch, 1)), Best: s.Valid, BestEpoch: s.Best, Stale: s.Stale,
		Rate: l.opt.Schedule.At(max(s.Step-1, 0), l.opt.Epochs*l.sampler.Batches()),
	}
	for _, past := range slices.Backward(s.Epochs) {
		if past.Judged {
			e.Valid = past.Valid
			break
		}
	}
	if s.Seconds > 0 {
		e.TokensPerSecond = float64(s.Tokens) / s.Seconds
	}
	e.Left = l.left()
	l.opt.Progress(e)
}

// left is the time to the last epoch at the pace so far.
func (l *loop) left() time.Duration {
	s := &l.state
	seconds := s.Seconds + s.Judging
	for _, e := range s.Epochs {
		seconds += e.Seconds
	}
	if s.Step == 0 {
		return 0
	}
	rest := l.opt.Epochs*l.sampler.Batches() - s.Step
	return time.Duration(seconds / float64(s.Step) * float64(rest) * float64(time.Second))
}
