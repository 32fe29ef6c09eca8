package features

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// walks is a data set of users with lengths events; user u's event i is item
// (u + 7*i) % span, in a catalogue of items.
func walks(items, span int, lengths ...int) *Dataset {
	d := &Dataset{Vocab: NewVocab(), Offsets: []int{0}}
	for i := range items {
		d.Vocab.Add(fmt.Sprintf("i%d", i))
	}
	for u, n := range lengths {
		for i := range n {
			d.Items = append(d.Items, int32((u+7*i)%span))
		}
		d.Users = append(d.Users, fmt.Sprintf("u%d", u))
		d.Offsets = append(d.Offsets, len(d.Items))
	}
	return d
}

// ends lists "user:end" of slates.
func ends(slates []Slate) []string {
	var out []string
	for _, s := range slates {
		out = append(out, fmt.Sprintf("%d:%d", s.User, s.End))
	}
	return out
}

func TestCutSlatesPlaces(t *testing.T) {
	paper := []string{}
	for back := 3; back <= 93; back += 5 {
		paper = append(paper, fmt.Sprintf("1:%d", 210-back))
	}
	tests := []struct {
		name               string
		lengths            []int
		opt                SlateOptions
		train, valid, test []string
		short              int
	}{
		{"the paper's", []int{209, 210}, SlateOptions{}, paper, []string{"1:208"}, []string{"1:209"}, 1},
		{"other steps", []int{20, 3}, SlateOptions{MinEvents: 4, First: 4, Step: 3, Count: 2},
			[]string{"0:16", "0:13"}, []string{"0:18"}, []string{"0:19"}, 1},
		{"short users give what they have", []int{1, 2, 3, 4, 9}, SlateOptions{MinEvents: 1},
			[]string{"3:1", "4:6", "4:1"}, []string{"2:1", "3:2", "4:7"}, []string{"1:1", "2:2", "3:3", "4:8"}, 0},
		{"history of a length", []int{20}, SlateOptions{MinEvents: 1, MinHistory: 12},
			[]string{"0:17", "0:12"}, []string{"0:18"}, []string{"0:19"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := walks(50, 40, tt.lengths...)
			s, err := CutSlates(d, tt.opt)
			if err != nil {
				t.Fatal(err)
			}
			got := [][]string{ends(s.Train), ends(s.Valid), ends(s.Test)}
			if diff := cmp.Diff([][]string{tt.train, tt.valid, tt.test}, got); diff != "" {
				t.Error(diff)
			}
			if s.Short != tt.short || s.Full != 0 {
				t.Errorf("%d users short and %d full, want %d and none", s.Short, s.Full, tt.short)
			}
			for _, list := range [][]Slate{s.Train, s.Valid, s.Test} {
				checkSlates(t, d, list, 2)
			}
		})
	}
}

// checkSlates holds every slate to its promises.
func checkSlates(t *testing.T, d *Dataset, list []Slate, negatives int) {
	t.Helper()
	for _, s := range list {
		items, _ := d.User(int(s.User))
		if len(s.Candidates) != 1+negatives || s.Candidates[0] != items[s.End] {
			t.Fatalf("slate %+v: the item there is %d, want it and %d negatives", s, items[s.End], negatives)
		}
		for _, n := range s.Candidates[1:] {
			if slices.Contains(items, n) {
				t.Fatalf("slate %+v: negative %d is an item of the user", s, n)
			}
		}
	}
}

func TestCutSlatesIsAFunctionOfItsSeed(t *testing.T) {
	d := walks(300, 280, 100, 120, 90)
	opt := SlateOptions{MinEvents: 10, Negatives: 5, Seed: 1}
	a, err := CutSlates(d, opt)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := CutSlates(d, opt)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error("the same seed gives two cuts: " + diff)
	}
	opt.Seed = 2
	if c, _ := CutSlates(d, opt); cmp.Equal(a, c) || !cmp.Equal(ends(a.Train), ends(c.Train)) {
		t.Error("another seed must change the negatives and nothing else")
	}
	// Rows stand in one block; to append to one must not write into the next.
	next := slices.Clone(a.Train[1].Candidates)
	_ = append(a.Train[0].Candidates, -1)
	if !slices.Equal(next, a.Train[1].Candidates) {
		t.Error("two slates share room")
	}
}

// Negatives follow the counts of the events that are not test or validation positives.
func TestSlateNegativesFollowCounts(t *testing.T) {
	// One user asks and owns item 0; items 1 to 3 are met by users too short to ask.
	d := &Dataset{Vocab: NewVocab("a", "b", "c", "d", "e"), Offsets: []int{0}, Users: []string{"u", "v"}}
	d.Items = append(d.Items, slices.Repeat([]int32{0}, 2000)...)
	d.Offsets = append(d.Offsets, len(d.Items))
	d.Items = append(d.Items, slices.Repeat([]int32{1}, 10)...)
	d.Items = append(d.Items, slices.Repeat([]int32{2}, 40)...)
	d.Items = append(d.Items, 3)
	d.Offsets = append(d.Offsets, len(d.Items))
	for _, tt := range []struct {
		power float64
		want  []float64 // of items 1 to 4, up to a factor
	}{{0, []float64{11, 41, 2, 1}}, {0.5, []float64{math.Sqrt(11), math.Sqrt(41), math.Sqrt2, 1}}, {-1, []float64{1, 1, 1, 1}}} {
		s, err := CutSlates(d, SlateOptions{MinEvents: 60, Negatives: 20, Count: 390, Popularity: tt.power})
		if err != nil {
			t.Fatal(err)
		}
		got, draws, total := make([]int, 5), 0, 0.0
		for _, slate := range s.Train {
			for _, n := range slate.Candidates[1:] {
				got[n]++
				draws++
			}
		}
		for _, w := range tt.want {
			total += w
		}
		for i, w := range tt.want {
			near(t, fmt.Sprintf("power %g", tt.power), i+1, got[i+1], draws, w/total)
		}
	}
}

// Test and validation positives do not count.
func TestSlateCountsLeaveOutTargets(t *testing.T) {
	d := &Dataset{
		Vocab: NewVocab("a", "b", "c", "d"), Users: []string{"u", "v"},
		Items: []int32{0, 0, 1, 2, 3, 3}, Offsets: []int{0, 4, 6},
	}
	got := slateCounts(d, SlateOptions{MinEvents: 3})
	if diff := cmp.Diff([]int64{2, 0, 0, 2}, got); diff != "" {
		t.Error(diff)
	}
}

// Where nearly all weight lies on a user's own items, negatives still come, and
// a user who took everything has none and no slates.
func TestSlateNegativesOfGreedyUsers(t *testing.T) {
	d := &Dataset{Vocab: NewVocab("a", "b", "c", "d"), Users: []string{"greedy", "full"}, Offsets: []int{0}}
	d.Items = append(d.Items, slices.Repeat([]int32{1}, 20_000)...)
	d.Offsets = append(d.Offsets, len(d.Items))
	d.Items = append(d.Items, 0, 1, 2, 3)
	d.Offsets = append(d.Offsets, len(d.Items))
	s, err := CutSlates(d, SlateOptions{MinEvents: 4, Popularity: 4, Negatives: 30})
	if err != nil {
		t.Fatal(err)
	}
	if s.Full != 1 || len(s.Test) != 1 || s.Test[0].User != 0 {
		t.Errorf("%d full users, test slates %v", s.Full, ends(s.Test))
	}
	checkSlates(t, d, s.Train, 30)
	seen := map[int32]bool{}
	for _, slate := range s.Train {
		for _, n := range slate.Candidates {
			seen[n] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("only %d of 3 negatives were drawn", len(seen)-1)
	}
}

func TestCutSlatesRefuses(t *testing.T) {
	d := walks(50, 40, 220)
	for _, tt := range []struct {
		name string
		d    *Dataset
		opt  SlateOptions
		is   error // nil: any
	}{
		{"a positive that is the test's", d, SlateOptions{First: 2}, nil},
		{"negative step", d, SlateOptions{Step: -1}, nil},
		{"negative count", d, SlateOptions{Count: -1}, nil},
		{"negative negatives", d, SlateOptions{Negatives: -1}, nil},
		{"negative history", d, SlateOptions{MinHistory: -1}, nil},
		{"negative events", d, SlateOptions{MinEvents: -1}, nil},
		{"power", d, SlateOptions{Popularity: 5}, nil},
		{"power not a number", d, SlateOptions{Popularity: math.NaN()}, nil},
		{"short users only", d, SlateOptions{MinEvents: 221}, ErrNoEvents},
		{"no history", d, SlateOptions{MinHistory: 220}, ErrNoEvents},
		{"everything taken", walks(40, 40, 220), SlateOptions{}, ErrNoEvents},
		{"no events", &Dataset{Offsets: []int{0}}, SlateOptions{}, ErrNoEvents},
	} {
		if _, err := CutSlates(tt.d, tt.opt); err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.is)
		}
	}
}

func TestCategoryCodes(t *testing.T) {
	v := NewVocab("w", "x", "y", "z")
	items := []Item{
		{ID: "z", Categories: []string{"Drama"}},
		{ID: "other", Categories: []string{"Nowhere"}},
		{ID: "w", Categories: []string{"Drama", "War"}},
		{ID: "y", Categories: []string{"War", "Drama"}},
	}
	want := Codes{Of: []int32{1, 0, 2, 1}, Names: []string{"", "Drama", "War"}}
	if diff := cmp.Diff(want, CategoryCodes(items, v)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Codes{Of: []int32{0, 0, 0, 0}, Names: []string{""}}, CategoryCodes(nil, v)); diff != "" {
		t.Error(diff)
	}
}

func TestKindCodes(t *testing.T) {
	got := KindCodes(&Dataset{Kinds: []string{"view", "", "buy", "view"}})
	if diff := cmp.Diff(Codes{Of: []int32{1, 1, 2, 1}, Names: []string{"", "view", "buy"}}, got); diff != "" {
		t.Error(diff)
	}
	if got := KindCodes(&Dataset{}); got.Of != nil || len(got.Names) != 1 {
		t.Errorf("codes of no kinds: %+v", got)
	}
}
