package features

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/kernel"
)

func TestWorldIsAFunctionOfItsSeed(t *testing.T) {
	opt := WorldOptions{Users: 50, Items: 60, MaxLength: 20}
	a, ta := World(1, opt)
	b, _ := World(1, opt)
	if !cmp.Equal(a.Items, b.Items) || !cmp.Equal(a.Times, b.Times) {
		t.Error("the same seed gives two worlds")
	}
	if c, _ := World(2, opt); cmp.Equal(a.Items, c.Items) {
		t.Error("two seeds give the same world")
	}
	if a.Vocab.Len() != 60 || len(ta.Items) != 60 || len(ta.Themes) != 50 {
		t.Errorf("%d ids, %d items, %d themes", a.Vocab.Len(), len(ta.Items), len(ta.Themes))
	}
	for u := range a.Users {
		items, times := a.User(u)
		if len(items) < 5 || len(items) > 20 {
			t.Fatalf("history of %d events", len(items))
		}
		for i := 1; i < len(times); i++ {
			if times[i] <= times[i-1] {
				t.Fatalf("user %d: times %v do not rise", u, times)
			}
		}
	}
}

func TestTruthProbabilitiesSumToOne(t *testing.T) {
	for _, opt := range []WorldOptions{
		{Users: 10, Items: 60, MaxLength: 20},
		{Users: 10, Items: 60, MaxLength: 20, Repeat: 0.5},
		{Users: 10, Items: 60, MaxLength: 20, Repeat: -1},
		{Users: 10, Items: 9, Themes: 1, MinLength: 2, MaxLength: 4},
	} {
		d, truth := World(3, opt)
		p := make([]float64, opt.Items)
		for u := range d.Users {
			items, _ := d.User(u)
			for n := range items {
				truth.Probabilities(p, items[:n])
				sum := 0.0
				for _, x := range p {
					sum += x
				}
				if math.Abs(sum-1) > 1e-9 {
					t.Fatalf("%+v: sum %v after %d events", opt, sum, n)
				}
			}
		}
	}
}

// What users do next must come out as often as Truth says it does: over many
// events the mean probability given to what happened equals the expectation.
func TestTruthIsCalibrated(t *testing.T) {
	d, truth := World(4, WorldOptions{Users: 400, Items: 80, Themes: 4, MaxLength: 20, Repeat: 0.2})
	p := make([]float64, 80)
	var happened, expected, variance float64
	for u := range d.Users {
		items, _ := d.User(u)
		for n, item := range items {
			truth.Probabilities(p, items[:n])
			mean, square := 0.0, 0.0
			for _, x := range p {
				mean += x * x
				square += x * x * x
			}
			happened += p[item]
			expected += mean
			variance += square - mean*mean
		}
	}
	if z := (happened - expected) / math.Sqrt(variance); math.Abs(z) > 4 {
		t.Errorf("events had probability %.1f in sum, expected %.1f: %.1f standard deviations", happened, expected, z)
	}
}

// hitRate is HR@10 with the history filtered.
func hitRate(r Ranker, items int, cases []Case) float64 {
	blocked := make([]uint64, (items+63)/64)
	dst := make([][]kernel.Scored, 1)
	hits := 0
	for _, c := range cases {
		clear(blocked)
		for _, i := range c.Input {
			blocked[i/64] |= 1 << (i % 64)
		}
		blocked[c.Target/64] &^= 1 << (c.Target % 64)
		r.Rank(dst, []Query{{History: c.Input, Blocked: blocked, K: 10}})
		for _, s := range dst[0] {
			if s.Item == c.Target {
				hits++
			}
		}
	}
	return float64(hits) / float64(len(cases))
}

// The order of events must matter, and the far past too: what a demo shows and
// what model tests lean on.
func TestWorldRewardsTheWholeHistory(t *testing.T) {
	d, truth := World(1, WorldOptions{Users: 500})
	s := LeaveOneOut(d)
	r := truth.NewRanker()
	whole := hitRate(r, s.Items, s.Test)
	last := make([]Case, len(s.Test))
	none := make([]Case, len(s.Test))
	for i, c := range s.Test {
		last[i], none[i] = c, c
		last[i].Input, none[i].Input = c.Input[len(c.Input)-1:], nil
	}
	lastOnly, nothing := hitRate(r, s.Items, last), hitRate(r, s.Items, none)
	t.Logf("HR@10 of the best ranking: whole history %.3f, last item %.3f, no history %.3f", whole, lastOnly, nothing)
	if whole < lastOnly+0.1 || lastOnly < nothing+0.2 {
		t.Errorf("HR@10: whole history %.3f, last item %.3f, no history %.3f", whole, lastOnly, nothing)
	}
}

func TestWorldCatalogueReadsWell(t *testing.T) {
	_, truth := World(1, WorldOptions{Users: 1, Items: 3000})
	titles, ids := map[string]bool{}, map[string]bool{}
	for _, item := range truth.Items {
		if titles[item.Title] || ids[item.ID] || item.ID == "" || len(item.Categories) != 2 {
			t.Fatalf("bad item %+v", item)
		}
		titles[item.Title], ids[item.ID] = true, true
	}
}

func TestWorldRefusesOptions(t *testing.T) {
	for _, opt := range []WorldOptions{
		{Users: -1}, {Items: 5}, {Themes: 999}, {MinLength: 7, MaxLength: 6}, {MaxLength: 400},
		{Follow: 0.9}, {Repeat: 1},
	} {
		if err := opt.Validate(); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
}
