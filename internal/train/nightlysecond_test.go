package train_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// logFile is a source.
type logFile string

func (f logFile) Name() string { return string(f) }

func (f logFile) Gather(_ context.Context, to *features.Gatherer) ([]features.Item, error) {
	in, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return nil, to.File(in)
}

// nights is a place where nights with a second stage run.
type nights struct {
	root string // registry and working folder
	data string
	reg  *registry.Registry
	plan train.Plan
}

// someNights has a world of long histories and popularity as the version in service.
func someNights(t *testing.T) *nights {
	t.Helper()
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 60, History: 200, Items: 300})
	n := &nights{root: t.TempDir(), data: t.TempDir(), plan: train.Plan{Baseline: baseline.Popularity, Data: train.DataPlan{Split: features.SplitTemporal, TestShare: 0.15}}}
	if err := features.WriteFolder(n.data, data, truth.Items); err != nil {
		t.Fatal(err)
	}
	n.reg = must(registry.Open(filepath.Join(n.root, "registry")))
	n.publish(t, baseline.Popularity, true)
	return n
}

// publish is somebody else's work.
func (n *nights) publish(t *testing.T, kind baseline.Kind, promote bool) (version string) {
	t.Helper()
	plan := n.plan
	plan.Baseline = kind
	s, err := train.Night(t.Context(), plan, train.NightOptions{Data: n.data, Registry: n.reg, Alone: true, Promote: promote, Hold: !promote})
	if err != nil {
		t.Fatal(err)
	}
	return s.Version
}

// copy is the place as a process that is killed now leaves it.
func (n *nights) copy(t *testing.T) *nights {
	t.Helper()
	c := *n
	c.root = t.TempDir()
	if err := os.CopyFS(c.root, os.DirFS(n.root)); err != nil {
		t.Fatal(err)
	}
	c.reg = must(registry.Open(filepath.Join(c.root, "registry")))
	return &c
}

// run is a night whose second stage has too few cases to replace anything: the first
// is judged on all events of a window, both stages on the last of each user. hear is
// called with what is said, by its format.
func (n *nights) run(ctx context.Context, second bool, hear func(format string)) (*train.NightlySummary, error) {
	matches, err := filepath.Glob(filepath.Join(n.data, "interactions*"))
	if err != nil || len(matches) != 1 {
		return nil, errors.Join(errors.New("where is the log?"), err)
	}
	opt := train.NightlyOptions{Sources: []train.Source{logFile(matches[0])}, NightOptions: train.NightOptions{
		Registry: n.reg, Work: filepath.Join(n.root, "work"), Alone: true, Promote: true, Gate: train.GateRules{MinCases: 100},
		Say: func(format string, _ ...any) { hear(format) },
	}}
	if second {
		opt.Second = &train.LifelongPlan{Model: lifelong.Config{Width: 4, Length: 50, Select: 10}, Slates: features.SlateOptions{MinEvents: 20, Count: 1}, Batch: 256, Epochs: 1, EvalEvery: 50, Seed: 1}
	}
	return train.Nightly(ctx, n.plan, opt)
}

func nothing(string) {}

// current is the version in service.
func (n *nights) current(t *testing.T) string {
	t.Helper()
	return must(n.reg.Current())
}

// TestKilledNightPromotesNoRefusedSecondStage: a night that was killed between the
// publication of both stages and its end promotes what an undisturbed one does: the
// first alone, where the gate refused both.
func TestKilledNightPromotesNoRefusedSecondStage(t *testing.T) {
	n := someNights(t)
	before := n.current(t)
	var killed *nights
	whole, err := n.run(t.Context(), true, func(format string) {
		if strings.HasPrefix(format, "gate:") && killed == nil {
			killed = n.copy(t)
		}
	})
	if err != nil || whole.Second == nil || whole.Second.Gate.Passed || whole.Second.Gate.Against != before || killed == nil {
		t.Fatalf("the undisturbed night: %+v, error %v", whole, err)
	}
	if got := n.current(t); got != whole.Version || !whole.Promoted || whole.Second.Promoted {
		t.Fatalf("%s is current, want the first stage %s", got, whole.Version)
	}
	if got := killed.current(t); got != before {
		t.Fatalf("%s is current when the night is killed, want %s", got, before)
	}
	again, err := killed.run(t.Context(), true, nothing)
	if err != nil || !again.Resumed {
		t.Fatalf("the night that goes on: %+v, error %v", again, err)
	}
	if got := killed.current(t); got != whole.Version || again.Version != whole.Version || !again.Promoted {
		t.Errorf("%s is current, the summary has %s: want the first stage %s; both, which the gate refused, are %s", got, again.Version, whole.Version, whole.Second.Version)
	}
	if s := again.Second; s == nil || s.Version != whole.Second.Version || s.Promoted || s.Gate.Passed || s.Test != whole.Second.Test {
		t.Errorf("second stage %+v, want %+v", s, whole.Second)
	}
	if left := must(os.ReadDir(filepath.Join(killed.root, "work"))); len(left) != 1 { // the lock
		t.Errorf("the working folder holds %v", left)
	}
}

// TestFirstStageIsHeldAgainstPopularity: what may be promoted alone in the end is held
// against popularity, though its own night leaves it and no baseline was asked for.
func TestFirstStageIsHeldAgainstPopularity(t *testing.T) {
	n := someNights(t)
	n.plan.Baseline = baseline.VMISKNN
	s, err := n.run(t.Context(), true, nothing)
	if s == nil {
		t.Fatal(err)
	}
	if rules := strings.Join(s.Gate.Rules, "\n"); !strings.Contains(rules, "that of popularity") {
		t.Errorf("the gate asked only for\n%s", rules)
	}
}

// TestNightOverridesNobody: whoever promotes another version after a night's verdict
// is not overridden by it, whether the night was interrupted meanwhile or not.
func TestNightOverridesNobody(t *testing.T) {
	base := someNights(t)
	judged := base.current(t)
	better := base.publish(t, baseline.VMISKNN, false)
	refused := func(t *testing.T, n *nights, s *train.NightlySummary, err error) {
		t.Helper()
		if !errors.Is(err, train.ErrRefused) || s == nil || s.Promoted {
			t.Fatalf("the night ended with %v, %+v", err, s)
		}
		for _, part := range []string{"against version " + judged, better + " has become current", "trainjob promote " + s.Version} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
		if s.Gate.Passed || s.Gate.Against != judged {
			t.Errorf("the summary's verdict: %+v", s.Gate)
		}
		if got := n.current(t); got != better {
			t.Errorf("%s is current, want %s", got, better)
		}
	}
	for name, c := range map[string]struct {
		second    bool
		at        string // what is said when the other version is promoted
		interrupt bool
	}{
		"while the second stage is trained":   {true, "asking the first stage", false},
		"between interruption and resumption": {true, "asking the first stage", true},
		"without a second stage":              {false, "published version", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := base.copy(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			s, err := n.run(ctx, c.second, func(format string) {
				if !strings.HasPrefix(format, c.at) {
					return
				}
				if c.interrupt {
					stop()
				} else if err := n.reg.Promote(better); err != nil {
					t.Error(err)
				}
			})
			if c.interrupt {
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("interrupted: %v", err)
				}
				if err := n.reg.Promote(better); err != nil {
					t.Fatal(err)
				}
				s, err = n.run(t.Context(), c.second, nothing)
			}
			refused(t, n, s, err)
		})
	}
	t.Run("killed after publication", func(t *testing.T) {
		n, killed := base.copy(t), (*nights)(nil)
		if _, err := n.run(t.Context(), false, func(format string) {
			if strings.HasPrefix(format, "published version") {
				killed = n.copy(t)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := killed.reg.Promote(better); err != nil {
			t.Fatal(err)
		}
		s, err := killed.run(t.Context(), false, nothing)
		refused(t, killed, s, err)
	})
}

// TestSecondStageOverridesNobody is the same for the version of both stages, which is
// judged last.
func TestSecondStageOverridesNobody(t *testing.T) {
	n := someNights(t)
	judged := n.current(t)
	better := n.publish(t, baseline.VMISKNN, false)
	plan := train.LifelongPlan{Model: lifelong.Config{Width: 4, Length: 50, Select: 10}, Slates: features.SlateOptions{MinEvents: 20, Count: 1}, Batch: 256, Epochs: 1, Seed: 1}
	s, err := train.SecondStage(t.Context(), plan, train.SecondOptions{
		Data: n.data, Filter: n.plan.Data, Registry: n.reg, First: "current", Hard: -1, Publish: true, Promote: true, Gate: train.GateRules{MaxDrop: 0.9},
		Say: func(format string, _ ...any) {
			if strings.HasPrefix(format, "published version") {
				if err := n.reg.Promote(better); err != nil {
					t.Error(err)
				}
			}
		},
	})
	if !errors.Is(err, train.ErrRefused) || !strings.Contains(err.Error(), "against version "+judged) || s.Promoted || s.Gate.Passed {
		t.Errorf("ended with %v, %+v", err, s)
	}
	if got := n.current(t); got != better {
		t.Errorf("%s is current, want %s", got, better)
	}
}

// TestVerdictAgainstNothing: what was judged when nothing was in service takes no
// other version's place, and takes its own again.
func TestVerdictAgainstNothing(t *testing.T) {
	n := someNights(t)
	first := n.current(t)
	if err := os.Remove(filepath.Join(n.root, "registry", "current")); err != nil {
		t.Fatal(err)
	}
	var killed *nights
	s, err := n.run(t.Context(), false, func(format string) {
		if strings.HasPrefix(format, "published version") {
			killed = n.copy(t)
		}
	})
	if err != nil || !s.Promoted || s.Gate.Against != "" {
		t.Fatalf("the night: %+v, %v", s, err)
	}
	if err := killed.reg.Promote(first); err != nil {
		t.Fatal(err)
	}
	again := killed.copy(t)
	if _, err := killed.run(t.Context(), false, nothing); !errors.Is(err, train.ErrRefused) || killed.current(t) != first {
		t.Errorf("over a version that came between: %v, current %s", err, killed.current(t))
	}
	if err := again.reg.Promote(s.Version); err != nil {
		t.Fatal(err)
	}
	if s, err := again.run(t.Context(), false, nothing); err != nil || !s.Promoted {
		t.Errorf("promoted already: %+v, %v", s, err)
	}
}
