package features

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func histories(lengths ...int) (items [][]int32, times [][]int64) {
	next := int32(0)
	for _, n := range lengths {
		var it []int32
		var tm []int64
		for range n {
			it, tm = append(it, next), append(tm, 1000+int64(next))
			next++
		}
		items, times = append(items, it), append(times, tm)
	}
	return items, times
}

// sequences runs one epoch and returns "inputs -> targets" of each sequence.
func sequences(t *testing.T, s *Sampler, epoch int) map[string]int {
	t.Helper()
	s.Epoch(epoch)
	got := map[string]int{}
	var b Batch
	batches, total := 0, 0
	for s.Next(&b) {
		batches++
		for i := range len(b.Offsets) - 1 {
			lo, hi := b.Offsets[i], b.Offsets[i+1]
			got[fmt.Sprint(b.Items[lo:hi], b.Targets[lo:hi])]++
			total++
			if history := s.train[b.Users[i]]; !slices.Contains(history, b.Items[lo]) { // no two users share an item
				t.Fatalf("sequence %v is said to be of user %d, whose history is %v", b.Items[lo:hi], b.Users[i], history)
			}
		}
		if len(b.Users) != len(b.Offsets)-1 {
			t.Fatalf("%d users for %d sequences", len(b.Users), len(b.Offsets)-1)
		}
		if len(b.Targets) != len(b.Items) {
			t.Fatalf("%d targets for %d items", len(b.Targets), len(b.Items))
		}
		for i, item := range b.Items {
			if b.Times != nil && b.Times[i] != 1000+int64(item) {
				t.Fatalf("item %d has the time %d", item, b.Times[i])
			}
		}
	}
	if batches != s.Batches() || total != s.Len() {
		t.Fatalf("%d batches of %d sequences, want %d of %d", batches, total, s.Batches(), s.Len())
	}
	return got
}

func TestSamplerSchemes(t *testing.T) {
	tests := []struct {
		scheme  Scheme
		length  int
		lengths []int
		want    map[string]int
	}{
		{Shifted, 2, []int{5, 1, 0, 2}, map[string]int{"[2 3] [3 4]": 1, "[6] [7]": 1}},
		{"", 0, []int{3}, map[string]int{"[0 1] [1 2]": 1}},
		{Tiled, 2, []int{5, 1, 2}, map[string]int{"[2 3] [3 4]": 1, "[0 1] [1 2]": 1, "[6] [7]": 1}},
		{Tiled, 3, []int{6}, map[string]int{"[2 3 4] [3 4 5]": 1, "[0 1] [1 2]": 1}},
		{Tiled, 2, []int{3}, map[string]int{"[0 1] [1 2]": 1}},
		{Prefix, 2, []int{4, 1}, map[string]int{"[0] [1]": 1, "[0 1] [-1 2]": 1, "[1 2] [-1 3]": 1}},
		{RandomCut, 3, []int{2}, map[string]int{"[0] [1]": 1}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/%d/%v", tt.scheme, tt.length, tt.lengths), func(t *testing.T) {
			items, times := histories(tt.lengths...)
			s, err := NewSampler(items, times, SamplerOptions{Scheme: tt.scheme, Length: tt.length, BatchSize: 2})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, sequences(t, s, 3)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every event but the first of a history is a target exactly once.
func TestTiledTargetsEachEventOnce(t *testing.T) {
	for length := 1; length < 8; length++ {
		for n := range 20 {
			items, _ := histories(n, 2)
			s, err := NewSampler(items, nil, SamplerOptions{Scheme: Tiled, Length: length, BatchSize: 3})
			if err != nil {
				t.Fatal(err)
			}
			count := map[int32]int{}
			var b Batch
			for s.Next(&b) {
				for _, target := range b.Targets {
					count[target]++
				}
			}
			for i := int32(1); int(i) < n; i++ {
				if count[i] != 1 {
					t.Fatalf("length %d, history %d: event %d is a target %d times", length, n, i, count[i])
				}
			}
			if want := max(n-1, 0) + 1; len(count) != want {
				t.Fatalf("length %d, history %d: %d targets, want %d", length, n, len(count), want)
			}
		}
	}
}

func TestRandomCutEndsHalfTheTimeAtTheNewest(t *testing.T) {
	items, _ := histories(11)
	s, err := NewSampler(items, nil, SamplerOptions{Scheme: RandomCut, Length: 4, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	const epochs = 4000
	ends := map[int32]int{}
	var b Batch
	for e := range epochs {
		s.Epoch(e)
		s.Next(&b)
		if len(b.Items) > 4 {
			t.Fatalf("%d inputs", len(b.Items))
		}
		ends[b.Targets[len(b.Targets)-1]]++
	}
	for end := int32(1); end <= 10; end++ {
		want := 0.5 / 10 // uniform over ends 1..10
		if end == 10 {
			want += 0.5
		}
		sd := math.Sqrt(epochs * want * (1 - want))
		if got := float64(ends[end]); math.Abs(got-epochs*want) > 4.5*sd {
			t.Errorf("end %d drawn %v times, want about %v", end, got, epochs*want)
		}
	}
}

// order returns the batches of an epoch from batch skip on.
func order(s *Sampler, epoch, skip int) [][]int32 {
	s.Epoch(epoch)
	s.Skip(skip)
	var all [][]int32
	var b Batch
	for s.Next(&b) {
		all = append(all, append([]int32(nil), b.Items...))
	}
	return all
}

func TestSamplerOrderIsAFunctionOfSeedAndEpoch(t *testing.T) {
	items, times := histories(9, 3, 4, 8, 2, 7, 6, 30)
	make := func(seed uint64) *Sampler {
		s, err := NewSampler(items, times, SamplerOptions{Scheme: Prefix, Length: 5, BatchSize: 4, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	warm := make(1)
	order(warm, 0, 0)
	first := order(warm, 1, 0)
	if diff := cmp.Diff(first, order(make(1), 1, 0)); diff != "" {
		t.Errorf("epoch 1 from cold differs:\n%s", diff)
	}
	if diff := cmp.Diff(first[2:], order(make(1), 1, 2)); diff != "" {
		t.Errorf("epoch 1 from its third batch differs:\n%s", diff)
	}
	if cmp.Equal(first, order(warm, 2, 0)) {
		t.Error("epochs 1 and 2 have the same order")
	}
	if cmp.Equal(first, order(make(2), 1, 0)) {
		t.Error("seeds 1 and 2 have the same order")
	}
	if got := order(warm, 1, 1000); len(got) != 0 {
		t.Errorf("%d batches after the end", len(got))
	}
}

func TestSamplerRefusesOptions(t *testing.T) {
	items, _ := histories(3)
	for _, opt := range []SamplerOptions{{Scheme: "sliding"}, {Length: -1}, {BatchSize: -2}} {
		if _, err := NewSampler(items, nil, opt); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
	short, _ := histories(1, 0)
	if _, err := NewSampler(short, nil, SamplerOptions{}); err != ErrNoSequences {
		t.Errorf("error %v, want ErrNoSequences", err)
	}
}

func TestSamplerAllocatesNothingWarm(t *testing.T) {
	items, times := histories(50, 3, 44, 8, 21, 70, 6, 300)
	for _, scheme := range []Scheme{Shifted, Tiled, Prefix, RandomCut} {
		s, err := NewSampler(items, times, SamplerOptions{Scheme: scheme, Length: 20, BatchSize: 3})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		s.Next(&b)
		epoch := 0
		if n := testing.AllocsPerRun(5, func() {
			epoch++
			s.Epoch(epoch)
			for s.Next(&b) {
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations an epoch", scheme, n)
		}
	}
}

func TestSamplerPanicsOnTimesThatDoNotFit(t *testing.T) {
	items, times := histories(3, 4)
	for name, bad := range map[string][][]int64{"users": times[:1], "events": {times[0], times[1][:2]}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_, _ = NewSampler(items, bad, SamplerOptions{})
		}()
	}
}
