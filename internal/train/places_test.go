package train

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"seqrec/internal/baseline"
	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
)

// rareWorld is a world of long histories in which every third event or so, the
// last ones too, is of an item that nobody else takes.
func rareWorld() (*features.Dataset, []features.Item) {
	d, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 40, History: 200, Items: 300})
	out := &features.Dataset{Users: d.Users, Vocab: features.NewVocab(d.Vocab.IDs()...), Offsets: []int{0}}
	for u := range d.Users {
		add := func(item int32, from int) {
			out.Items, out.Times, out.Kinds = append(out.Items, item), append(out.Times, d.Times[from]), append(out.Kinds, d.Kinds[from])
		}
		for i := d.Offsets[u]; i < d.Offsets[u+1]; i++ {
			add(d.Items[i], i)
			if (i*i+u)%3 == 0 {
				add(out.Vocab.Add(fmt.Sprint("rare", i)), i)
			}
		}
		out.Offsets = append(out.Offsets, len(out.Items))
	}
	return out, truth.Items
}

// rareStage is a second stage of rareWorld that has been read, behind popularity
// that was trained without the rare items.
func rareStage(t *testing.T) (s *second, all *features.Dataset) {
	t.Helper()
	all, items := rareWorld()
	folder, filter := t.TempDir(), DataPlan{Split: features.SplitLeaveOneOut, MinItemCount: 2}
	if err := features.WriteFolder(folder, all, items); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Night(t.Context(), Plan{Baseline: baseline.Popularity, Data: filter}, NightOptions{Data: folder, Registry: reg, Alone: true, Say: t.Logf}); err != nil {
		t.Fatal(err)
	}
	plan := LifelongPlan{Slates: features.SlateOptions{MinEvents: 100, Count: 4}}
	s = &second{plan: plan.WithDefaults(), opt: SecondOptions{Data: folder, Filter: filter, Registry: reg, First: "current", Candidates: 50, Hard: 3, Say: t.Logf}, sum: &SecondSummary{}}
	if err := s.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.first.Hash != s.cases.TargetHash {
		t.Error("the second stage asks for other events than the first was judged on")
	}
	return s, all
}

// served is what the service makes of the first n events of a user: all of them in
// their places, in the numbers of the model (recommend, job.look).
func served(all *features.Dataset, user, n int, v *features.Vocab) (h lifelong.History) {
	for i := all.Offsets[user]; i < all.Offsets[user]+n; i++ {
		item := int32(-1)
		if number, ok := v.Number(all.Vocab.ID(all.Items[i])); ok {
			item = number
		}
		h.Items, h.Times = append(h.Items, item), append(h.Times, all.Times[i])
	}
	return h
}

// TestTrainingSeesThePlacesOfTheService: events of items that are too rare for the
// vocabulary stand in a slate's history where they stand in that of the service,
// and are neither its positive nor a negative.
func TestTrainingSeesThePlacesOfTheService(t *testing.T) {
	s, all := rareStage(t)
	if err := s.harden(t.Context()); err != nil {
		t.Fatal(err)
	}
	const length = 60
	m := must1(lifelong.New(lifelong.Config{Items: s.first.Vocab.Len(), Length: length, InitStd: 0.3}, nil, 1))
	scorer, unknown := m.NewScorer(), 0
	for _, slates := range [][]features.Slate{s.split.Train, s.split.Valid, s.split.Test} {
		for _, slate := range slates[:min(60, len(slates))] {
			e, n := s.b.Example(slate, length), len(slate.Candidates)
			want := served(all, int(slate.User), int(slate.End), s.first.Vocab)
			from := want.Len() - min(length, want.Len())
			want.Items, want.Times = want.Items[from:], want.Times[from:]
			if !slices.Equal(e.History.Items, want.Items) || !slices.Equal(e.History.Times, want.Times) {
				t.Fatalf("user %d, event %d: training has %v, the service %v", slate.User, slate.End, e.History.Items, want.Items)
			}
			if slices.Contains(want.Items, -1) {
				unknown++
			}
			if slices.Min(slate.Candidates) < 0 {
				t.Fatalf("slate %+v asks for an unknown item", slate)
			}
			state, learned, odds := m.NewState(), make([]float32, n), make([]float32, n)
			state.Append(want)
			scorer.ScoreExamples(learned, []lifelong.Example{e})
			scorer.ScoreState(odds, state, slate.Candidates, e.At)
			for i := range odds {
				if math.Abs(float64(odds[i]-learned[i])) > 1e-3 {
					t.Fatalf("user %d, event %d: log odds %v in training, %v in the service", slate.User, slate.End, learned, odds)
				}
			}
		}
	}
	if unknown == 0 {
		t.Error("no slate has an event of a rare item")
	}
}

// TestJudgesSeeThePlacesOfTheService: what chooses the blend and what judges has
// the same histories, and a version with two stages is judged like that later too.
func TestJudgesSeeThePlacesOfTheService(t *testing.T) {
	s, all := rareStage(t)
	for _, cases := range [][]features.Case{s.cases.Valid, s.cases.Test} {
		for _, c := range cases {
			if want := served(all, c.User, len(c.Input), s.first.Vocab); !slices.Equal(c.Input, want.Items) || !slices.Equal(c.Times, want.Times) {
				t.Fatalf("user %d: judged after %v, served after %v", c.User, c.Input, want.Items)
			}
		}
	}
	s.fit1 = &LifelongFit{Model: must1(lifelong.New(lifelong.Config{Items: s.first.Vocab.Len(), InitStd: 1}, nil, 1))}
	both := s.twoStages(1)
	want := must1(judge(t.Context(), "both", both, s.cases, s.first.Counts, JudgeOptions{}))
	opt := s.opt.Filter.ReadOptions()
	opt.KeepPlaces = true
	data, _, err := features.Read(s.opt.Data, opt)
	if err != nil {
		t.Fatal(err)
	}
	split := features.LeaveOneOut(data.Known())
	dense := must1(judge(t.Context(), "both", both, split, s.first.Counts, JudgeOptions{}))
	split.Test = data.InPlace(split.Test)
	s.first.Second = both
	again := must1(s.first.Judge(t.Context(), data, split, JudgeOptions{}))
	if diff := cmp.Diff(want.Ranks, again.Ranks); diff != "" {
		t.Errorf("judged again: %s", diff)
	}
	if diff := cmp.Diff(want.Lengths, dense.Lengths, cmpopts.IgnoreFields(eval.Slice{}, "HR", "NDCG")); diff != "" {
		t.Errorf("rare items count in the length of a history: %s", diff)
	}
	if slices.Equal(want.Ranks, dense.Ranks) {
		t.Error("places make no difference here, so this tests nothing")
	}
	// The first stage alone reads no places, and must not be given any.
	must1(judge(t.Context(), "first", s.first.Model, s.cases, s.first.Counts, JudgeOptions{}))
}

// TestNightJudgesInPlace: a night judges the current version with places if it
// reads them, and asks for the same events in any case.
func TestNightJudgesInPlace(t *testing.T) {
	s, all := rareStage(t)
	plan := Plan{Data: DataPlan{Split: features.SplitLeaveOneOut, MinItemCount: 2, DropItems: []string{all.Vocab.ID(all.Items[0])}}}
	n := &night{plan: plan, opt: NightOptions{Data: s.opt.Data}}
	var err error
	if n.data, _, err = features.Read(s.opt.Data, plan.Data.ReadOptions()); err != nil {
		t.Fatal(err)
	}
	n.split = features.LeaveOneOut(n.data)
	p := &Published{Model: s.first.Model}
	if got := must1(n.splitFor(t.Context(), p)); got != n.split {
		t.Error("one stage is judged with places")
	}
	p.Second = &TwoStages{Blend: 1}
	got, longer := must1(n.splitFor(t.Context(), p)), 0
	for i, c := range got.Test {
		if diff := cmp.Diff(n.split.Test[i], c.Known()); diff != "" {
			t.Fatal(diff)
		}
		want := served(all, c.User, len(c.Input), n.data.Vocab)
		if !slices.Equal(c.Input, want.Items) {
			t.Fatalf("user %d: judged after %v, served after %v", c.User, c.Input, want.Items)
		}
		longer += len(c.Input) - len(n.split.Test[i].Input)
	}
	if longer == 0 {
		t.Error("no event keeps a place")
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
