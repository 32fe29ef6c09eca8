package train_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
	"seqrec/internal/store"
	"seqrec/internal/train"
)

// heard collects what is said.
type heard struct{ lines []string }

func (h *heard) say(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

func (h *heard) has(text string) bool { return strings.Contains(strings.Join(h.lines, "\n"), text) }

// TestSecondStageInService follows a version with two stages through what comes
// after it: it is judged as it is served, a weaker second stage and a night
// without one do not take its place unseen.
func TestSecondStageInService(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	opt := train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Candidates: 300, Hard: -1, Publish: true, Promote: true, Name: "good", Say: t.Logf}
	good, err := train.SecondStage(t.Context(), smallPlan(), opt)
	if err != nil {
		t.Fatal(err)
	}
	p, err := train.Open(reg, "current")
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "good" || !strings.Contains(p.Served().Describe(), "dare") {
		t.Errorf("%s serves %s", p.Name, p.Served().Describe())
	}
	data, _, err := features.Read(folder, filter.ReadOptions())
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Judge(t.Context(), data, features.LeaveOneOut(data), train.JudgeOptions{})
	if err != nil || r.NDCG10() != good.NDCG10 {
		t.Errorf("judged again: %v, %v, want %v", r.NDCG10(), err, good.NDCG10)
	}

	weak := smallPlan()
	weak.Model.Model, weak.Epochs, weak.Slates.Count = "sdim", 1, 1
	opt.First = good.First
	s, err := train.SecondStage(t.Context(), weak, opt)
	if !errors.Is(err, train.ErrRefused) || s == nil || s.Promoted || s.Version == "" {
		t.Errorf("a weaker second stage: %+v, %v", s, err)
	}

	var said heard
	night := train.NightOptions{Data: folder, Registry: reg, Alone: true, Promote: true, Say: said.say}
	if _, err := train.Night(t.Context(), train.Plan{Baseline: baseline.Popularity, Data: filter}, night); !errors.Is(err, train.ErrRefused) {
		t.Errorf("a night without a second stage: %v", err)
	}
	if !said.has("has a second stage") || !said.has("dare") {
		t.Errorf("the night did not say that the second stage is left behind: %q", said.lines)
	}
	if now, err := reg.Resolve("current"); err != nil || now != good.Version {
		t.Errorf("current is %s, %v, want %s", now, err, good.Version)
	}
}

// TestSecondStageClaimsNoErasure: what the second stage learned from need not
// obey the receipts of the first, so the version must not say it does.
func TestSecondStageClaimsNoErasure(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	origin := &train.Origin{Night: "n1", Erased: &train.Erasures{Receipts: []store.Receipt{{ID: "A", UserHash: "b", At: time.Unix(1, 0).UTC()}}}}
	night := train.NightOptions{Data: folder, Registry: reg, Alone: true, Origin: origin, Promote: true, Say: t.Logf}
	if _, err := train.Night(t.Context(), train.Plan{Baseline: baseline.Popularity, Data: filter}, night); err != nil {
		t.Fatal(err)
	}
	var said heard
	plan := smallPlan()
	plan.Epochs, plan.Slates.Count = 1, 1
	s, err := train.SecondStage(t.Context(), plan, train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Hard: -1, Publish: true, Say: said.say})
	if err != nil {
		t.Fatal(err)
	}
	v, err := reg.Load(s.Version)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := v.Manifest.Files[registry.ErasuresFile]; there || v.Manifest.Erased != nil || v.Manifest.Night != "" || !said.has("claims none") {
		t.Errorf("night %q, erased %+v, files %v, said %q", v.Manifest.Night, v.Manifest.Erased, v.Manifest.Files, said.lines)
	}
}

// TestOpenSecond: a version whose second stage does not fit is refused, though
// every byte is what was published.
func TestOpenSecond(t *testing.T) {
	_, reg, _ := smallWorld(t)
	items := must(reg.Load(must(reg.Resolve("current")))).Manifest.Items
	for name, c := range map[string]struct {
		config lifelong.Config
		set    registry.Reranker
		want   string
	}{
		"other items": {lifelong.Config{Items: 7}, registry.Reranker{Blend: 1}, "has 7 items"},
		"other kinds": {lifelong.Config{Items: items, Kinds: 3}, registry.Reranker{Blend: 1, Kinds: []string{"", "view"}}, "learned 3 kinds"},
	} {
		m, err := lifelong.New(c.config, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		version := republish(t, reg, m, &c.set)
		if _, err := train.Open(reg, version); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := train.Promote(reg, version); !errors.Is(err, train.ErrRefused) {
			t.Errorf("%s: promoted: %v", name, err)
		}
	}
}

// republish publishes the current version with a second stage.
func republish(t *testing.T, reg *registry.Registry, m *lifelong.Model, set *registry.Reranker) string {
	t.Helper()
	v := must(reg.Load(must(reg.Resolve("current"))))
	d := must(reg.Begin())
	write := func(name string, from func(io.Writer) error) {
		w, err := d.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(from(w), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for name := range v.Manifest.Files {
		write(name, func(w io.Writer) error {
			f, err := v.Open(name)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, f)
			return errors.Join(err, f.Close())
		})
	}
	write(registry.RerankerFile, m.Save)
	manifest := v.Manifest
	manifest.Files, manifest.Reranker = nil, set
	return must(d.Publish(manifest))
}

// TestTwoStagesReadKinds: the second stage is judged with the kinds of behaviour
// that it learned and is served with.
func TestTwoStagesReadKinds(t *testing.T) {
	data, _ := features.LifelongWorld(1, features.LifelongOptions{Users: 20, History: 200, Items: 400})
	split := features.LeaveOneOut(data)
	first, err := baseline.Fit(baseline.Popularity, split, baseline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := features.KindCodes(data).Names
	second, err := lifelong.New(lifelong.Config{Items: split.Items, Kinds: len(names), InitStd: 1}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	two := &train.TwoStages{First: first, Second: second, Candidates: split.Items, Blend: 5, Kinds: names}
	c := split.Test[0]
	if len(c.Kinds) != len(c.Input) {
		t.Fatalf("the case has %d kinds for %d events", len(c.Kinds), len(c.Input))
	}
	scores := func(kinds []string) []float32 {
		dst := make([]float32, split.Items)
		two.NewRanker().Score(dst, []features.Query{{History: c.Input, Times: c.Times, Kinds: kinds, At: c.At}})
		return dst
	}
	asIs, none := scores(c.Kinds), scores(nil)
	if slices.Equal(asIs, none) {
		t.Error("kinds make no difference")
	}
	views := make([]string, len(c.Kinds))
	spelt := slices.Clone(views)
	for i := range spelt {
		spelt[i] = "view"
	}
	if !slices.Equal(scores(views), scores(spelt)) || !slices.Equal(none, scores(spelt)) {
		t.Error("no kind is not the default kind, which the service makes of it")
	}
}

// closeScores is a first stage whose scores lie closer together than a shift by
// a thousand leaves them.
type closeScores struct{ train.Model }

func (c closeScores) NewRanker() features.Ranker { return closeRanker{c.Model.NewRanker()} }

type closeRanker struct{ features.Ranker }

func (closeRanker) Score(dst []float32, queries []features.Query) {
	n := len(dst) / len(queries)
	for i := range dst {
		dst[i] = 1e-6 * float32(i%n)
	}
}

// TestTwoStagesKeepCloseScores: the rest of the catalogue keeps the order of the
// first stage, however close its scores are.
func TestTwoStagesKeepCloseScores(t *testing.T) {
	data, _ := features.LifelongWorld(1, features.LifelongOptions{Users: 20, History: 200, Items: 400})
	split := features.LeaveOneOut(data)
	first := must(baseline.Fit(baseline.Popularity, split, baseline.Options{}))
	second := must(lifelong.New(lifelong.Config{Items: split.Items, InitStd: 1}, nil, 1))
	two := &train.TwoStages{First: closeScores{first}, Second: second, Candidates: 50, Blend: 5}
	dst := make([]float32, split.Items)
	two.NewRanker().Score(dst, []features.Query{{K: 60}})
	for i := 1; i < split.Items-50; i++ {
		if !(dst[i] > dst[i-1]) || dst[i] >= 1 {
			t.Fatalf("item %d has %v after %v", i, dst[i], dst[i-1])
		}
	}
	for i := split.Items - 50; i < split.Items; i++ {
		if dst[i] < 1 {
			t.Fatalf("candidate %d has %v", i, dst[i])
		}
	}
}

// must gives what cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestTwoStagesAskAgain: where answers are items that the history holds, a second
// stage without a weight changes no figure.
func TestTwoStagesAskAgain(t *testing.T) {
	d := &features.Dataset{Vocab: features.NewVocab(), Offsets: []int{0}}
	for i := range 60 {
		d.Vocab.Add(fmt.Sprint("i", i))
	}
	for u := range 50 {
		d.Users = append(d.Users, fmt.Sprint("u", u))
		for e := range 30 {
			d.Items = append(d.Items, int32((u*u+e%(6+u%5)*(1+e%3))%60)) // few items, again and again
		}
		d.Offsets = append(d.Offsets, len(d.Items))
	}
	split := features.LeaveOneOut(d)
	again := 0
	for _, c := range split.Test {
		if slices.Contains(c.Input, c.Target) {
			again++
		}
	}
	if again < 20 {
		t.Fatalf("%d of %d answers were there before", again, len(split.Test))
	}
	first := must(baseline.Fit(baseline.Popularity, split, baseline.Options{}))
	second := must(lifelong.New(lifelong.Config{Items: split.Items, InitStd: 1}, nil, 1))
	alone := must(train.JudgeSplit(t.Context(), "first", first, split, train.JudgeOptions{}))
	both := must(train.JudgeSplit(t.Context(), "both", &train.TwoStages{First: first, Second: second, Candidates: 20}, split, train.JudgeOptions{}))
	if alone.NDCG10() != both.NDCG10() || alone.MRR.Mean != both.MRR.Mean {
		t.Errorf("NDCG@10 %v and MRR %v alone, %v and %v with a second stage of no weight", alone.NDCG10(), alone.MRR.Mean, both.NDCG10(), both.MRR.Mean)
	}
}

// TestMomentIsThatOfTheService: learning, judging and serving agree on when a
// question is asked, or a table of time gaps would be learned for another one.
func TestMomentIsThatOfTheService(t *testing.T) {
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 3, History: 200, Items: 400})
	b := train.NewBehaviours(data, truth.Items)
	if e := b.Example(features.Slate{User: 1, End: 50, Candidates: []int32{1, 2}}, 20); e.At != e.History.Times[19] {
		t.Errorf("an example is asked at %d, its newest event is of %d", e.At, e.History.Times[19])
	}
	if e := b.Example(features.Slate{User: 1, Candidates: []int32{1}}, 20); e.At != 0 || e.History.Len() != 0 {
		t.Errorf("without events: %+v", e)
	}
	split := features.LeaveOneOut(data)
	first := must(baseline.Fit(baseline.Popularity, split, baseline.Options{}))
	second := must(lifelong.New(lifelong.Config{Items: split.Items, Gaps: true, InitStd: 1}, nil, 1))
	r := (&train.TwoStages{First: first, Second: second, Candidates: 50, Blend: 5}).NewRanker()
	c := split.Test[0]
	var scores [2][]float32
	for i, at := range []int64{c.At, c.Times[len(c.Times)-1]} {
		scores[i] = make([]float32, split.Items)
		r.Score(scores[i], []features.Query{{History: c.Input, Times: c.Times, At: at}})
	}
	if !slices.Equal(scores[0], scores[1]) {
		t.Error("the judge asks at another moment than the service")
	}
}

// TestSecondStageLeavesOutWhatIsLearned: a first stage that was cut by time is not
// judged on what it has learned from.
func TestSecondStageLeavesOutWhatIsLearned(t *testing.T) {
	folder, reg, filter := smallWorld(t)
	filter.Split, filter.TestShare = features.SplitTemporal, 0.1
	night := train.NightOptions{Data: folder, Registry: reg, Alone: true, Promote: true, Say: t.Logf}
	if _, err := train.Night(t.Context(), train.Plan{Baseline: baseline.Popularity, Data: filter}, night); err != nil {
		t.Fatal(err)
	}
	var said heard
	plan := smallPlan()
	plan.Epochs, plan.Slates.Count = 1, 1
	s, err := train.SecondStage(t.Context(), plan, train.SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "latest", Hard: -1, Say: said.say})
	if err != nil {
		t.Fatal(err)
	}
	if !said.has("which the first has not learned from") || said.has("trained for other test events") || s.Gate == nil {
		t.Errorf("said %q", said.lines)
	}
}
