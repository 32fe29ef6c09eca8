package train_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/train"
)

// smallWorld writes a world of long histories to a folder and publishes
// popularity as its first stage.
func smallWorld(t *testing.T) (folder string, reg *registry.Registry, filter train.DataPlan) {
	t.Helper()
	folder = t.TempDir()
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 250, History: 300, Items: 400})
	if err := features.WriteFolder(folder, data, truth.Items); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	filter = train.DataPlan{Split: features.SplitLeaveOneOut}
	plan := train.Plan{Baseline: baseline.Popularity, Data: filter}
	if _, err := train.Night(t.Context(), plan, train.NightOptions{Data: folder, Registry: reg, Alone: true, Say: t.Logf}); err != nil {
		t.Fatal(err)
	}
	return folder, reg, filter
}

func smallPlan() train.LifelongPlan {
	return train.LifelongPlan{Model: lifelong.Config{Width: 8, Length: 300, Positions: 32, Select: 40, Gaps: true, InitStd: 0.05}, Batch: 512, Epochs: 4, EvalEvery: 20, Seed: 1}
}

// TestSecondStage trains a second stage on a world with an answer, and checks
// that both stages know more than the first and that the version holds both.
func TestSecondStage(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	first, err := reg.Resolve("current")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	s, err := train.SecondStage(t.Context(), smallPlan(), train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Candidates: 300,
		Publish: true, Promote: true, Say: t.Logf, Progress: func(p train.LifelongProgress) { steps = p.Step }})
	if err != nil {
		t.Fatal(err)
	}
	if !(s.AUC > 0.7) || !(s.DeltaLow > 0) || s.Blend == 0 || !s.Promoted || steps == 0 {
		t.Errorf("AUC %.3f, blend %g, NDCG@10 %.4f against %.4f alone (%.4f to %.4f), promoted %v, %d steps", s.AUC, s.Blend, s.NDCG10, s.Alone, s.DeltaLow, s.DeltaHigh, s.Promoted, steps)
	}
	v, err := reg.Load(s.Version)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version == first || v.Manifest.Kind != train.KindBaseline {
		t.Errorf("version %s of kind %s", s.Version, v.Manifest.Kind)
	}
	if r := v.Manifest.Reranker; r == nil || r.Blend != s.Blend || r.Candidates != 300 || !slices.Equal(r.Kinds[:1], []string{""}) || len(r.Kinds) < 3 {
		t.Fatalf("manifest says %+v", r)
	}
	f, err := v.Open(registry.RerankerFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := lifelong.Load(f, v.Size(registry.RerankerFile))
	if err != nil {
		t.Fatal(err)
	}
	if m.Items() != v.Manifest.Items || m.Config().Categories < 3 || m.Config().Kinds != len(v.Manifest.Reranker.Kinds) {
		t.Errorf("published %+v", m.Config())
	}
}

// TestSecondStageRefuses checks what stops a second stage before it costs.
func TestSecondStageRefuses(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		ctx    context.Context
		change func(*train.LifelongPlan, *train.SecondOptions)
		want   error
	}{
		"no such version":    {t.Context(), func(_ *train.LifelongPlan, o *train.SecondOptions) { o.First = "01M8A624WDT6QW975RJ6TNPFSK" }, registry.ErrNotFound},
		"nobody long enough": {t.Context(), func(p *train.LifelongPlan, _ *train.SecondOptions) { p.Slates.MinEvents = 10_000 }, features.ErrNoEvents},
		"stopped":            {stopped, func(*train.LifelongPlan, *train.SecondOptions) {}, context.Canceled},
	} {
		plan, opt := smallPlan(), train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Publish: true, Say: t.Logf}
		c.change(&plan, &opt)
		if s, err := train.SecondStage(c.ctx, plan, opt); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, error %v", name, s, err)
		}
	}
}

// TestTwoStagesKeepTheirPlaces: whatever the second stage says, candidates stay
// above the rest, the rest keeps its order, and Rank agrees with Score.
func TestTwoStagesKeepTheirPlaces(t *testing.T) {
	data, _ := features.LifelongWorld(1, features.LifelongOptions{Users: 20, History: 200, Items: 400})
	split := features.LeaveOneOut(data)
	first, err := baseline.Fit(baseline.Popularity, split, baseline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := lifelong.New(lifelong.Config{Items: split.Items, InitStd: 1}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	two := &train.TwoStages{First: first, Second: second, Candidates: 50, Blend: 5}
	q := features.Query{History: split.Test[0].Input, Times: split.Test[0].Times, At: split.Test[0].At, K: 60}
	alone, both := make([]float32, split.Items), make([]float32, split.Items)
	first.NewRanker().Score(alone, []features.Query{q})
	r := two.NewRanker()
	r.Score(both, []features.Query{q})
	above := 0
	for i := range both {
		if both[i] >= 0.5 {
			if !slices.Contains(q.History, int32(i)) {
				above++
			}
			continue
		}
		for j := range i {
			if both[j] < 0.5 && alone[i] > alone[j] && both[i] < both[j] {
				t.Fatalf("items %d and %d changed places below the candidates", i, j)
			}
		}
	}
	if above != 50 {
		t.Errorf("%d items are candidates, want 50", above)
	}
	q.Blocked = make([]uint64, (split.Items+63)/64)
	for _, item := range q.History {
		q.Blocked[item>>6] |= 1 << (item & 63)
	}
	lists := make([][]kernel.Scored, 1)
	r.Rank(lists, []features.Query{q})
	dst := lists[0]
	for i := 1; i < len(dst); i++ {
		if dst[i].Score > dst[i-1].Score || dst[i].Score != both[dst[i].Item] {
			t.Fatalf("place %d is %+v, its score %v", i, dst[i], both[dst[i].Item])
		}
	}
	if len(dst) != 60 {
		t.Errorf("%d items, want 60", len(dst))
	}
}
