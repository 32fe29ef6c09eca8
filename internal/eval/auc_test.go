package eval

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAUCByHand(t *testing.T) {
	const y, n = true, false
	inf := float32(math.Inf(1))
	for _, tt := range []struct {
		name   string
		scores []float32
		labels []bool
		want   float64
	}{
		{"in order", []float32{0.9, 0.1, 0.2}, []bool{y, n, n}, 1},
		{"reversed", []float32{0.1, 0.9}, []bool{y, n}, 0},
		{"half in order", []float32{3, 1, 2, 4}, []bool{y, n, n, n}, 2. / 3},
		{"all tied", []float32{1, 1, 1, 1}, []bool{y, n, y, n}, 0.5},
		{"one tie of four pairs", []float32{1, 2, 2, 3}, []bool{n, y, n, y}, 3.5 / 4},
		{"infinite", []float32{inf, -inf, 0, inf}, []bool{y, n, y, n}, 2.5 / 4},
		{"zeros of two signs are equal", []float32{0, float32(math.Copysign(0, -1))}, []bool{y, n}, 0.5},
	} {
		if got, err := AUC(tt.scores, tt.labels); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

// pairs is AUC as it is defined.
func pairs(scores []float32, labels []bool) float64 {
	inOrder, total := 0.0, 0.0
	for i := range scores {
		for j := range scores {
			if !labels[i] || labels[j] {
				continue
			}
			total++
			if scores[i] > scores[j] {
				inOrder++
			} else if scores[i] == scores[j] {
				inOrder += 0.5
			}
		}
	}
	return inOrder / total
}

func randomRows(rng *rand.Rand, n, values, groups int) (scores []float32, labels []bool, keys []int32) {
	for range n {
		scores = append(scores, float32(rng.IntN(values)))
		labels = append(labels, rng.IntN(3) == 0)
		keys = append(keys, int32(rng.IntN(groups)))
	}
	return scores, labels, keys
}

func TestAUCIsTheShareOfPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, values := range []int{2, 10, 1 << 20} {
		for range 20 {
			scores, labels, _ := randomRows(rng, 150, values, 1)
			got, err := AUC(scores, labels)
			if want := pairs(scores, labels); err != nil || math.Abs(got-want) > 1e-12 {
				t.Fatalf("%d values: %v, %v, want %v", values, got, err, want)
			}
			rng.Shuffle(len(scores), func(i, j int) {
				scores[i], scores[j] = scores[j], scores[i]
				labels[i], labels[j] = labels[j], labels[i]
			})
			if again, _ := AUC(scores, labels); again != got {
				t.Fatalf("another order of rows gives %v, not %v", again, got)
			}
		}
	}
}

func TestGroupedAUC(t *testing.T) {
	// User 7 has 1 of 2 pairs, user 3 all of 1, user 5 only positives.
	scores := []float32{1, 5, 4, 9, 0, 3}
	labels := []bool{false, true, false, true, false, true}
	users := []int32{3, 3, 7, 5, 7, 7}
	want := GroupedAUC{AUC: (1*2 + 0.5*3) / 5, Groups: 2, Rows: 5, Alone: 1}
	for name, f := range map[string]func([]float32, []bool, []int32) (GroupedAUC, error){"user": UserGAUC, "category": CategoryAUC} {
		got, err := f(scores, labels, users)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	scores, labels, users = randomRows(rng, 400, 9, 30)
	got, err := UserGAUC(scores, labels, users)
	if err != nil {
		t.Fatal(err)
	}
	sum, rows := 0.0, 0.0
	for u := range int32(30) {
		var s []float32
		var l []bool
		for i := range users {
			if users[i] == u {
				s, l = append(s, scores[i]), append(l, labels[i])
			}
		}
		if area := pairs(s, l); !math.IsNaN(area) {
			sum += area * float64(len(s))
			rows += float64(len(s))
		}
	}
	if math.Abs(got.AUC-sum/rows) > 1e-12 || got.Rows != int(rows) {
		t.Errorf("%+v, want %v over %v rows", got, sum/rows, rows)
	}
}

func TestAUCRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		name   string
		scores []float32
		labels []bool
		keys   []int32
		is     error // nil: any
	}{
		{"empty", nil, nil, nil, ErrOneClass},
		{"positives only", []float32{1, 2}, []bool{true, true}, []int32{0, 0}, ErrOneClass},
		{"negatives only", []float32{1, 2}, []bool{false, false}, []int32{0, 0}, ErrOneClass},
		{"not a number", []float32{1, nan}, []bool{true, false}, []int32{0, 0}, ErrNotANumber},
		{"lengths", []float32{1, 2}, []bool{true}, []int32{0, 0}, nil},
	} {
		if _, err := AUC(tt.scores, tt.labels); err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.is)
		}
		if _, err := UserGAUC(tt.scores, tt.labels, tt.keys); err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s, by user: error %v, want %v", tt.name, err, tt.is)
		}
	}
	if _, err := CategoryAUC([]float32{1, 2}, []bool{true, false}, []int32{0, 1}); !errors.Is(err, ErrOneClass) {
		t.Errorf("no group with both labels: %v", err)
	}
	if _, err := CategoryAUC([]float32{1, 2}, []bool{true, false}, []int32{0}); err == nil {
		t.Error("too few groups: no error")
	}
}

func TestOverSeeds(t *testing.T) {
	// t of 4 degrees of freedom at 97.5 % is 2.776445, of 1 degree 12.7062.
	for _, tt := range []struct {
		values []float64
		want   SeedInterval
	}{
		{[]float64{5, 1, 4, 2, 3}, SeedInterval{Seeds: 5, Mean: 3, SD: math.Sqrt(2.5), Low: 3 - 1.963243, High: 3 + 1.963243}},
		{[]float64{0.2, 0.4}, SeedInterval{Seeds: 2, Mean: 0.3, SD: 0.1 * math.Sqrt2, Low: 0.3 - 1.27062, High: 0.3 + 1.27062}},
		{[]float64{7, 7, 7}, SeedInterval{Seeds: 3, Mean: 7, Low: 7, High: 7}},
	} {
		got, err := OverSeeds(tt.values)
		close := func(a, b float64) bool { return math.Abs(a-b) < 1e-5 }
		if err != nil || got.Seeds != tt.want.Seeds || !close(got.Mean, tt.want.Mean) || !close(got.SD, tt.want.SD) ||
			!close(got.Low, tt.want.Low) || !close(got.High, tt.want.High) {
			t.Errorf("%v: %+v, %v, want %+v", tt.values, got, err, tt.want)
		}
	}
	for _, bad := range [][]float64{nil, {1}, {1, math.NaN()}, {1, math.Inf(1)}} {
		if _, err := OverSeeds(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}
