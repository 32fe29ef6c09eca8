package lifelong_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
)

// byHand is DARE in plain float64 loops, from the parameters alone: the equations
// of dare.go and head.go (Feng et al. 2025, section 3), without kinds or gaps.
// Position tables have a row for each position.
type byHand struct {
	t          *testing.T
	m          *lifelong.Model
	categories []int32
}

func (b *byHand) at(name string, i, j int) float64 {
	p := param(b.t, b.m, name)
	return float64(p.Val.V[i*p.Val.Cols+j])
}

// vector is [item ; category ; position] of one set of tables.
func (b *byHand) vector(set string, width int, item int32, position int) (v []float64) {
	for _, row := range []struct {
		table string
		i     int
	}{{"item", int(item)}, {"category", int(b.categories[item])}, {"position", position}} {
		for j := range width {
			v = append(v, b.at(set+"."+row.table, row.i, j))
		}
	}
	return v
}

// weights are the search scores of all known events after softmax over the k
// largest, 0 for the rest; -1 marks an unknown event.
func (b *byHand) weights(h lifelong.History, target int32, k int) []float64 {
	c := b.m.Config()
	w, n := c.AttentionWidth, h.Len()
	q := b.vector("attend", w, target, 0)
	scores := make([]float64, n)
	var order []int
	for i, item := range h.Items {
		if item < 0 {
			scores[i] = -1
			continue
		}
		key := b.vector("attend", w, item, min(n-i, c.Length))
		semantic, temporal := 0.0, 0.0
		for j := range 2 * w {
			semantic += q[j] * key[j]
		}
		for j := 2 * w; j < 3*w; j++ {
			temporal += q[j] * key[j]
		}
		scores[i] = semantic/math.Sqrt(float64(2*w)) + temporal/math.Sqrt(float64(w))
		order = append(order, i)
	}
	slices.SortFunc(order, func(i, j int) int { return int(math.Copysign(1, scores[j]-scores[i])) })
	sum := 0.0
	for place, i := range order {
		if place >= k {
			scores[i] = 0
			continue
		}
		scores[i] = math.Exp(scores[i])
		sum += scores[i]
	}
	for _, i := range order {
		scores[i] /= max(sum, 1e-300)
	}
	return scores
}

// score is the log odds of the target.
func (b *byHand) score(h lifelong.History, target int32) float64 {
	c := b.m.Config()
	r := b.vector("represent", c.Width, target, 0)
	u := make([]float64, len(r))
	for i, w := range b.weights(h, target, c.Select) {
		if w <= 0 {
			continue
		}
		for j, x := range b.vector("represent", c.Width, h.Items[i], min(h.Len()-i, c.Length)) {
			u[j] += w * x
		}
	}
	z := slices.Concat(r, u)
	for j := range r {
		z = append(z, u[j]*r[j])
	}
	for j := range z {
		z[j] = (z[j]-b.at("main.running.mean", 0, j))/math.Sqrt(b.at("main.running.variance", 0, j)+float64(c.Epsilon))*b.at("main.norm.gain", 0, j) + b.at("main.norm.bias", 0, j)
	}
	for layer, n := range c.Hidden {
		y := make([]float64, n)
		for j := range y {
			y[j] = b.at(fmt.Sprintf("main.%d.bias", layer), 0, j)
			for i, x := range z {
				y[j] += x * b.at(fmt.Sprintf("main.%d.weight", layer), i, j)
			}
			if y[j] < 0 {
				y[j] *= b.at(fmt.Sprintf("main.%d.slope", layer), 0, 0)
			}
		}
		z = y
	}
	odds := b.at("main.out.bias", 0, 1) - b.at("main.out.bias", 0, 0)
	for j, x := range z {
		odds += x * (b.at("main.out.weight", 1, j) - b.at("main.out.weight", 0, j))
	}
	return odds
}

// TestDAREByHand holds the network and the memory of a state to the equations,
// and with K = N the attention to softmax over the whole history.
func TestDAREByHand(t *testing.T) {
	for _, k := range []int{5, 1, 1000} {
		c := members()["dare, narrow search"]
		c.Select = k
		m := make30(t, c, 11)
		for _, name := range []string{"main.running.mean", "main.norm.bias", "main.0.bias", "main.out.bias"} { // fresh ones are 0
			for i, v := 0, param(t, m, name).Val.V; i < len(v); i++ {
				v[i] = float32(i%5) * 0.1
			}
		}
		hand, s := &byHand{t, m, m.Categories()}, m.NewScorer()
		for _, n := range []int{0, 1, 17, 70} {
			h := randomHistory(n, uint64(n))
			h.Kinds = nil
			st := m.NewState()
			st.Append(h)
			network, state := make([]float32, len(candidates)), make([]float32, len(candidates))
			s.Score(network, h, candidates, last(h))
			s.ScoreState(state, st, candidates, last(h))
			want := make([]float32, len(candidates))
			for i, target := range candidates {
				want[i] = float32(hand.score(h, target))
				weights := hand.weights(h, target, k)
				for _, moment := range s.Explain(h, target, last(h)) {
					if d := math.Abs(float64(moment.Weight) - weights[moment.Event]); d > 1e-5 {
						t.Fatalf("k=%d, %d events: event %d has weight %v, want %v", k, n, moment.Event, moment.Weight, weights[moment.Event])
					}
				}
			}
			near(t, fmt.Sprintf("k=%d, %d events, network", k, n), network, want, 1e-4)
			near(t, fmt.Sprintf("k=%d, %d events, state", k, n), state, want, 1e-4)
		}
	}
}
