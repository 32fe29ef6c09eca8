package lifelong_test

import (
	"math"
	"slices"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
)

// TestExplainerIsUsedAgain: one explainer tells of each candidate what one made for
// it alone does, and a few moments are the first of all.
func TestExplainerIsUsedAgain(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			m := make30(t, c, 6)
			s, other := m.NewScorer(), m.NewScorer()
			for _, n := range []int{0, 1, 35, 400} {
				h := randomHistory(n, 3)
				st := m.NewState()
				st.Append(h)
				e := s.ExplainState(st, last(h))
				for _, item := range candidates {
					all := other.ExplainState(st, last(h)).Moments(item, math.MaxInt)
					for _, most := range []int{0, 1, 3, 10, 64, 65, 1000} {
						if got, want := e.Moments(item, most), all[:min(most, len(all))]; !slices.Equal(got, want) {
							t.Fatalf("%d events, candidate %d, at most %d: %v, want %v", n, item, most, got, want)
						}
					}
				}
			}
		})
	}
}

// TestExplainIsOfItsState: what a scorer did before changes nothing of an explanation.
func TestExplainIsOfItsState(t *testing.T) {
	for name, c := range members() {
		t.Run(name, func(t *testing.T) {
			m := make30(t, c, 6)
			s, h := m.NewScorer(), randomHistory(60, 3)
			st, other := m.NewState(), m.NewState()
			st.Append(lifelong.History{Items: h.Items[:40], Times: h.Times[:40], Kinds: h.Kinds[:40]})
			other.Append(randomHistory(40, 9))
			dst, at := make([]float32, len(candidates)), last(h)
			for what, before := range map[string]func(){
				"the same":       func() { s.ScoreState(dst, st, candidates, at) },
				"another state":  func() { s.ScoreState(dst, other, candidates, at) },
				"another moment": func() { s.ScoreState(dst, st, candidates, at+1e9) },
				"no candidates":  func() { s.ScoreState(nil, other, nil, at) },
				"no state":       func() { s.ScoreState(dst, st, candidates, at); s.Score(dst, randomHistory(40, 9), candidates, at) },
				"explanations":   func() { s.ScoreState(dst, st, candidates, at); s.ExplainState(other, at).Moments(3, 5) },
				"examples": func() {
					s.ScoreState(dst, st, candidates, at)
					s.ScoreExamples(dst, []lifelong.Example{{History: randomHistory(9, 9), Candidates: candidates, At: at}})
				},
			} {
				before()
				want := m.NewScorer().ExplainState(st, at).Moments(8, 10)
				if got := s.ExplainState(st, at).Moments(8, 10); !slices.Equal(got, want) {
					t.Errorf("after %s: %v, want %v", what, got, want)
				}
			}
			s.ScoreState(dst, st, candidates, at)
			st.Append(lifelong.History{Items: h.Items[40:], Times: h.Times[40:], Kinds: h.Kinds[40:]})
			want := m.NewScorer().ExplainState(st, at).Moments(8, 10)
			if got := s.ExplainState(st, at).Moments(8, 10); !slices.Equal(got, want) {
				t.Errorf("after more events: %v, want %v", got, want)
			}
		})
	}
}

// TestCollisionsEqualNetwork: what sdim explains from hashes of distinct items is
// what the network that was trained compares event by event.
func TestCollisionsEqualNetwork(t *testing.T) {
	for name, c := range members() {
		if c.Model != "sdim" {
			continue
		}
		for _, bits := range []int{3, 12, 96} { // one group; a word; more than a word, with a group across two
			c.Bits = bits
			m := make30(t, c, 7)
			s, h := m.NewScorer(), randomHistory(500, 4)
			st := m.NewState()
			st.Append(h)
			for _, item := range candidates {
				want, got := s.Explain(h, item, last(h)), s.ExplainState(st, last(h)).Moments(item, math.MaxInt)
				if len(want) == 0 || !slices.Equal(got, want) {
					t.Fatalf("%s, %d bits, candidate %d: %v, want %v", name, bits, item, got, want)
				}
			}
		}
	}
}

// BenchmarkExplain is ten items explained after one history of 20,000 events, with
// the ten heaviest moments each.
func BenchmarkExplain(b *testing.B) {
	for _, kind := range []string{"dare", "eta", "sdim", "twin-v2"} {
		b.Run(kind, func(b *testing.B) {
			m := make30(b, lifelong.Config{Model: kind, Items: 3706, Categories: 19}, 1)
			h := longHistory(20_000, 3706, 1)
			st, s := m.NewState(), m.NewScorer()
			st.Append(h)
			for b.Loop() {
				e := s.ExplainState(st, 0)
				for item := range int32(10) {
					e.Moments(item, 10)
				}
			}
		})
	}
}

// TestRemembers: which members have something to keep of a history.
func TestRemembers(t *testing.T) {
	for name, c := range members() {
		want := !c.Projections && slices.Contains([]string{"dare", "twin", "eta", "sdim"}, c.Model)
		if got := make30(t, c, 1).NewState().Remembers(); got != want {
			t.Errorf("%s remembers: %v", name, got)
		}
	}
}
