package eval

import (
	"errors"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func resultOf(t *testing.T, seed uint64, n int) *Result {
	t.Helper()
	rows, cases := world(seed, n, 60)
	r, err := Evaluate(t.Context(), factory(rows), cases, 60, Options{Resamples: 1000, Seed: 1, TargetHash: "same", Name: "r", Split: "leave-one-out", Part: "test", Counts: make([]int64, 60)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestIntervalIsThatOfAProportion(t *testing.T) {
	// For a share p of n cases the interval is close to the normal one,
	// p +- 1.96 sqrt(p(1-p)/n).
	ranks := make([]int32, 2000)
	users := make([]int32, len(ranks))
	for i := range ranks {
		ranks[i], users[i] = 30, int32(i)
		if i%4 == 0 {
			ranks[i] = 1
		}
	}
	got := intervals(ranks, groupByUser(users), 5, 1000)[0] // hr@1
	half := distuv.UnitNormal.Quantile(0.975) * math.Sqrt(0.25*0.75/2000)
	if got.Mean != 0.25 || math.Abs(got.Low-(0.25-half)) > 0.15*half || math.Abs(got.High-(0.25+half)) > 0.15*half {
		t.Errorf("interval %+v, want 0.25 +- %.4f", got, half)
	}
}

func TestIntervalDrawsUsersNotCases(t *testing.T) {
	// Ten users of a hundred equal cases each are ten observations.
	var ranks, users []int32
	for u := range int32(10) {
		for range 100 {
			users = append(users, u)
			ranks = append(ranks, 1+99*(u%2))
		}
	}
	got := intervals(ranks, groupByUser(users), 1, 1000)[0]
	if got.High-got.Low < 0.4 {
		t.Errorf("interval %+v is as narrow as if the cases were independent", got)
	}
}

func TestQuantileWorkedByHand(t *testing.T) {
	x := []float64{1, 2, 4, 8}
	for p, want := range map[float64]float64{0: 1, 1: 8, 0.5: 3, 1. / 3: 2, 0.9: 6.8} {
		if got := quantile(x, p); math.Abs(got-want) > 1e-12 {
			t.Errorf("quantile %v = %v, want %v", p, got, want)
		}
	}
}

func TestDrawIsUniform(t *testing.T) {
	counts := make([]int, 7)
	for i := range 70000 {
		counts[draw(1, i/100, i%100, 7)]++
	}
	for u, n := range counts {
		if n < 9500 || n > 10500 {
			t.Errorf("user %d drawn %d times of 70000, want about 10000", u, n)
		}
	}
}

func TestCompareWithItself(t *testing.T) {
	a := resultOf(t, 1, 200)
	c, err := Compare(a, a)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range c.Metrics {
		if d.Delta != 0 || d.Low != 0 || d.High != 0 || d.P != 1 {
			t.Errorf("a model differs from itself: %+v", d)
		}
	}
	if c.Equal != 200 {
		t.Errorf("%d equal cases, want 200", c.Equal)
	}
}

func TestCompareFindsASmallSteadyDifference(t *testing.T) {
	// Every tenth case is one place better: much less than either interval's
	// width, yet certain, since no case is worse.
	a := resultOf(t, 1, 400)
	b := *a
	b.Ranks = append([]int32(nil), a.Ranks...)
	for i := 0; i < len(b.Ranks); i += 10 {
		b.Ranks[i]++
	}
	b.At, b.MRR = assemble(intervals(b.Ranks, groupByUser(b.Users), 1, 1000))
	c, err := Compare(a, &b)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := c.Find("mrr")
	if d.Delta <= 0 || d.Low <= 0 || d.P > 0.01 {
		t.Errorf("mrr %+v: want a certain gain", d)
	}
	if width := a.MRR.High - a.MRR.Low; d.High-d.Low > width/2 {
		t.Errorf("paired interval %v is not narrower than a single one %v", d.High-d.Low, width)
	}
	if c.Better != 40 || c.Worse != 0 {
		t.Errorf("better %d worse %d, want 40 and 0", c.Better, c.Worse)
	}
}

func TestCompareSeesNoDifferenceInNoise(t *testing.T) {
	a, b := resultOf(t, 1, 300), resultOf(t, 2, 300)
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := c.Find("ndcg@10"); d.P < 0.01 || d.Low > 0 || d.High < 0 {
		t.Errorf("two random rankings differ: %+v", d)
	}
}

func TestCompareRefusesOtherCases(t *testing.T) {
	a, b := resultOf(t, 1, 30), resultOf(t, 1, 31)
	if _, err := Compare(a, b); !errors.Is(err, ErrNotPaired) {
		t.Errorf("other number of cases: %v", err)
	}
	for what, change := range map[string]func(*Protocol){
		"split": func(p *Protocol) { p.Split = "temporal" }, "part": func(p *Protocol) { p.Part = "valid" },
		"ranking": func(p *Protocol) { p.Ranking = "sampled" }, "filter": func(p *Protocol) { p.Filter = "none" },
		"ties": func(p *Protocol) { p.Ties = "random" }, "data filter": func(p *Protocol) { p.Data = "items >= 5 events" },
		"targets": func(p *Protocol) { p.TargetHash = "other" }, "items": func(p *Protocol) { p.Items++ },
		"cases": func(p *Protocol) { p.Cases++ }, "users": func(p *Protocol) { p.Users++ },
	} {
		c := *a
		change(&c.Protocol)
		if _, err := Compare(a, &c); !errors.Is(err, ErrNotPaired) || !strings.Contains(err.Error(), what) {
			t.Errorf("other %s: %v", what, err)
		}
	}
	same := *a
	same.Protocol.Cold, same.Protocol.Unknown, same.Protocol.Seed, same.Protocol.Resamples = 3, 4, 5, 6 // of the model and of the bootstrap
	if _, err := Compare(a, &same); err != nil {
		t.Errorf("one protocol: %v", err)
	}
}

func TestAMissIsWorseThanAnyRank(t *testing.T) {
	var c Comparison
	c.count([]int32{0, 5, 0, 7}, []int32{5, 0, 0, 8})
	if c.Better != 2 || c.Worse != 1 || c.Equal != 1 {
		t.Errorf("%+v", c)
	}
}
