package eval

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestSelectionNDCGByHand(t *testing.T) {
	relevance := []float64{0, 3, 1, 0, 2}
	second, third := 1/math.Log2(3), 0.5
	for _, tt := range []struct {
		name     string
		selected []int32
		k        int
		want     float64
	}{
		{"best", []int32{1, 4, 2}, 3, 1},
		{"best of more than there are", []int32{1, 4, 2, 0, 3}, 9, 1},
		{"best but one is cut off", []int32{1, 0, 4}, 2, 3 / (3 + 2*second)},
		{"two changed places", []int32{4, 1, 2}, 3, (2 + 3*second + third) / (3 + 2*second + third)},
		{"too few", []int32{1}, 3, 3 / (3 + 2*second + third)},
		{"none", nil, 3, 0},
		{"only what does not matter", []int32{0, 3}, 2, 0},
	} {
		got, err := SelectionNDCG(relevance, tt.selected, tt.k)
		if err != nil || math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestSelectionRecallByHand(t *testing.T) {
	for _, tt := range []struct {
		selected, relevant []int32
		want               float64
	}{
		{[]int32{5, 1, 9}, []int32{1, 5}, 1},
		{[]int32{5, 1, 9}, []int32{1, 2, 3, 9}, 0.5},
		{[]int32{5}, []int32{1, 2}, 0},
		{nil, []int32{1}, 0},
	} {
		if got, err := SelectionRecall(tt.selected, tt.relevant, 10); err != nil || got != tt.want {
			t.Errorf("%v of %v: %v, %v, want %v", tt.selected, tt.relevant, got, err, tt.want)
		}
	}
}

func TestSelectionRefuses(t *testing.T) {
	good := []float64{1, 0}
	for _, tt := range []struct {
		name      string
		relevance []float64
		selected  []int32
		k         int
		is        error // nil: any
	}{
		{"nothing relevant", []float64{0, 0}, []int32{0}, 1, ErrNothingRelevant},
		{"no history", nil, nil, 1, ErrNothingRelevant},
		{"not a number", []float64{math.NaN()}, nil, 1, nil},
		{"infinite", []float64{math.Inf(1)}, nil, 1, nil},
		{"negative", []float64{-1}, nil, 1, nil},
		{"no room", good, nil, 0, nil},
		{"outside", good, []int32{2}, 1, nil},
		{"before the first", good, []int32{-1}, 1, nil},
		{"twice", good, []int32{1, 1}, 2, nil},
	} {
		if _, err := SelectionNDCG(tt.relevance, tt.selected, tt.k); err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.is)
		}
	}
	for name, lists := range map[string][2][]int32{"outside": {{2}, {1}}, "twice": {{1}, {0, 0}}, "negative": {{-1}, {0}}} {
		if _, err := SelectionRecall(lists[0], lists[1], 2); err == nil {
			t.Errorf("recall, %s: no error", name)
		}
	}
	if _, err := SelectionRecall([]int32{1}, nil, 2); !errors.Is(err, ErrNothingRelevant) {
		t.Errorf("recall of nothing: %v", err)
	}
}

// informationOf is mutual information as it is defined, of pairs of values.
func informationOf(x, y []bool) float64 {
	n, bits := float64(len(x)), 0.0
	share := func(is func(i int) bool) float64 {
		c := 0.0
		for i := range x {
			if is(i) {
				c++
			}
		}
		return c / n
	}
	for _, a := range []bool{false, true} {
		for _, b := range []bool{false, true} {
			both := share(func(i int) bool { return x[i] == a && y[i] == b })
			if both > 0 {
				bits += both * math.Log2(both/share(func(i int) bool { return x[i] == a })/share(func(i int) bool { return y[i] == b }))
			}
		}
	}
	return bits
}

func TestPresenceByHand(t *testing.T) {
	p, err := NewPresence(3, OwnBuckets(2))
	if err != nil {
		t.Fatal(err)
	}
	// The label is whether code 1 was the newest; the one before tells nothing.
	for _, row := range []struct {
		history []int32
		label   bool
	}{{[]int32{0, 2, 1}, true}, {[]int32{0, 0, 1}, true}, {[]int32{1, 2, 2}, false}, {[]int32{1, 0, -1}, false}} {
		if err := p.Add(2, row.history, row.label); err != nil {
			t.Fatal(err)
		}
	}
	// Code 2 was newest in one row of four, a negative: H(1/4) - 1/2 of a bit.
	const rare = 0.8112781244591328 - 0.5
	got := make([]float64, 3)
	for _, tt := range []struct {
		target int32
		past   []int32
		want   float64 // of the newest; the oldest is past the places looked at
	}{{2, []int32{1, 2, 1}, 1}, {2, []int32{1, 2, 2}, rare}, {2, []int32{1, 2, 0}, 0}, {2, []int32{1, 2, -1}, 0}, {0, []int32{1, 2, 1}, 0}} {
		if err := p.Relevance(got, tt.target, tt.past); err != nil {
			t.Fatal(err)
		}
		if got[0] != 0 || got[1] != 0 || math.Abs(got[2]-tt.want) > 1e-12 {
			t.Errorf("target %d, history %v: relevance %v, want 0, 0 and %v", tt.target, tt.past, got, tt.want)
		}
	}
}

func TestPresenceIsMutualInformation(t *testing.T) {
	const codes, length, rows = 4, 12, 300
	rng := rand.New(rand.NewPCG(5, 6))
	for name, buckets := range map[string][]int32{"own": OwnBuckets(length), "powers": PowerBuckets(length)} {
		p, err := NewPresence(codes, buckets)
		if err != nil {
			t.Fatal(err)
		}
		var histories [rows][]int32
		var labels [rows]bool
		for r := range histories {
			for range length - r%3 {
				histories[r] = append(histories[r], int32(rng.IntN(codes)))
			}
			labels[r] = histories[r][3] == 1 == (rng.IntN(4) > 0)
			if err := p.Add(int32(r%2), histories[r], labels[r]); err != nil {
				t.Fatal(err)
			}
		}
		past := histories[0]
		got := make([]float64, length)
		if err := p.Relevance(got, 1, past); err != nil {
			t.Fatal(err)
		}
		for i, code := range past {
			var x, y []bool
			for r := 1; r < rows; r += 2 {
				has := false
				for j, c := range histories[r] {
					has = has || c == code && buckets[len(histories[r])-1-j] == buckets[length-1-i]
				}
				x, y = append(x, has), append(y, labels[r])
			}
			if want := informationOf(x, y); math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("%s: relevance of event %d is %v, want %v", name, i, got[i], want)
			}
		}
	}
}

func TestPresenceRefuses(t *testing.T) {
	for name, begin := range map[string]func() (*Presence, error){
		"no codes":        func() (*Presence, error) { return NewPresence(0, OwnBuckets(3)) },
		"no places":       func() (*Presence, error) { return NewPresence(3, nil) },
		"negative bucket": func() (*Presence, error) { return NewPresence(3, []int32{0, -1}) },
	} {
		if _, err := begin(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p, err := NewPresence(3, OwnBuckets(3))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		target int32
		past   []int32
	}{{-1, nil}, {3, nil}, {0, []int32{3}}, {0, []int32{-2}}} {
		if p.Add(tt.target, tt.past, true) == nil || p.Relevance(make([]float64, len(tt.past)), tt.target, tt.past) == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
}

func TestPowerBuckets(t *testing.T) {
	got := PowerBuckets(9)
	for i, want := range []int32{0, 1, 1, 2, 2, 2, 2, 3, 3} {
		if got[i] != want {
			t.Fatalf("buckets %v", got)
		}
	}
}
