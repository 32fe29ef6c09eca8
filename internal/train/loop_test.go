package train

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel"
)

// fake is a learner whose validation quality follows a script: in epoch e it
// ranks the target first for the first script[e-1] cases and last for others;
// below 0 its scores are not numbers.
type fake struct {
	net   *fakeNet
	steps uint64
	rate  float32
}

type fakeNet struct {
	script  []int
	batches int // in an epoch
	fail    func(step uint64) (float64, error)
	rates   []float32
}

func (n *fakeNet) New() (Learner, error) { return &fake{net: n}, nil }

func (n *fakeNet) Load(r io.ReaderAt, size int64) (Learner, error) {
	f := &fake{net: n}
	return f, f.LoadState(r, size)
}

func (f *fake) Step(*features.Batch) (float64, error) {
	f.steps++
	f.net.rates = append(f.net.rates, f.rate)
	if f.net.fail != nil {
		return f.net.fail(f.steps)
	}
	return 1 / float64(f.steps), nil
}

func (f *fake) SetLR(rate float32) { f.rate = rate }

func (f *fake) SaveWeights(w io.Writer) error { return binary.Write(w, binary.LittleEndian, f.steps) }
func (f *fake) SaveState(w io.Writer) error   { return f.SaveWeights(w) }
func (f *fake) LoadState(r io.ReaderAt, size int64) error {
	return binary.Read(io.NewSectionReader(r, 0, size), binary.LittleEndian, &f.steps)
}
func (f *fake) NewRanker() features.Ranker { return f }

func (f *fake) Rank([][]kernel.Scored, []features.Query) { panic("not used") }

func (f *fake) Score(dst []float32, queries []features.Query) {
	good := f.net.script[(int(f.steps)-1)/f.net.batches]
	items := len(dst) / len(queries)
	for q := range queries {
		for i := range items {
			dst[q*items+i] = float32(i) // the case's target is item 0: the worst
		}
		if int(queries[q].History[0]) <= good {
			dst[q*items] = 1e6
		}
		if good < 0 {
			dst[q*items] = float32(math.NaN())
		}
	}
}

// fakeWorld is ten users whose validation targets are item 0 and whose history
// begins with 1 to 10, and a net whose epochs have 5 batches of 2.
func fakeWorld(script ...int) (*fakeNet, *features.Split, Options) {
	s := &features.Split{Items: 20}
	for u := range 10 {
		history := []int32{int32(u + 1), 12, 13}
		s.Train = append(s.Train, history)
		s.Valid = append(s.Valid, features.Case{User: u, Input: history, Target: 0})
	}
	opt := Options{Epochs: len(script), Sampler: features.SamplerOptions{BatchSize: 2}, Schedule: Schedule{Rate: 1}, Identity: "fake"}
	return &fakeNet{script: script, batches: 5}, s, opt
}

// epochOf says after which epoch weights were saved.
func epochOf(o *Outcome) int { return int(binary.LittleEndian.Uint64(o.Weights)) / 5 }

func TestBestEpochIsKept(t *testing.T) {
	tests := []struct {
		name     string
		script   []int
		patience int
		every    int
		best     int
		epochs   int
		why      string
	}{
		{"the last is best", []int{1, 2, 3}, 0, 0, 3, 3, "all 3 epochs"},
		{"the first of equals", []int{1, 4, 4, 2}, 0, 0, 2, 4, "all 4"},
		{"patience ends it", []int{1, 5, 4, 4, 9, 9}, 2, 0, 2, 4, "no better epoch in 2"},
		{"patience starts anew", []int{1, 3, 2, 4, 2, 5}, 2, 0, 6, 6, "all 6"},
		{"only judged epochs count", []int{9, 2, 9, 3, 9}, 0, 2, 5, 5, "all 5"},
		{"nothing is ever right", []int{0, 0, 0}, 0, 0, 1, 3, "all 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			net, split, opt := fakeWorld(tt.script...)
			opt.Patience, opt.EvalEvery = tt.patience, tt.every
			o, err := Run(t.Context(), net, split, opt)
			if err != nil {
				t.Fatal(err)
			}
			if o.Best != tt.best || epochOf(o) != tt.best || len(o.Epochs) != tt.epochs || !strings.Contains(o.Why, tt.why) {
				t.Errorf("best %d (weights of %d) after %d epochs, %q; want %d after %d, %q", o.Best, epochOf(o), len(o.Epochs), o.Why, tt.best, tt.epochs, tt.why)
			}
		})
	}
}

func TestWithoutValidationTheLastWeightsAreKept(t *testing.T) {
	net, split, opt := fakeWorld(0, 0, 0)
	split.Valid = nil
	o, err := Run(t.Context(), net, split, opt)
	if err != nil || o.Best != 3 || epochOf(o) != 3 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestScheduleReachesTheLearner(t *testing.T) {
	net, split, opt := fakeWorld(1, 1)
	opt.Schedule = Schedule{Kind: Linear, Rate: 1, Warmup: 2}
	if _, err := Run(t.Context(), net, split, opt); err != nil {
		t.Fatal(err)
	}
	if len(net.rates) != 10 || net.rates[0] != 0.5 || net.rates[2] != 1 || net.rates[9] != 0 {
		t.Errorf("rates %v", net.rates)
	}
}

func TestFailureNamesTheStepAndKeepsTheCheckpoint(t *testing.T) {
	net, split, opt := fakeWorld(1, 2, 3, 4)
	net.fail = failAt(13, 0, errors.New("out of memory"))
	opt.Checkpoint = filepath.Join(t.TempDir(), "checkpoint")
	_, err := Run(t.Context(), net, split, opt)
	if err == nil || !strings.Contains(err.Error(), "epoch 3, batch 3 of 5") || !strings.Contains(err.Error(), opt.Checkpoint) {
		t.Fatalf("error %v", err)
	}
	net.fail, opt.Resume = nil, true
	o, err := Run(t.Context(), net, split, opt)
	if err != nil || epochOf(o) != 4 {
		t.Errorf("the kept checkpoint does not go on: %+v, %v", o, err)
	}
}

func TestDivergenceKeepsTheBestWeights(t *testing.T) {
	diverged := fmt.Errorf("step 13: %w", seqmodel.ErrDiverged)
	for name, fail := range map[string]func(uint64) (float64, error){
		"NaN loss": failAt(13, math.NaN(), nil), "infinite loss": failAt(13, math.Inf(1), nil), "NaN gradient": failAt(13, 1, diverged),
	} {
		t.Run(name, func(t *testing.T) {
			net, split, opt := fakeWorld(4, 2, 3, 4)
			net.fail = fail
			o, err := Run(t.Context(), net, split, opt)
			if err != nil {
				t.Fatal(err)
			}
			if !o.Diverged || o.Why != "diverged at epoch 3; weights of epoch 1 are kept" || epochOf(o) != 1 || o.Best != 1 || len(o.Epochs) != 2 {
				t.Errorf("outcome %+v, weights of epoch %d", o, epochOf(o))
			}
		})
	}
	t.Run("without a best epoch", func(t *testing.T) {
		net, split, opt := fakeWorld(4, 2)
		net.fail = failAt(3, math.NaN(), nil)
		if _, err := Run(t.Context(), net, split, opt); !errors.Is(err, seqmodel.ErrDiverged) || !strings.Contains(err.Error(), "epoch 1, batch 3 of 5") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("scores that are not numbers", func(t *testing.T) {
		net, split, opt := fakeWorld(4, -1, 3)
		o, err := Run(t.Context(), net, split, opt)
		if err != nil || !o.Diverged || epochOf(o) != 1 {
			t.Errorf("outcome %+v, error %v", o, err)
		}
	})
}

// failAt is the outcome of steps of which one is another.
func failAt(step uint64, loss float64, err error) func(uint64) (float64, error) {
	return func(s uint64) (float64, error) {
		if s == step {
			return loss, err
		}
		return 1, nil
	}
}

func TestInterruptSavesAndResumes(t *testing.T) {
	for stop := range 20 { // after every batch and in every validation
		net, split, opt := fakeWorld(1, 3, 2)
		want, err := Run(t.Context(), net, split, opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.Checkpoint = filepath.Join(t.TempDir(), "checkpoint")
		ctx, cancel := context.WithCancel(t.Context())
		events := 0
		opt.Progress = func(e Event) {
			if events++; events == stop+1 {
				cancel()
			}
		}
		_, err = Run(ctx, net, split, opt)
		if events > stop && !errors.Is(err, ErrInterrupted) && err != nil {
			t.Fatalf("stop %d: error %v", stop, err)
		}
		opt.Resume, opt.Progress = true, nil
		got, err := Run(t.Context(), net, split, opt)
		if err != nil {
			t.Fatalf("stop %d: %v", stop, err)
		}
		if epochOf(got) != epochOf(want) || got.Steps != want.Steps || got.Tokens != want.Tokens || got.Epochs[2].Loss != want.Epochs[2].Loss {
			t.Errorf("stop %d: resumed run %+v, want %+v", stop, got, want)
		}
	}
}

func TestCheckpointsWithinAnEpoch(t *testing.T) {
	net, split, opt := fakeWorld(1, 1)
	opt.Checkpoint = filepath.Join(t.TempDir(), "checkpoint")
	opt.CheckpointEvery = 2 * time.Second
	var now time.Time
	opt.Now = func() time.Time { now = now.Add(time.Second); return now }
	within := 0
	opt.Progress = func(e Event) {
		if e.Kind == Saved && e.Batch > 0 {
			within++
		}
	}
	if _, err := Run(t.Context(), net, split, opt); err != nil {
		t.Fatal(err)
	}
	if within < 4 {
		t.Errorf("%d checkpoints within two epochs of 5 one-second batches, want at least 4", within)
	}
}

func TestResumeRefusesWhatIsNotItsOwn(t *testing.T) {
	net, split, opt := fakeWorld(1, 1)
	opt.CPU = "avx2"
	opt.Checkpoint = filepath.Join(t.TempDir(), "checkpoint")
	if _, err := Run(t.Context(), net, split, opt); err != nil {
		t.Fatal(err)
	}
	opt.Resume, opt.Identity = true, "other"
	if _, err := Run(t.Context(), net, split, opt); !errors.Is(err, ErrOtherRun) {
		t.Errorf("other settings: %v", err)
	}
	opt.Identity, opt.CPU = "fake", "generic"
	if _, err := Run(t.Context(), net, split, opt); !errors.Is(err, ErrOtherCPU) ||
		!strings.Contains(err.Error(), "checkpoint made with avx2, this run uses generic; set SEQREC_CPU=avx2") {
		t.Errorf("another instruction set: %v", err)
	}
	anew, fresh := opt, false
	anew.Anew, anew.Checkpoint = true, filepath.Join(t.TempDir(), "checkpoint")
	if b, err := os.ReadFile(opt.Checkpoint); err != nil || os.WriteFile(anew.Checkpoint, b, 0o600) != nil {
		t.Fatal(err)
	}
	anew.Progress = func(e Event) { fresh = fresh || e.Kind == Fresh }
	if _, err := Run(t.Context(), net, split, anew); err != nil || !fresh {
		t.Errorf("another instruction set, to begin anew with: begun %v, %v", fresh, err)
	}
	opt.CPU = "avx2"
	if err := os.Truncate(opt.Checkpoint, 40); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), net, split, opt); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("cut file: %v", err)
	}
}

func TestProgressTellsTheTruth(t *testing.T) {
	net, split, opt := fakeWorld(2, 5, 1)
	var now time.Time
	opt.Now = func() time.Time { now = now.Add(time.Second); return now }
	var judged []Event
	opt.Progress = func(e Event) {
		if e.Kind == Judged {
			judged = append(judged, e)
		}
	}
	if _, err := Run(t.Context(), net, split, opt); err != nil {
		t.Fatal(err)
	}
	if len(judged) != 3 {
		t.Fatalf("%d epochs were told of", len(judged))
	}
	last := judged[2]
	if last.Valid != 0.1 || last.Best != 0.5 || last.BestEpoch != 2 || last.Stale != 1 || last.Left != 0 {
		t.Errorf("last epoch: %+v", last)
	}
	if judged[0].TokensPerSecond <= 0 || judged[0].Left <= 0 {
		t.Errorf("first epoch: %+v", judged[0])
	}
}

func TestSpread(t *testing.T) {
	cases := make([]features.Case, 10)
	for i := range cases {
		cases[i].User = i
	}
	if got := spread(cases, 3); len(got) != 3 || got[0].User != 0 || got[1].User != 3 || got[2].User != 6 {
		t.Errorf("%v", got)
	}
	if got := spread(cases, 0); len(got) != 10 {
		t.Errorf("0 takes %d", len(got))
	}
}
