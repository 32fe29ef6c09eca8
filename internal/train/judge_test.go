package train

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/baseline"
	"seqrec/internal/eval"
	"seqrec/internal/features"
)

func TestTranslate(t *testing.T) {
	p := &Published{Vocab: features.NewVocab("c", "b", "a")}
	from := features.NewVocab("a", "b", "x", "c")
	got := p.translate([]features.Case{
		{User: 4, Input: []int32{0, 2, 3}, Times: []int64{10, 20, 30}, Target: 1, At: 40},
		{User: 5, Input: []int32{2}, Target: 2},
		{User: 6, Target: 0},
	}, from)
	want := []features.Case{
		{User: 4, Input: []int32{2, 0}, Times: []int64{10, 30}, Target: 1, At: 40}, // x is left out, with its time
		{User: 5, Target: -1}, // an unknown target stays, as a miss
		{User: 6, Target: 2},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A published model judged on the data it was trained on gives what the
// training's own judgement gives, also when the data numbers items otherwise.
func TestJudgingAgainIsTheSame(t *testing.T) {
	data, _ := features.World(3, features.WorldOptions{Users: 80, Items: 40, MinLength: 5, MaxLength: 12})
	split := features.LeaveOneOut(data)
	m, err := baseline.Fit(baseline.Transition, split, baseline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := JudgeSplit(t.Context(), "m", m, split, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Published{Version: "01JC3V9Z6J2T5W8Q4X7N1M0KRE", Model: m, Vocab: data.Vocab, Counts: features.Counts(split.Train, split.Items)}
	got, err := p.Judge(t.Context(), data, split, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Name, got.Seconds, want.Seconds = want.Name, 0, 0
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	renumbered, other := renumber(data)
	again, err := p.Judge(t.Context(), renumbered, other, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want.Ranks, again.Ranks); d != "" {
		t.Errorf("another numbering of the data's items: %s", d)
	}
	if again.Protocol.TargetHash != want.Protocol.TargetHash {
		t.Error("the hash of the targets depends on the numbering")
	}
}

// Versions of two nights know other items; on one split they are ranked in one
// catalogue and can be compared.
func TestVersionsOfTwoCataloguesCompare(t *testing.T) {
	data, _ := features.World(3, features.WorldOptions{Users: 80, Items: 40, MinLength: 5, MaxLength: 12})
	split := features.LeaveOneOut(data)
	counts := features.Counts(split.Train, split.Items)
	version := func(vocab *features.Vocab, items int) *Published {
		s := *split
		s.Items = items
		s.Train = nil
		for _, history := range split.Train {
			s.Train = append(s.Train, slices.DeleteFunc(slices.Clone(history), func(i int32) bool { return int(i) >= items }))
		}
		m, err := baseline.Fit(baseline.Popularity, &s, baseline.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := make([]int64, items)
		copy(n, counts)
		return &Published{Version: "01JC3V9Z6J2T5W8Q4X7N1M0KRE", Model: m, Vocab: vocab, Counts: n}
	}
	ids := data.Vocab.IDs()
	same, err := version(data.Vocab, len(ids)).Judge(t.Context(), data, split, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	less, err := version(features.NewVocab(ids[:30]...), 30).Judge(t.Context(), data, split, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	more, err := version(features.NewVocab(append(slices.Clone(ids), "gone", "forgotten")...), len(ids)+2).Judge(t.Context(), data, split, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*eval.Result{"fewer items": less, "more items": more} {
		if r.Protocol.Items != len(ids) {
			t.Errorf("%s: ranked among %d, want the data's %d", name, r.Protocol.Items, len(ids))
		}
		if _, err := eval.Compare(same, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := cmp.Diff(same.Ranks, more.Ranks); d != "" {
		t.Errorf("items that nobody asks for change ranks: %s", d)
	}
	if less.Protocol.Unknown == 0 {
		t.Error("no target is unknown to the smaller model")
	}
}

func TestFilterInWords(t *testing.T) {
	for want, d := range map[string]DataPlan{
		"all events":                           {},
		"items >= 5 events":                    {MinItemCount: 5},
		"ratings >= 3.5; kinds buy, view":      {MinRating: 3.5, Kinds: []string{"buy", "view"}},
		"1 named items left out; 5-core":       {DropItems: []string{"x"}, KCore: 5},
		"items >= 2 events; users >= 3 events": {MinItemCount: 2, MinUserCount: 3},
	} {
		if got := d.Filter(); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}

// renumber gives the same events with the items numbered backwards.
func renumber(d *features.Dataset) (*features.Dataset, *features.Split) {
	out := *d
	out.Vocab = features.NewVocab()
	n := int32(d.Vocab.Len())
	for i := n - 1; i >= 0; i-- {
		out.Vocab.Add(d.Vocab.ID(i))
	}
	out.Items = make([]int32, len(d.Items))
	for i, item := range d.Items {
		out.Items[i] = n - 1 - item
	}
	return &out, features.LeaveOneOut(&out)
}

func TestPlanFaults(t *testing.T) {
	for name, p := range map[string]Plan{
		"baseline":   {Baseline: "magic"},
		"split":      {Data: DataPlan{Split: "sideways"}},
		"test share": {Data: DataPlan{Split: features.SplitTemporal, TestShare: 0.7}},
		"epochs":     {Epochs: -1},
		"scheme":     {Scheme: "zigzag"},
	} {
		if p.WithDefaults().Validate() == nil {
			t.Errorf("%s: no fault found", name)
		}
	}
	if err := (Plan{}).WithDefaults().Validate(); err != nil {
		t.Errorf("the defaults are faulty: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	split := cycle(20, 10)
	id := func(change func(*Plan)) string {
		p := Plan{Seed: 1}.WithDefaults()
		change(&p)
		s, err := p.identity(split)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := id(func(*Plan) {})
	for name, change := range map[string]func(*Plan){
		"seed": func(p *Plan) { p.Seed = 2 }, "width": func(p *Plan) { p.Model.Width = 8 }, "rate": func(p *Plan) { p.Schedule.Rate = 1 },
		"epochs of a schedule": func(p *Plan) { p.Schedule.Kind, p.Epochs = Cosine, 7 },
	} {
		if id(change) == same {
			t.Errorf("another %s has the same identity", name)
		}
	}
	for name, change := range map[string]func(*Plan){
		"epochs at a constant rate": func(p *Plan) { p.Epochs = 7 }, "patience": func(p *Plan) { p.Patience = 3 }, "recipe": func(p *Plan) { p.Recipe = "x" },
	} {
		if id(change) != same {
			t.Errorf("another %s makes another run", name)
		}
	}
}
