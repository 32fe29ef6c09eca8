package features

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
)

// areaUnder is the share of pairs of a positive and a negative of all slates
// that score puts in order, ties counting half.
func areaUnder(slates []Slate, score func(s Slate, item int32) float64) float64 {
	type scored struct {
		at       float64
		positive bool
	}
	var all []scored
	for _, s := range slates {
		for i, item := range s.Candidates {
			all = append(all, scored{score(s, item), i == 0})
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(a.at, b.at) })
	below, inOrder, positives := 0.0, 0.0, 0.0
	for i := 0; i < len(all); {
		p, n, from := 0.0, 0.0, all[i].at
		for ; i < len(all) && all[i].at == from; i++ {
			if all[i].positive {
				p++
			} else {
				n++
			}
		}
		inOrder += p * (below + n/2)
		below += n
		positives += p
	}
	return inOrder / (positives * below)
}

func TestLifelongWorldIsAFunctionOfItsSeed(t *testing.T) {
	opt := LifelongOptions{Users: 20, History: 300}
	a, ta := LifelongWorld(1, opt)
	b, _ := LifelongWorld(1, opt)
	if !slices.Equal(a.Items, b.Items) || !slices.Equal(a.Times, b.Times) || !slices.Equal(a.Kinds, b.Kinds) {
		t.Error("the same seed gives two worlds")
	}
	if c, _ := LifelongWorld(2, opt); slices.Equal(a.Items, c.Items) {
		t.Error("two seeds give the same world")
	}
	opt.Bare = true
	if c, _ := LifelongWorld(1, opt); !slices.Equal(a.Items, c.Items) || c.Times != nil || c.Kinds != nil {
		t.Error("a bare world must be the same without times and kinds")
	}
	opt.Bare, opt.First, opt.Users = false, 10, 10
	if c, _ := LifelongWorld(1, opt); !slices.Equal(a.Items[len(a.Items)/2:], c.Items) || a.Users[10] != c.Users[0] {
		t.Error("a user's events must depend on the seed and the user's number alone")
	}
	_, tb := LifelongWorld(1, LifelongOptions{Users: 3, History: 5000})
	for i := range ta.Items {
		if ta.Items[i].ID != tb.Items[i].ID || ta.Items[i].Categories[0] != tb.Items[i].Categories[0] || ta.Interest(int32(i)) != tb.Interest(int32(i)) {
			t.Fatalf("item %d is another in a world of longer histories", i)
		}
	}
}

// slates cuts a world's slates by default and gives all of them.
func slates(t *testing.T, d *Dataset) []Slate {
	t.Helper()
	s, err := CutSlates(d, SlateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(s.Train, s.Valid, s.Test)
}

// What the options promise of every event asked about, at all lengths.
func TestLifelongWorldKeepsItsPromises(t *testing.T) {
	for history, users := range map[int]int{200: 200, 1000: 200, 1500: 100, 20_000: 4} {
		t.Run(fmt.Sprint(history), func(t *testing.T) {
			opt := LifelongOptions{Users: users, History: history}
			d, truth := LifelongWorld(1, opt)
			if err := opt.Validate(); err != nil {
				t.Fatal(err)
			}
			asked := slates(t, d)
			if len(asked) != lifelongAsked*users || d.Len() != users*(history+lifelongSpan) {
				t.Fatalf("%d slates and %d events of %d users", len(asked), d.Len(), users)
			}
			why := map[Why]int{}
			for _, s := range asked {
				why[truth.Why(int(s.User), s.Candidates[0])]++
				checkAsked(t, d, truth, opt, s)
			}
			near(t, "chance", 0, why[Chance], len(asked), opt.Noise)
			near(t, "far", 0, why[FarPast], len(asked), (1-opt.Noise)*opt.LongRange)
			for u := range d.Users {
				if _, times := d.User(u); !slices.IsSorted(times) || len(slices.Compact(slices.Clone(times))) != len(times) {
					t.Fatalf("times of user %d do not rise", u)
				}
			}
		})
	}
}

func checkAsked(t *testing.T, d *Dataset, truth *LifelongTruth, opt LifelongOptions, s Slate) {
	t.Helper()
	items, _ := d.User(int(s.User))
	item := s.Candidates[0]
	if int(s.End) < opt.History || slices.Contains(items[:s.End], item) {
		t.Fatalf("slate %+v: too early, or the item is in the history", s)
	}
	for _, n := range s.Candidates[1:] {
		if truth.Interest(n) < 0 {
			t.Fatalf("slate %+v: filler %d is a negative", s, n)
		}
	}
	relevant := truth.Relevant(nil, d, s, item)
	kept, limit := 0, opt.History // events before those asked about
	switch truth.Why(int(s.User), item) {
	case Chance:
		return
	case FarPast:
		limit = opt.History - opt.Gap
	}
	for _, i := range relevant {
		if truth.Interest(items[i]) != truth.Interest(item) {
			t.Fatalf("slate %+v: event %d is of another interest", s, i)
		}
		if int(i) < opt.History {
			kept++
		}
		if int(i) >= limit && int(i) < opt.History {
			t.Fatalf("slate %+v: event %d is newer than the gap", s, i)
		}
	}
	if kept < opt.MinRelevant || kept > opt.MaxRelevant || len(relevant) > 100 || !slices.IsSorted(relevant) {
		t.Fatalf("slate %+v: %d relevant events, %d before those asked about", s, len(relevant), kept)
	}
}

// To know the interests is the best answer; popularity is none, the category and
// the recent past are clearly less.
func TestLifelongWorldAsksForInterests(t *testing.T) {
	const history = 3000
	d, truth := LifelongWorld(1, LifelongOptions{Users: 600, History: history, Bare: true})
	asked := slates(t, d)
	counts := Counts([][]int32{d.Items}, d.Vocab.Len())
	category := CategoryCodes(truth.Items, d.Vocab)
	count := func(from func(s Slate) int32, like func(past, item int32) bool) func(Slate, int32) float64 {
		return func(s Slate, item int32) (n float64) {
			items, _ := d.User(int(s.User))
			for _, past := range items[from(s):s.End] {
				if like(past, item) {
					n++
				}
			}
			return n
		}
	}
	all := func(Slate) int32 { return 0 }
	newest := func(s Slate) int32 { return s.End - history/2 }
	sameInterest := func(a, b int32) bool { return truth.Interest(a) == truth.Interest(b) }
	best := areaUnder(asked, func(s Slate, item int32) float64 { return truth.Score(int(s.User), item) })
	got := map[string]float64{
		"ceiling":    ceiling(truth, asked),
		"interest":   areaUnder(asked, count(all, sameInterest)),
		"popularity": areaUnder(asked, func(_ Slate, item int32) float64 { return float64(counts[item]) }),
		"category":   areaUnder(asked, count(all, func(a, b int32) bool { return category.Of[a] == category.Of[b] })),
		"newer half": areaUnder(asked, count(newest, sameInterest)),
	}
	t.Logf("AUC: best %.4f, %v", best, got)
	for name, bounds := range map[string][2]float64{
		"ceiling": {best - 0.01, best}, "interest": {best - 0.01, best},
		"popularity": {0.46, 0.54}, "category": {0.5, best - 0.15}, "newer half": {0.6, best - 0.15},
	} {
		if got[name] < bounds[0] || got[name] > bounds[1] {
			t.Errorf("AUC by %s %.4f, want %.4f to %.4f", name, got[name], bounds[0], bounds[1])
		}
	}
}

// ceiling is the AUC that follows from how often positives and negatives are of
// a held interest, if that decided everything; what it leaves out is that a near
// interest is likelier than a far one.
func ceiling(truth *LifelongTruth, asked []Slate) float64 {
	var held, positives, negatives [2]float64
	for _, s := range asked {
		for i, item := range s.Candidates {
			side := min(i, 1)
			if truth.Why(int(s.User), item) != Chance {
				held[side]++
			}
		}
		positives[0]++
		negatives[0] += float64(len(s.Candidates) - 1)
	}
	p, n := held[0]/positives[0], held[1]/negatives[0]
	return p*(1-n) + (p*n+(1-p)*(1-n))/2
}

func TestLifelongCatalogue(t *testing.T) {
	_, truth := LifelongWorld(3, LifelongOptions{Users: 1})
	categories := map[string]map[int32]int{}
	for i, item := range truth.Items {
		c := item.Categories[0]
		if categories[c] == nil {
			categories[c] = map[int32]int{}
		}
		categories[c][truth.Interest(int32(i))]++
	}
	if len(categories) != 10 {
		t.Fatalf("%d categories", len(categories))
	}
	for c, interests := range categories {
		if len(interests) != 21 || interests[-1] != 5 {
			t.Errorf("%s has %d interests and %d fillers, want 20 (and none) and 5", c, len(interests)-1, interests[-1])
		}
		for g, n := range interests {
			if g >= 0 && n != 20 {
				t.Errorf("interest %d has %d items in %s: it must lie in one category", g, n, c)
			}
		}
	}
}

func TestLifelongWorldRefusesOptions(t *testing.T) {
	for _, opt := range []LifelongOptions{
		{Users: -1}, {History: 199}, {History: -1}, {Items: -1}, {Items: 1}, {Categories: 1}, {Categories: 101}, {Interests: 20},
		{Fillers: 9}, {Fillers: 251}, {Near: -1}, {Far: -1}, {MinRelevant: 81, MaxRelevant: 80}, {MinRelevant: -1},
		{MinRelevant: 200}, {Familiar: 19}, {Near: 1}, {Gap: 999}, {Gap: 499}, {Gap: -1}, {LongRange: 1}, {Noise: math.NaN()}, {LongRange: math.NaN()}, {From: -1},
	} {
		if err := opt.Validate(); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
}
