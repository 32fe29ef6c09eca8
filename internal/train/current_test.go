package train

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"seqrec/internal/baseline"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
	"seqrec/internal/seqmodel/lifelong"
)

// TestLearnedToOfSecondStage: the newest event that trains or validates counts, the
// test's do not.
func TestLearnedToOfSecondStage(t *testing.T) {
	s, _ := rareStage(t)
	newest, test := int64(0), int64(0)
	for _, slate := range s.split.Valid { // each user's are newer than those that train
		newest = max(newest, s.b.Data.Times[s.b.Data.Offsets[slate.User]+int(slate.End)])
	}
	for _, slate := range s.split.Test {
		test = max(test, s.b.Data.Times[s.b.Data.Offsets[slate.User]+int(slate.End)])
	}
	for _, c := range s.cases.Valid {
		newest = max(newest, c.At)
	}
	if got := s.learnedTo(); got.UnixMilli() != newest || newest >= test || got.Location() != time.UTC {
		t.Errorf("learned to %s, want %s; the test goes to %s", got, time.UnixMilli(newest), time.UnixMilli(test))
	}
	all := *s.b.Data
	s.b.Data, s.split, s.cases = &all, &features.SlateSplit{}, &features.Split{}
	if got := s.learnedTo(); got.UnixMilli() < test {
		t.Errorf("without slates: %s, want the newest event of all", got)
	}
	all.Times = nil
	if got := s.learnedTo(); !got.IsZero() {
		t.Errorf("without times: %s", got)
	}
}

// testsFrom is a night that judges on events from a moment on.
func testsFrom(at time.Time, say func(string, ...any)) *night {
	split := &features.Split{Name: features.SplitTemporal, Test: []features.Case{{At: at.Add(time.Hour).UnixMilli()}, {At: at.UnixMilli()}}}
	return &night{opt: NightOptions{Say: say}, split: split, data: &features.Dataset{Vocab: features.NewVocab("a", "b")}}
}

// TestSecondStageThatKnowsTheTest: a version whose second stage has learned from
// events of the test is said to, if it is asked; its first stage is a start all the same.
func TestSecondStageThatKnowsTheTest(t *testing.T) {
	first := must1(seqmodel.New(seqmodel.Config{Items: 2, Width: 4, Blocks: 1, Length: 4}, 1))
	second := must1(lifelong.New(lifelong.Config{Items: 2}, nil, 1))
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	before, after := at.Add(-time.Hour), at.Add(time.Minute)
	for name, c := range map[string]struct {
		first, second time.Time
		blend         float64
		says          string // "" nothing
		start         bool
	}{
		"neither knows":                  {before, before, 1, "", true},
		"the second knows":               {before, after, 1, "the second stage of the current version has learned from events up to 2026-11-25 00:01:00", true},
		"the second is not asked":        {before, after, 0, "", true},
		"the first knows":                {after, before, 1, "note: the current version has learned from events up to 2026-11-25 00:01:00", false},
		"nobody knows what second knows": {before, time.Time{}, 1, "", true},
	} {
		p := &Published{Version: "v", Model: first, Vocab: features.NewVocab("a", "b"), TrainedTo: c.first, SecondTo: c.second}
		p.Second = &TwoStages{First: first, Second: second, Candidates: 1, Blend: c.blend}
		var said []string
		n := testsFrom(at, func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) })
		n.plan.Model = first.Config()
		n.sayWhatItKnows(p)
		if got := strings.Join(said, "\n"); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: said %q, want %q", name, got, c.says)
		}
		if s, why := n.startFrom(p); (s != nil) != c.start {
			t.Errorf("%s: start %v, %s", name, s, why)
		}
	}
}

// TestOpenSaysWhatSecondStageLearned: a version says so itself, and where it was
// published before that was kept, its data does.
func TestOpenSaysWhatSecondStageLearned(t *testing.T) {
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 40, History: 200, Items: 300})
	folder := t.TempDir()
	if err := features.WriteFolder(folder, data, truth.Items); err != nil {
		t.Fatal(err)
	}
	reg := must1(registry.Open(t.TempDir()))
	filter := DataPlan{Split: features.SplitLeaveOneOut}
	if _, err := Night(t.Context(), Plan{Baseline: baseline.Popularity, Data: filter}, NightOptions{Data: folder, Registry: reg, Alone: true, Say: t.Logf}); err != nil {
		t.Fatal(err)
	}
	plan := LifelongPlan{Model: lifelong.Config{Width: 4, Length: 50, Select: 10}, Slates: features.SlateOptions{MinEvents: 20, Count: 1}, Batch: 256, Epochs: 1}
	s, err := SecondStage(t.Context(), plan, SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Hard: -1, Publish: true, Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	newest := int64(0)
	for _, c := range features.LeaveOneOut(data).Valid {
		newest = max(newest, c.At)
	}
	p := must1(Open(reg, s.Version))
	if p.SecondTo.UnixMilli() != newest {
		t.Errorf("learned to %s, want %s", p.SecondTo, time.UnixMilli(newest))
	}
	if p := must1(Open(reg, s.First)); !p.SecondTo.IsZero() || p.LearnedTo() != p.TrainedTo {
		t.Errorf("a version without a second stage: %s and %s", p.SecondTo, p.LearnedTo())
	}
	v := must1(reg.Load(s.Version))
	r := *v.Manifest.Reranker
	r.LearnedTo = time.Time{}
	v.Manifest.Reranker = &r
	if got := secondTo(&v.Manifest); !got.Equal(v.Manifest.Data.To) || got.IsZero() {
		t.Errorf("published before that was kept: %s, want %s", got, v.Manifest.Data.To)
	}
}

// TestSecondCommand: the command that a night gives works as it stands.
func TestSecondCommand(t *testing.T) {
	reg := must1(registry.Open(t.TempDir()))
	const from = "01JC3V9Z6J2T5W8Q4X7N1M0KRE"
	var said []string
	n := &night{reranks: "dare", opt: NightOptions{Data: "/data/it's here", Registry: reg, Say: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }}}
	n.plan.Data = DataPlan{MinItemCount: 3, MinUserCount: 2, KCore: 4, MinRating: 3.5, Kinds: []string{"view", "add to cart"}, DropItems: []string{"a", "b"}}
	n.sayOfSecond(from)
	want := `trainjob train --recipe dare --first ` + from + ` --data '/data/it'\''s here' --registry ` + reg.Dir() +
		` --min-item-count 3 --min-user-count 2 --k-core 4 --min-rating 3.5 --kinds 'view,add to cart' --drop-items a,b`
	if len(said) != 1 || !strings.HasSuffix(said[0], want) {
		t.Errorf("said %q, want it to end in %s", said, want)
	}
	said, n.opt.Origin = nil, &Origin{} // what was gathered is gone in the end
	n.sayOfSecond(from)
	if len(said) != 1 || !strings.HasSuffix(said[0], "a night with --second dare trains one") {
		t.Errorf("of a night: %q", said)
	}
	said, n.opt.SecondNext = nil, true
	n.sayOfSecond(from)
	if len(said) != 0 {
		t.Errorf("before the second stage is trained: %q", said)
	}
}
