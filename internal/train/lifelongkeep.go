package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/safetensors"
)

// flatWeights is the one tensor of a section with all weights of a second stage, as
// they lie in memory.
const flatWeights = "all"

// save writes a checkpoint, if the fit keeps one.
func (f *lifelongLoop) save() error {
	if f.opt.Checkpoint == "" {
		return nil
	}
	f.at.Seconds = time.Since(f.start).Seconds()
	parts := []part{
		{sectionProgress, func(w io.Writer) error { return json.NewEncoder(w).Encode(&f.at) }},
		{sectionWeights, writeFlat(f.model.Params().All().V)},
		{sectionState, f.trainer.SaveState},
	}
	if f.best != nil {
		parts = append(parts, part{sectionBest, writeFlat(f.best)})
	}
	if err := writeCheckpoint(f.opt.Checkpoint, parts); err != nil {
		return err
	}
	f.saved = time.Now()
	return nil
}

func writeFlat(weights []float32) func(io.Writer) error {
	return func(w io.Writer) error {
		return safetensors.Write(w, []safetensors.Tensor{{Name: flatWeights, Shape: []int{len(weights)}, Data: weights}}, nil)
	}
}

// interrupted saves the fit and says so.
func (f *lifelongLoop) interrupted(ctx context.Context) error {
	cause := fmt.Errorf("train %s: %w", f.model.Describe(), context.Cause(ctx))
	if f.opt.Checkpoint == "" {
		return cause
	}
	if err := f.save(); err != nil {
		return errors.Join(ErrInterrupted, cause, err)
	}
	return fmt.Errorf("%w at step %d of %d: %w", ErrInterrupted, f.trainer.Steps(), f.steps*f.plan.Epochs, cause)
}

// resume goes on from the checkpoint, if that is asked for and there is one.
func (f *lifelongLoop) resume() error {
	if f.opt.Checkpoint == "" {
		return nil
	}
	if err := sweep(f.opt.Checkpoint); err != nil || !f.opt.Resume {
		return err
	}
	file, err := os.Open(f.opt.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		f.say("there is no checkpoint of a second stage with these settings and data, for this first stage: it begins anew")
		return nil
	}
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	info, err := file.Stat()
	if err == nil {
		err = f.resumeFrom(file, info.Size())
	}
	if f.opt.Anew && errors.Is(err, ErrOtherCPU) {
		f.say("second stage: %v; it begins anew", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("resume %s: %w", f.opt.Checkpoint, err)
	}
	f.say("resumed at step %d of %d", f.trainer.Steps(), f.steps*f.plan.Epochs)
	return nil
}

func (f *lifelongLoop) say(format string, args ...any) {
	if f.opt.Say != nil {
		f.opt.Say(format, args...)
	}
}

// resumeFrom takes a checkpoint over. After an error the fit must not go on, unless
// the checkpoint is not its own: then nothing of it was taken.
func (f *lifelongLoop) resumeFrom(r io.ReaderAt, size int64) error {
	c, err := openCheckpoint(r, size)
	if err != nil {
		return err
	}
	at, err := f.readState(c)
	if err != nil {
		return err
	}
	weights, err := f.readFlat(c, sectionWeights)
	if err != nil {
		return err
	}
	var best []float32
	if at.BestStep > 0 {
		if best, err = f.readFlat(c, sectionBest); err != nil {
			return err
		}
	}
	state, err := c.section(sectionState)
	if err != nil {
		return err
	}
	if err := f.trainer.LoadState(state, state.Size()); err != nil {
		return err
	}
	if want := at.Epoch*f.steps + at.Step; f.trainer.Steps() != want {
		return fmt.Errorf("%w: the optimiser made %d steps, the run %d", ErrCheckpoint, f.trainer.Steps(), want)
	}
	copy(f.model.Params().All().V, weights)
	f.at, f.best = *at, best
	return nil
}

func (f *lifelongLoop) readState(c *checkpoint) (*fitState, error) {
	var at fitState
	if err := c.progress(&at); err != nil {
		return nil, err
	}
	if err := sameRun(at.Identity, at.CPU, f.opt.Identity, f.opt.CPU); err != nil {
		return nil, err
	}
	whole := at.Epoch == f.plan.Epochs && at.Step == 0
	if at.Epoch < 0 || at.Step < 0 || !whole && (at.Epoch >= f.plan.Epochs || at.Step > f.steps) || at.Since < 0 || at.BestStep < 0 || !(at.Seconds >= 0) {
		return nil, fmt.Errorf("%w: epoch %d of %d, step %d of %d", ErrCheckpoint, at.Epoch, f.plan.Epochs, at.Step, f.steps)
	}
	return &at, nil
}

// readFlat reads a section that writeFlat wrote for this model.
func (f *lifelongLoop) readFlat(c *checkpoint, name string) ([]float32, error) {
	r, err := c.section(name)
	if err != nil {
		return nil, err
	}
	file, err := safetensors.Open(r, r.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, name, err)
	}
	data, _, err := file.Tensor(flatWeights)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, name, err)
	}
	if want := f.model.Params().All().Len(); len(data) != want {
		return nil, fmt.Errorf("%w: %s has %d weights, the model %d", ErrCheckpoint, name, len(data), want)
	}
	for i, x := range data {
		if !finite(float64(x)) {
			return nil, fmt.Errorf("%w: %s: weight %d is %v", ErrCheckpoint, name, i, x)
		}
	}
	return data, nil
}

// secondIdentity names what the checkpoint of a second stage can be resumed with:
// everything in the plan, the data, the slates and what was drawn into them.
func secondIdentity(plan LifelongPlan, b *Behaviours, split *features.SlateSplit) (string, error) {
	text, err := json.Marshal(plan)
	if err != nil {
		return "", fmt.Errorf("name the run: %w", err)
	}
	h := sha256.New()
	h.Write(text)
	write := func(data any) { err = errors.Join(err, binary.Write(h, binary.LittleEndian, data)) }
	write(b.Data.Items)
	write(b.Data.Times)
	write(b.Kinds.Of)
	write(b.Categories.Of)
	for _, slates := range [][]features.Slate{split.Train, split.Valid} {
		for _, s := range slates {
			write([]int32{s.User, s.End, int32(len(s.Candidates))})
			write(s.Candidates)
		}
	}
	if err != nil {
		return "", fmt.Errorf("name the run: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// enter gives a second stage a working folder of its own, locked until leave is
// called: two of the same settings would write over each other's checkpoint, or one
// would remove it from under the other.
func (s *second) enter() (opt FitOptions, err error) {
	o := &s.opt
	opt = FitOptions{Progress: o.Progress, Every: o.Every, Resume: o.Resume, CPU: o.CPU, Anew: o.Anew, Say: o.Say}
	if o.Work == "" {
		return opt, nil
	}
	if opt.Identity, err = secondIdentity(s.plan, s.b, s.split); err != nil {
		return opt, err
	}
	folder := filepath.Join(o.Work, opt.Identity)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return opt, fmt.Errorf("make the working folder: %w", err)
	}
	if s.unlock, err = lockRun(folder); err != nil {
		return opt, err
	}
	s.folder = folder
	opt.Checkpoint = filepath.Join(folder, "checkpoint")
	return opt, nil
}

// leave gives the working folder back, removed where there is nothing to go on with.
func (s *second) leave(done bool) (err error) {
	if done && s.folder != "" {
		err = os.RemoveAll(s.folder)
	}
	if s.unlock != nil {
		err = errors.Join(err, s.unlock())
	}
	return err
}

// lockRun locks a run's working folder. Systems without such locks go without.
func lockRun(folder string) (unlock func() error, err error) {
	unlock, err = registry.TryLock(folder + ".lock")
	switch {
	case errors.Is(err, registry.ErrLocked):
		return nil, fmt.Errorf("another run of these settings is under way: %w: wait, or give --work another folder", err)
	case errors.Is(err, errors.ErrUnsupported):
		return nil, nil
	}
	return unlock, err
}
