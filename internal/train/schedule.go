package train

import (
	"fmt"
	"math"
	"slices"
)

// Names of the shapes a learning rate can take after its warm-up.
const (
	Constant = "constant"
	Linear   = "linear" // down to Floor in a straight line
	Cosine   = "cosine" // down to Floor in half a cosine
)

// Schedule is the learning rate of every step of a run.
type Schedule struct {
	Kind   string  `json:"kind"`             // "" is constant
	Rate   float64 `json:"rate"`             // the highest; 0 is 1e-3
	Warmup int     `json:"warmup,omitempty"` // steps in which it rises from Rate/Warmup to Rate
	Floor  float64 `json:"floor,omitempty"`  // the last rate as a share of Rate
}

// WithDefaults fills in what is zero.
func (s Schedule) WithDefaults() Schedule {
	if s.Kind == "" {
		s.Kind = Constant
	}
	if s.Rate == 0 {
		s.Rate = 1e-3
	}
	return s
}

// Validate reports settings that make no sense.
func (s Schedule) Validate() error {
	switch {
	case !slices.Contains([]string{Constant, Linear, Cosine}, s.Kind):
		return fmt.Errorf("schedule %q is unknown, want %s, %s or %s", s.Kind, Constant, Linear, Cosine)
	case !(s.Rate > 0 && s.Rate <= 10):
		return fmt.Errorf("learning rate is %v, want above 0 and at most 10", s.Rate)
	case s.Warmup < 0:
		return fmt.Errorf("warm-up is %d steps, want 0 or more", s.Warmup)
	case !(s.Floor >= 0 && s.Floor <= 1):
		return fmt.Errorf("learning rate floor is %v, want a share of the rate, 0 to 1", s.Floor)
	}
	return nil
}

// At is the rate of a step, from 0, of a run of total steps.
func (s Schedule) At(step, total int) float64 {
	if step < s.Warmup {
		return s.Rate * float64(step+1) / float64(s.Warmup)
	}
	if s.Kind == Constant || total <= s.Warmup+1 {
		return s.Rate
	}
	done := min(1, float64(step-s.Warmup)/float64(total-s.Warmup-1))
	share := 1 - done
	if s.Kind == Cosine {
		share = (1 + math.Cos(math.Pi*done)) / 2
	}
	return s.Rate * (s.Floor + (1-s.Floor)*share)
}
