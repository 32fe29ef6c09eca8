package train_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// keptFit is a small fit that lasts some 25 steps, with what it learns from.
func keptFit(t *testing.T) (train.LifelongPlan, *train.Behaviours, *features.SlateSplit) {
	t.Helper()
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 30, History: 200, Items: 400})
	plan := train.LifelongPlan{Model: lifelong.Config{Model: "dare", Width: 4, Length: 100, Select: 10}, Batch: 64, Epochs: 2, EvalEvery: 7, Seed: 3}
	split, err := features.CutSlates(data, features.SlateOptions{MinEvents: 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return plan, train.NewBehaviours(data, truth.Items), split
}

// TestFitLifelongResumes: a fit that is stopped and taken up again, time after time,
// ends with the weights of one that was not.
func TestFitLifelongResumes(t *testing.T) {
	plan, b, split := keptFit(t)
	whole, err := train.FitLifelong(t.Context(), plan, b, split, train.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	opt := train.FitOptions{Checkpoint: filepath.Join(t.TempDir(), "checkpoint"), Every: time.Hour, Resume: true, Identity: "this", CPU: "cpu"}
	var again *train.LifelongFit
	stops := 0
	for ; ; stops++ {
		ctx, stop := context.WithCancel(t.Context())
		taken := 0
		opt.Progress = func(train.LifelongProgress) {
			if taken++; taken == 5 {
				stop()
			}
		}
		again, err = train.FitLifelong(ctx, plan, b, split, opt)
		stop()
		if err == nil {
			break
		}
		if !errors.Is(err, train.ErrInterrupted) || !errors.Is(err, context.Canceled) || stops > 50 {
			t.Fatal(err)
		}
	}
	if stops < 3 {
		t.Errorf("it was stopped %d times", stops)
	}
	if !slices.Equal(again.Model.Params().All().V, whole.Model.Params().All().V) {
		t.Error("other weights than without interruption")
	}
	if again.BestStep != whole.BestStep || again.ValidAUC != whole.ValidAUC || !slices.Equal(again.Curve, whole.Curve) {
		t.Errorf("best at step %d with %v, curve %v; without interruption %d, %v, %v", again.BestStep, again.ValidAUC, again.Curve, whole.BestStep, whole.ValidAUC, whole.Curve)
	}
	// One that was done has nothing to do any more.
	opt.Progress = func(train.LifelongProgress) { t.Error("a step after the last") }
	if again, err = train.FitLifelong(t.Context(), plan, b, split, opt); err != nil || !slices.Equal(again.Model.Params().All().V, whole.Model.Params().All().V) {
		t.Errorf("taken up after its end: %v", err)
	}
}

// countdown ends when it has been asked so often whether it has.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// TestFitLifelongResumesAnywhere stops a fit at every look at its context in turn,
// those within a validation too.
func TestFitLifelongResumesAnywhere(t *testing.T) {
	plan, b, split := keptFit(t)
	plan.Epochs, plan.Train.Workers = 1, 1
	whole, err := train.FitLifelong(t.Context(), plan, b, split, train.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	opt := train.FitOptions{Checkpoint: filepath.Join(t.TempDir(), "checkpoint"), Every: time.Hour, Resume: true}
	for n := int64(0); ; n++ {
		ctx := &countdown{Context: t.Context()}
		ctx.left.Store(n % 8)
		again, err := train.FitLifelong(ctx, plan, b, split, opt)
		if err == nil {
			if !slices.Equal(again.Model.Params().All().V, whole.Model.Params().All().V) || !slices.Equal(again.Curve, whole.Curve) {
				t.Errorf("curve %v, without interruption %v", again.Curve, whole.Curve)
			}
			break
		}
		if !errors.Is(err, train.ErrInterrupted) || n > 200 {
			t.Fatal(err)
		}
	}
}

// TestFitLifelongBeginsAnew where it may and the checkpoint is of another
// instruction set.
func TestFitLifelongBeginsAnew(t *testing.T) {
	plan, b, split := keptFit(t)
	opt := train.FitOptions{Checkpoint: filepath.Join(t.TempDir(), "checkpoint"), CPU: "one"}
	if _, err := train.FitLifelong(t.Context(), plan, b, split, opt); err != nil {
		t.Fatal(err)
	}
	steps := 0
	opt.CPU, opt.Resume, opt.Anew, opt.Progress = "other", true, true, func(train.LifelongProgress) { steps++ }
	if _, err := train.FitLifelong(t.Context(), plan, b, split, opt); err != nil || steps == 0 {
		t.Errorf("%d steps, %v", steps, err)
	}
}

// TestFitLifelongKeeps: a checkpoint is there after each validation, or as often as
// is asked for, without anybody stopping the fit.
func TestFitLifelongKeeps(t *testing.T) {
	plan, b, split := keptFit(t)
	for name, every := range map[string]time.Duration{"at validations": 0, "at each step": 1} {
		t.Run(name, func(t *testing.T) {
			path, kept, steps := filepath.Join(t.TempDir(), "checkpoint"), 0, 0
			_, err := train.FitLifelong(t.Context(), plan, b, split, train.FitOptions{Checkpoint: path, Every: every, Progress: func(p train.LifelongProgress) {
				steps = p.Steps
				if os.Remove(path) == nil {
					kept++
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: (steps - 1) / plan.EvalEvery, false: steps - 1}[every == 0]; kept != want {
				t.Errorf("%d checkpoints in %d steps, want %d", kept, steps, want)
			}
		})
	}
}

// TestFitLifelongRefuses checkpoints that are not of this fit, or not whole.
func TestFitLifelongRefuses(t *testing.T) {
	plan, b, split := keptFit(t)
	ctx, stop := context.WithCancel(t.Context())
	good := train.FitOptions{Checkpoint: filepath.Join(t.TempDir(), "checkpoint"), Identity: "this", CPU: "cpu", Resume: true, Progress: func(p train.LifelongProgress) {
		if p.Step == 9 {
			stop()
		}
	}}
	if _, err := train.FitLifelong(ctx, plan, b, split, good); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	file, err := os.ReadFile(good.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	wider := plan
	wider.Model.Width = 8
	shorter := plan
	shorter.Epochs, shorter.Batch = 1, 1<<20
	damaged := slices.Clone(file)
	damaged[len(damaged)/2] ^= 1
	for _, c := range []struct {
		name   string
		plan   train.LifelongPlan
		change func(*train.FitOptions)
		file   []byte
		want   error
	}{
		{"of other data", plan, func(o *train.FitOptions) { o.Identity = "that" }, file, train.ErrOtherRun},
		{"of another instruction set", plan, func(o *train.FitOptions) { o.CPU = "other" }, file, train.ErrOtherCPU},
		{"of another width", wider, nil, file, train.ErrCheckpoint},
		{"of more steps than there are", shorter, nil, file, train.ErrCheckpoint},
		{"damaged", plan, nil, damaged, train.ErrCheckpoint},
		{"cut short", plan, nil, file[:len(file)-9], train.ErrCheckpoint},
		{"empty", plan, nil, nil, train.ErrCheckpoint},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := good
			opt.Progress, opt.Checkpoint = nil, filepath.Join(t.TempDir(), "checkpoint")
			if c.change != nil {
				c.change(&opt)
			}
			if err := os.WriteFile(opt.Checkpoint, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := train.FitLifelong(t.Context(), c.plan, b, split, opt); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestSecondStageAlone: the working folder is one run's until it has published.
func TestSecondStageAlone(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	plan := smallPlan()
	plan.Epochs = 1
	opt := train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Hard: -1, Hold: true, Publish: true, Work: t.TempDir()}
	other := opt
	other.Say = t.Logf
	tried := 0
	opt.Say = func(format string, args ...any) {
		t.Logf(format, args...)
		if strings.HasPrefix(format, "blend") { // long after training
			tried++
			if _, err := train.SecondStage(t.Context(), plan, other); !errors.Is(err, registry.ErrLocked) {
				t.Errorf("a second run beside the first: %v", err)
			}
		}
	}
	if _, err := train.SecondStage(t.Context(), plan, opt); err != nil || tried != 1 {
		t.Errorf("%v, tried %d times", err, tried)
	}
}

// TestSecondStageReadsAsFirst: unless told otherwise it leaves out what the first stage
// left out, and no more.
func TestSecondStageReadsAsFirst(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	plan := smallPlan()
	plan.Epochs = 1
	filter.MinItemCount = 60 // some items of this world have fewer events
	for _, asFirst := range []bool{true, false} {
		left := false
		_, err := train.SecondStage(t.Context(), plan, train.SecondOptions{Data: folder, Filter: filter, AsFirst: asFirst, Registry: reg, First: "current", Hard: -1, Say: func(format string, args ...any) {
			t.Logf(format, args...)
			left = left || strings.Contains(format, "the filter leaves out")
		}})
		if err != nil || left == asFirst {
			t.Errorf("read as the first %v: something is left out %v, %v", asFirst, left, err)
		}
	}
}

// TestSecondStageResumes stops a second stage in training and takes it up: it ends as
// one that was not stopped, and leaves no checkpoint behind.
func TestSecondStageResumes(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	plan := smallPlan()
	plan.Epochs = 1
	opt := train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Hard: -1, Hold: true, Publish: true, Say: t.Logf}
	whole, err := train.SecondStage(t.Context(), plan, opt)
	if err != nil {
		t.Fatal(err)
	}
	opt.Work, opt.Resume = t.TempDir(), true
	ctx, stop := context.WithCancel(t.Context())
	last := 0
	opt.Progress = func(p train.LifelongProgress) {
		if last = p.Step; p.Step == 10 {
			stop()
		}
	}
	if _, err := train.SecondStage(ctx, plan, opt); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	first := 0
	opt.Progress = func(p train.LifelongProgress) {
		if first == 0 {
			first = p.Step
		}
	}
	again, err := train.SecondStage(t.Context(), plan, opt)
	if err != nil {
		t.Fatal(err)
	}
	if first != last+1 || again.AUC != whole.AUC || again.Blend != whole.Blend || again.NDCG10 != whole.NDCG10 {
		t.Errorf("step %d after %d; AUC %v, blend %v, NDCG@10 %v, without interruption %v, %v, %v", first, last, again.AUC, again.Blend, again.NDCG10, whole.AUC, whole.Blend, whole.NDCG10)
	}
	if left, err := filepath.Glob(filepath.Join(opt.Work, "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind (%v)", left, err)
	}
}
