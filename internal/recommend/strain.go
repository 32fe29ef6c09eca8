package recommend

import (
	"math"
	"sync/atomic"
	"time"
)

// strain is how much longer work takes than it did on the idle machine: one factor,
// learnt from all that is run. The zero value is 1.
type strain struct{ bits atomic.Uint64 }

const (
	strainWeight = 0.1 // of the newest run
	strainMin    = 0.1 // a shape that was measured on golden requests may be far above the truth of others
	strainMax    = 20
	strainEase   = 0.01
)

func (s *strain) factor() float64 {
	if bits := s.bits.Load(); bits != 0 {
		return math.Float64frombits(bits)
	}
	return 1
}

// of is the time that work of so many idle nanoseconds is predicted to take.
func (s *strain) of(ns float64) time.Duration { return time.Duration(s.factor() * ns) }

// learn moves the factor towards what work took. Two goroutines may overwrite
// each other; either value is a fair one.
func (s *strain) learn(predicted, took time.Duration) {
	if predicted <= 0 {
		return
	}
	f := s.factor()
	seen := f * float64(took) / float64(predicted)
	s.set(f + strainWeight*(seen-f))
}

// ease moves the factor a little towards 1. Who leaves work out because it would
// take too long calls it: from work that is never run nothing is learnt.
func (s *strain) ease() {
	f := s.factor()
	s.set(f + strainEase*(1-f))
}

func (s *strain) set(f float64) { s.bits.Store(math.Float64bits(min(max(f, strainMin), strainMax))) }
