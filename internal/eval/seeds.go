package eval

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// SeedInterval is a figure over runs that differ in their seed alone. It speaks
// of the training's own chance, not of that of the cases: those are the same in
// every run, and the bootstrap speaks of them.
type SeedInterval struct {
	Seeds int     `json:"seeds"`
	Mean  float64 `json:"mean"`
	SD    float64 `json:"sd"`  // of one run: the sample's, with n-1
	Low   float64 `json:"low"` // of the mean: 95 %, by Student's t with n-1 degrees of freedom
	High  float64 `json:"high"`
}

// OverSeeds sums up a figure of several runs, at least two, all numbers. For two
// models under the same seeds, hand in the differences seed by seed: where the
// interval leaves out 0, the difference is more than the chance of training.
func OverSeeds(values []float64) (SeedInterval, error) {
	n := len(values)
	if n < 2 {
		return SeedInterval{}, fmt.Errorf("interval over seeds: %d runs, want 2 at least", n)
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return SeedInterval{}, fmt.Errorf("interval over seeds: the figure of run %d is %w", i+1, ErrNotANumber)
		}
	}
	s := SeedInterval{Seeds: n, Mean: mean(values)}
	for _, v := range values {
		s.SD += (v - s.Mean) * (v - s.Mean)
	}
	s.SD = math.Sqrt(s.SD / float64(n-1))
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile((1 + confidence) / 2)
	half := t * s.SD / math.Sqrt(float64(n))
	s.Low, s.High = s.Mean-half, s.Mean+half
	return s, nil
}
