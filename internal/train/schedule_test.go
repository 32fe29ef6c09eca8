package train

import (
	"math"
	"testing"
)

func TestScheduleWorkedByHand(t *testing.T) {
	tests := []struct {
		name  string
		s     Schedule
		total int
		want  map[int]float64
	}{
		{"constant", Schedule{Rate: 2}, 10, map[int]float64{0: 2, 9: 2}},
		{"warm-up", Schedule{Rate: 2, Warmup: 4}, 10, map[int]float64{0: 0.5, 1: 1, 3: 2, 4: 2, 9: 2}},
		{"linear", Schedule{Kind: Linear, Rate: 2}, 5, map[int]float64{0: 2, 1: 1.5, 2: 1, 4: 0}},
		{"linear to a floor", Schedule{Kind: Linear, Rate: 2, Floor: 0.5}, 5, map[int]float64{0: 2, 2: 1.5, 4: 1}},
		{"cosine after warm-up", Schedule{Kind: Cosine, Rate: 2, Warmup: 2}, 7, map[int]float64{0: 1, 1: 2, 2: 2, 4: 1, 6: 0}},
		{"beyond the end", Schedule{Kind: Cosine, Rate: 2}, 5, map[int]float64{40: 0}},
		{"shorter than its warm-up", Schedule{Kind: Linear, Rate: 2, Warmup: 10}, 5, map[int]float64{4: 1}},
		{"one step", Schedule{Kind: Linear, Rate: 2}, 1, map[int]float64{0: 2}},
	}
	for _, tt := range tests {
		for step, want := range tt.want {
			if got := tt.s.WithDefaults().At(step, tt.total); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: rate of step %d is %v, want %v", tt.name, step, got, want)
			}
		}
	}
}

func TestScheduleFaults(t *testing.T) {
	for name, s := range map[string]Schedule{
		"kind": {Kind: "stairs", Rate: 1}, "rate": {Kind: Linear, Rate: -1}, "NaN": {Kind: Linear, Rate: math.NaN()},
		"warm-up": {Kind: Linear, Rate: 1, Warmup: -1}, "floor": {Kind: Linear, Rate: 1, Floor: 2},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
