package lifelong_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel/lifelong"
)

// members is every model, and every switch that changes what is computed.
func members() map[string]lifelong.Config {
	list := map[string]lifelong.Config{}
	for _, kind := range lifelong.Kinds() {
		list[kind] = lifelong.Config{Model: kind, Categories: 4, Kinds: 3, Gaps: true}
		if kind != "sim-hard" {
			list[kind+", items and time alone"] = lifelong.Config{Model: kind}
		}
	}
	list["dare, narrow search"] = lifelong.Config{Model: "dare", Categories: 4, AttentionWidth: 3}
	list["dare, shared tables"] = lifelong.Config{Model: "dare", Categories: 4, SharedTables: true}
	list["dare, no auxiliary head"] = lifelong.Config{Model: "dare", NoAuxiliary: true}
	list["dare, no product"] = lifelong.Config{Model: "dare", NoProduct: true}
	list["dare, shared positions"] = lifelong.Config{Model: "dare", Positions: 8}
	list["twin, projections"] = lifelong.Config{Model: "twin", Categories: 4, Projections: true}
	for name, c := range list {
		c.Items, c.Width, c.Length, c.Select, c.Hidden, c.Bits, c.Tau, c.Cluster, c.InitStd = 30, 6, 40, 5, [2]int{12, 8}, 12, 3, 3, 0.5
		list[name] = c
	}
	return list
}

func make30(t testing.TB, c lifelong.Config, seed uint64) *lifelong.Model {
	t.Helper()
	categories := make([]int32, c.Items)
	for i := range categories {
		categories[i] = int32(i % max(c.Categories, 1))
	}
	m, err := lifelong.New(c, categories, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// randomHistory has n events of 30 items, a few of them unknown, in sittings.
func randomHistory(n int, seed uint64) lifelong.History {
	rng := rand.New(rand.NewPCG(seed, 1))
	var h lifelong.History
	at := int64(1_600_000_000_000)
	for range n {
		item := int32(rng.IntN(30))
		if rng.IntN(20) == 0 {
			item = -1
		}
		at += rng.Int64N(1 << rng.IntN(36))
		h.Items, h.Times, h.Kinds = append(h.Items, item), append(h.Times, at), append(h.Kinds, int32(rng.IntN(3)))
	}
	return h
}

func last(h lifelong.History) int64 {
	if len(h.Times) == 0 {
		return 0
	}
	return h.Times[len(h.Times)-1] + 5000
}

var candidates = []int32{0, 3, 29, 3, 17, 8}

// TestStateEqualsNetwork holds the fast path, with its memory of the history, to
// the network that was trained, at every length that a rule treats apart.
func TestStateEqualsNetwork(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			m := make30(t, c, 1)
			s := m.NewScorer()
			for _, n := range []int{0, 1, 4, 5, 6, 40, 300} {
				h := randomHistory(n, uint64(n))
				want, got := make([]float32, len(candidates)), make([]float32, len(candidates))
				s.Score(want, h, candidates, last(h))
				st := m.NewState()
				for lo := 0; lo < n; lo += 7 { // in pieces, as events come
					hi := min(lo+7, n)
					st.Append(lifelong.History{Items: h.Items[lo:hi], Times: h.Times[lo:hi], Kinds: h.Kinds[lo:hi]})
				}
				s.ScoreState(got, st, candidates, last(h))
				near(t, fmt.Sprintf("%d events", n), got, want, 1e-4)
			}
		})
	}
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= tolerance*max(1, math.Abs(float64(want[i])))) {
			t.Fatalf("%s: candidate %d scores %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestScoreIsOfItsOwnHistory checks that packing examples together, or cutting
// candidates apart, changes no score.
func TestScoreIsOfItsOwnHistory(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			m := make30(t, c, 2)
			s := m.NewScorer()
			var examples []lifelong.Example
			var want []float32
			for _, n := range []int{12, 0, 40, 1, 33} {
				h := randomHistory(n, uint64(n))
				examples = append(examples, lifelong.Example{History: h, Candidates: candidates, At: last(h)})
				for _, item := range candidates {
					one := make([]float32, 1)
					s.Score(one, h, []int32{item}, last(h))
					want = append(want, one[0])
				}
			}
			got := make([]float32, len(want))
			s.ScoreExamples(got, examples)
			near(t, "together", got, want, 1e-5)
		})
	}
}

// TestLearns checks that every member can learn that an item is wanted when one
// of its kin is in the history, and that equal seeds give equal weights.
func TestLearns(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			c.InitStd = 0.1
			first, last, weights := learn(t, c, 2)
			if !(last < 0.8*first) {
				t.Errorf("loss went from %.4f to %.4f", first, last)
			}
			if _, _, again := learn(t, c, 1); !slices.Equal(weights, again) {
				t.Error("the weights depend on the number of workers")
			}
		})
	}
}

// learn trains on a world in which item i is wanted after items i+10 and i+20,
// and gives the first and last loss and the weights.
func learn(t *testing.T, c lifelong.Config, workers int) (first, last float64, weights []float32) {
	m := make30(t, c, 3)
	tr, err := lifelong.NewTrainer(m, lifelong.TrainConfig{LR: 0.02, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for step := range 80 {
		var batch []lifelong.Example
		for range 40 {
			target := int32(rng.IntN(10))
			h := lifelong.History{}
			for range 9 {
				kin := (target + 1 + int32(rng.IntN(9))) % 10 // anything but the target's
				h.Items = append(h.Items, kin+10)
			}
			h.Items[rng.IntN(9)], h.Items[rng.IntN(9)] = target+10, target+20
			other := (target + 5) % 10
			for i, item := range h.Items {
				if item%10 == other {
					h.Items[i] = (other+1)%10 + 10
					if (other+1)%10 == target {
						h.Items[i]++
					}
				}
			}
			batch = append(batch, lifelong.Example{History: h, Candidates: []int32{target, other}})
		}
		loss, err := tr.Step(batch)
		if err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			first = loss
		}
		last = loss
	}
	return first, last, m.Params().All().V
}

// TestFullSelectionIsFullAttention: with K = N the search keeps every known event,
// and their shares are all there is. TestDAREByHand holds them to the equations.
func TestFullSelectionIsFullAttention(t *testing.T) {
	for _, kind := range []string{"dare", "twin", "din"} {
		c := members()[kind]
		c.Select = 40
		m := make30(t, c, 5)
		h := randomHistory(40, 9)
		list := m.NewScorer().Explain(h, 3, last(h))
		var sum float64
		known := 0
		for _, item := range h.Items {
			if item >= 0 {
				known++
			}
		}
		for _, moment := range list {
			sum += float64(moment.Weight)
		}
		if len(list) != known || math.Abs(sum-1) > 1e-5 {
			t.Errorf("%s: %d moments of %d events, weights sum to %v", kind, len(list), known, sum)
		}
	}
}

// TestExplain checks what explanations promise: events of the history, heaviest
// first, weights that are shares; the memory of a state tells the same.
func TestExplain(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			m := make30(t, c, 6)
			s := m.NewScorer()
			h := randomHistory(35, 3)
			st := m.NewState()
			st.Append(h)
			for _, item := range candidates {
				list := s.Explain(h, item, last(h))
				var sum float64
				for i, moment := range list {
					sum += float64(moment.Weight)
					if moment.Event < 0 || moment.Event >= h.Len() || h.Items[moment.Event] < 0 || i > 0 && moment.Weight > list[i-1].Weight {
						t.Fatalf("candidate %d: moment %d of %v", item, i, list)
					}
				}
				if len(list) > 0 && sum > 1+1e-5 {
					t.Errorf("candidate %d: weights sum to %v", item, sum)
				}
				again := s.ExplainState(st, last(h)).Moments(item, math.MaxInt)
				if len(again) != len(list) {
					t.Fatalf("candidate %d: %d moments from the state, %d from the network", item, len(again), len(list))
				}
				for i, moment := range again {
					if d := math.Abs(float64(moment.Weight - list[i].Weight)); d > 1e-5 {
						t.Fatalf("candidate %d: moment %d is %v from the state, %v from the network", item, i, moment, list[i])
					}
				}
			}
		})
	}
}

// TestSaveLoad checks that a saved model answers with the same bits.
func TestSaveLoad(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			m := make30(t, c, 7)
			var file bytes.Buffer
			if err := m.Save(&file); err != nil {
				t.Fatal(err)
			}
			again, err := lifelong.Load(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				t.Fatal(err)
			}
			h := randomHistory(50, 8)
			want, got := make([]float32, len(candidates)), make([]float32, len(candidates))
			m.NewScorer().Score(want, h, candidates, last(h))
			again.NewScorer().Score(got, h, candidates, last(h))
			if !slices.Equal(got, want) || again.Config() != m.Config() || !slices.Equal(again.Categories(), m.Categories()) {
				t.Errorf("scores %v, saved %v", got, want)
			}
		})
	}
}

// TestHostileTimes: times that are equal, reversed or ahead of the question, and
// no times at all, give finite scores.
func TestHostileTimes(t *testing.T) {
	for name, c := range members() {
		m := make30(t, c, 8)
		s := m.NewScorer()
		h := randomHistory(30, 4)
		flat, ahead := slices.Repeat([]int64{7}, 30), slices.Clone(h.Times)
		slices.Reverse(ahead)
		for what, times := range map[string][]int64{"equal": flat, "reversed": ahead, "none": nil, "extreme": slices.Repeat([]int64{math.MinInt64, math.MaxInt64}, 15)} {
			got := make([]float32, len(candidates))
			s.Score(got, lifelong.History{Items: h.Items, Times: times, Kinds: h.Kinds}, candidates, 1)
			for _, x := range got {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
					t.Fatalf("%s, times %s: scores %v", name, what, got)
				}
			}
		}
	}
}

// TestPaths holds the scores of every instruction set to each other.
func TestPaths(t *testing.T) {
	was := kernel.Features()
	defer kernel.SetPath(was)
	for name, c := range members() {
		m := make30(t, c, 9)
		h := randomHistory(60, 5)
		want := make([]float32, len(candidates))
		for i, path := range kernel.Paths() {
			if err := kernel.SetPath(path); err != nil {
				t.Fatal(err)
			}
			got := make([]float32, len(candidates))
			m.NewScorer().Score(got, h, candidates, last(h))
			if i == 0 {
				want = got
			}
			near(t, name+" on "+path, got, want, 1e-3)
		}
	}
}
