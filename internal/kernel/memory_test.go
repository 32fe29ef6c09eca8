package kernel

import (
	"fmt"
	"testing"
)

// memory hands out slices in places where a read or write out of bounds shows.
type memory interface {
	fmt.Stringer
	// floats returns n zeros of which intact can tell whether what lies around
	// them is unchanged.
	floats(t testing.TB, n int) (x []float32, intact func() bool)
}

const guard = -12345.5

// guardValues puts slices between guard values, skew floats from where the
// allocator put them.
type guardValues struct{ skew int }

func (g guardValues) String() string { return fmt.Sprintf("guard values, skew %d", g.skew) }

func (g guardValues) floats(_ testing.TB, n int) ([]float32, func() bool) {
	const margin = 40
	all := make([]float32, margin+g.skew+n+margin)
	for i := range all {
		all[i] = guard
	}
	from := margin + g.skew
	x := all[from : from+n : from+n]
	clear(x)
	return x, func() bool {
		for i, v := range all {
			if (i < from || i >= from+n) && v != guard {
				return false
			}
		}
		return true
	}
}
