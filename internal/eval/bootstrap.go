package eval

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// ErrNotPaired says that two results cannot be compared case by case.
var ErrNotPaired = errors.New("results are not of the same cases under one protocol")

// DefaultResamples is how many bootstrap samples stand behind an interval.
const DefaultResamples = 1000

// confidence is the mass of an interval; half of the rest lies on each side.
const confidence = 0.95

// groups lists the cases of each user, so that users, not cases, are drawn:
// the cases of one user are not independent of each other.
type groups struct {
	cases   []int32 // case numbers, user by user
	offsets []int32 // users+1
}

func groupByUser(users []int32) groups {
	order := make([]int32, len(users))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return int(users[a]) - int(users[b]) })
	g := groups{cases: order}
	for i, c := range order {
		if i == 0 || users[c] != users[order[i-1]] {
			g.offsets = append(g.offsets, int32(i))
		}
	}
	g.offsets = append(g.offsets, int32(len(order)))
	return g
}

func (g groups) users() int { return len(g.offsets) - 1 }

func (g groups) of(user int) []int32 { return g.cases[g.offsets[user]:g.offsets[user+1]] }

// draw gives the i-th user of resample r: a hash of (seed, r, i) scaled to the
// number of users. Being a pure function of its counter it needs no state, and
// two results with one seed draw the same users, which is what pairs them.
func draw(seed uint64, r, i, users int) int {
	x := mix(seed ^ mix(uint64(r)<<32|uint64(i)))
	hi, _ := bits.Mul64(x, uint64(users))
	return int(hi)
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// intervals gives the metrics of ranks with their bootstrap intervals, in the
// order of tally.values.
func intervals(ranks []int32, g groups, seed uint64, resamples int) []Interval {
	var all tally
	for _, r := range ranks {
		all.add(r)
	}
	means := all.values(nil)
	samples := make([][]float64, metricCount)
	for m := range samples {
		samples[m] = make([]float64, resamples)
	}
	values := make([]float64, 0, metricCount)
	for r := range resamples {
		var t tally
		for i := range g.users() {
			for _, c := range g.of(draw(seed, r, i, g.users())) {
				t.add(ranks[c])
			}
		}
		values = t.values(values)
		for m, v := range values {
			samples[m][r] = v
		}
	}
	out := make([]Interval, metricCount)
	for m := range out {
		out[m] = Interval{Mean: means[m], Low: means[m], High: means[m]}
		if resamples > 0 {
			out[m].Low, out[m].High = bounds(samples[m])
		}
	}
	return out
}

// bounds gives the percentile interval of a bootstrap sample; it sorts it.
func bounds(sample []float64) (low, high float64) {
	slices.Sort(sample)
	return quantile(sample, (1-confidence)/2), quantile(sample, (1+confidence)/2)
}

// quantile reads a sorted sample at p with linear interpolation (Hyndman and
// Fan's type 7).
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := int(math.Floor(at))
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// Delta is one metric of two models on the same cases. P is the two-sided
// bootstrap p value of "no difference": twice the smaller share of resamples
// on one side of zero, counting ties on both and adding one to each count, so
// that it is never 0.
type Delta struct {
	Metric string  `json:"metric"`
	A      float64 `json:"a"`
	B      float64 `json:"b"`
	Delta  float64 `json:"delta"` // A - B
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	P      float64 `json:"p"`
}

// Verdict puts the difference in words.
func (d Delta) Verdict() string {
	switch {
	case d.Low > 0:
		return "better"
	case d.High < 0:
		return "worse"
	}
	return "no clear difference"
}

// Comparison is a paired comparison of two models.
type Comparison struct {
	A       string  `json:"a"`
	B       string  `json:"b"`
	Cases   int     `json:"cases"`
	Better  int     `json:"better"` // cases that A ranks higher
	Worse   int     `json:"worse"`
	Equal   int     `json:"equal"`
	Metrics []Delta `json:"metrics"`
}

// Find gives the row of a metric such as "ndcg@10".
func (c *Comparison) Find(metric string) (Delta, bool) {
	for _, d := range c.Metrics {
		if d.Metric == metric {
			return d, true
		}
	}
	return Delta{}, false
}

// Compare draws users with the seed of a and reports a minus b for every
// metric. It returns ErrNotPaired when the two are not of the same cases
// or a switch of their protocols differs.
func Compare(a, b *Result) (*Comparison, error) {
	if err := paired(a, b); err != nil {
		return nil, err
	}
	c := &Comparison{A: a.Name, B: b.Name, Cases: len(a.Ranks)}
	c.count(a.Ranks, b.Ranks)
	g := groupByUser(a.Users)
	seed, resamples := a.Protocol.Seed, a.Protocol.Resamples
	samples := make([][]float64, metricCount)
	va, vb := make([]float64, 0, metricCount), make([]float64, 0, metricCount)
	for r := range resamples {
		var ta, tb tally
		for i := range g.users() {
			for _, k := range g.of(draw(seed, r, i, g.users())) {
				ta.add(a.Ranks[k])
				tb.add(b.Ranks[k])
			}
		}
		va, vb = ta.values(va), tb.values(vb)
		for m := range samples {
			samples[m] = append(samples[m], va[m]-vb[m])
		}
	}
	fa, fb := a.flat(), b.flat()
	for m, name := range metricNames() {
		d := Delta{Metric: name, A: fa[m].Mean, B: fb[m].Mean, Delta: fa[m].Mean - fb[m].Mean, P: 1}
		d.Low, d.High = d.Delta, d.Delta
		if resamples > 0 {
			d.P = twoSided(samples[m])
			d.Low, d.High = bounds(samples[m])
		}
		c.Metrics = append(c.Metrics, d)
	}
	return c, nil
}

func paired(a, b *Result) error {
	if len(a.Ranks) != len(b.Ranks) || !slices.Equal(a.Users, b.Users) {
		return fmt.Errorf("compare %s with %s: %w: %d and %d cases", a.Name, b.Name, ErrNotPaired, len(a.Ranks), len(b.Ranks))
	}
	if what, differ := a.Protocol.differs(&b.Protocol); differ {
		return fmt.Errorf("compare %s with %s: %w: %s", a.Name, b.Name, ErrNotPaired, what)
	}
	return nil
}

// count compares ranks case by case; a miss (0) is worse than any rank.
func (c *Comparison) count(a, b []int32) {
	for i := range a {
		switch x, y := uint32(a[i]-1), uint32(b[i]-1); { // 0 becomes the largest
		case x < y:
			c.Better++
		case x > y:
			c.Worse++
		default:
			c.Equal++
		}
	}
}

func twoSided(deltas []float64) float64 {
	low, high := 1, 1
	for _, d := range deltas {
		if d <= 0 {
			low++
		}
		if d >= 0 {
			high++
		}
	}
	return min(1, 2*float64(min(low, high))/float64(len(deltas)+1))
}
