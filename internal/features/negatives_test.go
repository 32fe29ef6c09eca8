package features

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func popular(t *testing.T, counts []int64, power float64) *Negatives {
	t.Helper()
	n, err := NewPopularityNegatives(counts, power, 5)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNegativesDrawByTheirProbabilities(t *testing.T) {
	tests := map[string]struct {
		n    *Negatives
		want []float64
	}{
		"uniform":      {NewUniformNegatives(4, 5), []float64{0.25, 0.25, 0.25, 0.25}},
		"counts":       {popular(t, []int64{0, 1, 2, 5}, 1), []float64{1. / 12, 2. / 12, 3. / 12, 6. / 12}},
		"square root":  {popular(t, []int64{0, 3, 8}, 0.5), []float64{1. / 6, 2. / 6, 3. / 6}},
		"power zero":   {popular(t, []int64{0, 100}, 0), []float64{0.5, 0.5}},
		"single":       {popular(t, []int64{3}, 1), []float64{1}},
		"one dominant": {popular(t, []int64{0, 0, 996, 0}, 1), []float64{0.001, 0.001, 0.997, 0.001}},
	}
	const draws = 40000
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := make([]int, len(tt.want))
			dst := make([]int32, 100)
			for step := range uint64(draws / 100) {
				tt.n.Fill(dst, step)
				for _, item := range dst {
					got[item]++
				}
			}
			first := make([]int, len(tt.want))
			for step := range uint64(draws / 10) {
				tt.n.Shared(dst[:1], step)
				first[dst[0]]++
			}
			for i, p := range tt.want {
				if math.Abs(float64(tt.n.LogQ()[i])-math.Log(p)) > 1e-6 {
					t.Errorf("log q of item %d = %v, want %v", i, tt.n.LogQ()[i], math.Log(p))
				}
				near(t, "Fill", i, got[i], draws, p)
				near(t, "Shared", i, first[i], draws/10, p)
			}
		})
	}
}

func near(t *testing.T, what string, item, got, draws int, p float64) {
	t.Helper()
	want, sd := float64(draws)*p, math.Sqrt(float64(draws)*p*(1-p))
	if math.Abs(float64(got)-want) > 4.5*sd+1e-9 {
		t.Errorf("%s drew item %d %d times, want about %.0f", what, item, got, want)
	}
}

func TestSharedNegativesDiffer(t *testing.T) {
	for name, n := range map[string]*Negatives{
		"uniform": NewUniformNegatives(50, 1),
		"popular": popular(t, make([]int64, 50), 1),
	} {
		for _, k := range []int{0, 1, 20, 50} {
			dst := make([]int32, k)
			n.Shared(dst, 9)
			again := make([]int32, k)
			n.Shared(again, 9)
			if !cmp.Equal(dst, again) {
				t.Errorf("%s: two lists at one step", name)
			}
			slices.Sort(again)
			if len(slices.Compact(again)) != k {
				t.Errorf("%s: %v has an item twice", name, dst)
			}
			n.Shared(again[:cap(again)][:k], 10)
			if k == 20 && cmp.Equal(dst, again[:k]) {
				t.Errorf("%s: the same list at two steps", name)
			}
		}
	}
}

func TestAccidental(t *testing.T) {
	n := NewUniformNegatives(6, 1)
	got := make([]int32, 4)
	n.Accidental(got, []int32{4, 0, 2}, []int32{2, 5, -1, 4})
	if diff := cmp.Diff([]int32{2, -1, -1, 0}, got); diff != "" {
		t.Error(diff)
	}
	n.Accidental(got[:1], []int32{1}, []int32{4})
	if got[0] != -1 {
		t.Error("a list leaves traces for the next")
	}
}

func TestPopularityNegativesRefuse(t *testing.T) {
	for _, tt := range []struct {
		counts []int64
		power  float64
	}{{nil, 1}, {[]int64{1, -1}, 1}, {[]int64{1}, -1}, {[]int64{1}, math.NaN()}} {
		if _, err := NewPopularityNegatives(tt.counts, tt.power, 1); err == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
}

func TestCounts(t *testing.T) {
	if diff := cmp.Diff([]int64{2, 0, 1}, Counts([][]int32{{0, 2}, nil, {0}}, 3)); diff != "" {
		t.Error(diff)
	}
}
