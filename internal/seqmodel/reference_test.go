package seqmodel

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/tensor"
)

var update = flag.Bool("update", false, "rewrite testdata from the float64 reference")

// refModel is SASRec over the scalar graph of autodiff_test.go.
type refModel struct {
	*graph
	c Config
	p map[string][][]*num // rows of each parameter
}

// refWeight is the weight at place i of parameter k: any smooth, varied
// sequence does.
func refWeight(p *tensor.Param, k, i int) float64 {
	w := 0.35 * math.Sin(1.7*float64(i)+0.9*float64(k)+0.3)
	if !p.Decay {
		w *= 0.3
		if filepath.Ext(p.Name) == ".gain" {
			w++
		}
	}
	return float64(float32(w))
}

func newRefModel(m Model) *refModel {
	r := &refModel{graph: &graph{}, c: m.Config(), p: map[string][][]*num{}}
	for k, p := range m.Params().List() {
		rows := make([][]*num, p.Val.Rows)
		for i := range rows {
			for j := range p.Val.Cols {
				rows[i] = append(rows[i], r.leaf(refWeight(p, k, i*p.Val.Cols+j)))
			}
		}
		r.p[p.Name] = rows
	}
	return r
}

func (r *refModel) lin(name string, x []*num) []*num {
	return r.linear(x, r.p[name+".weight"], r.p[name+".bias"][0])
}

func (r *refModel) ln(name string, x []*num) []*num {
	return r.layerNorm(x, r.p[name+".gain"][0], r.p[name+".bias"][0], float64(r.c.Epsilon))
}

func (r *refModel) each(x [][]*num, f func(x []*num) []*num) [][]*num {
	out := make([][]*num, len(x))
	for i := range x {
		out[i] = f(x[i])
	}
	return out
}

// attention from the rows of q to those of x, causal, head by head.
func (r *refModel) attention(name string, q, x [][]*num) [][]*num {
	qs := r.each(q, func(x []*num) []*num { return r.lin(name+"query", x) })
	ks := r.each(x, func(x []*num) []*num { return r.lin(name+"key", x) })
	vs := r.each(x, func(x []*num) []*num { return r.lin(name+"value", x) })
	dk, dv := r.c.KeyWidth/r.c.Heads, r.c.Width/r.c.Heads
	out := make([][]*num, len(q))
	for t := range q {
		for h := range r.c.Heads {
			var scores []*num
			for j := 0; j <= t; j++ {
				scores = append(scores, r.scale(r.dot(qs[t][h*dk:(h+1)*dk], ks[j][h*dk:(h+1)*dk]), 1/math.Sqrt(float64(dk))))
			}
			a := r.softmax(scores)
			for c := range dv {
				o := r.leaf(0)
				for j := range a {
					o = r.add(o, r.mul(a[j], vs[j][h*dv+c]))
				}
				out[t] = append(out[t], o)
			}
		}
		if r.c.OutputProjection {
			out[t] = r.lin(name+"output", out[t])
		}
	}
	return out
}

func (r *refModel) ffn(name string, x []*num) []*num {
	h := r.lin(name+"ffn.in", x)
	for i := range h {
		h[i] = r.activate(string(r.c.Activation), h[i])
	}
	return r.lin(name+"ffn.out", h)
}

// states of one history, straight from models' equations.
func (r *refModel) states(items []int32) [][]*num {
	var x [][]*num
	for i, item := range items {
		row := make([]*num, r.c.Width)
		for j := range row {
			row[j] = r.p["item"][item][j]
			if r.c.ScaleEmbedding {
				row[j] = r.scale(row[j], math.Sqrt(float64(r.c.Width)))
			}
		}
		switch r.c.Positions {
		case LearnedReverse:
			row = r.addVec(row, r.p["position"][len(items)-1-i])
		case LearnedForward:
			row = r.addVec(row, r.p["position"][i])
		}
		if r.c.Layout == PostLN {
			row = r.ln("input_norm", row)
		}
		x = append(x, row)
	}
	for b := range r.c.Blocks {
		x = r.block(fmt.Sprintf("block.%d.", b), x)
	}
	if r.c.Layout != PostLN {
		x = r.each(x, func(x []*num) []*num { return r.ln("final_norm", x) })
	}
	return x
}

func (r *refModel) block(name string, x [][]*num) [][]*num {
	norm1 := func(x []*num) []*num { return r.ln(name+"norm1", x) }
	norm2 := func(x []*num) []*num { return r.ln(name+"norm2", x) }
	out := make([][]*num, len(x))
	var a [][]*num
	n := r.each(x, norm1)
	switch r.c.Layout {
	case Original:
		a = r.attention(name+"attention.", n, x)
	case PreLN:
		a = r.attention(name+"attention.", n, n)
	case PostLN:
		a = r.attention(name+"attention.", x, x)
	}
	for t := range x {
		switch r.c.Layout {
		case Original:
			z := norm2(r.addVec(a[t], n[t]))
			out[t] = r.addVec(r.ffn(name, z), z)
		case PreLN:
			y := r.addVec(x[t], a[t])
			out[t] = r.addVec(y, r.ffn(name, norm2(y)))
		case PostLN:
			y := norm1(r.addVec(x[t], a[t]))
			out[t] = norm2(r.addVec(y, r.ffn(name, y)))
		}
	}
	return out
}

func (r *refModel) logits(state []*num) []*num {
	table := "item"
	if r.c.SeparateOutput {
		table = "output"
	}
	out := make([]*num, r.c.Items)
	for i := range out {
		out[i] = r.dot(state, r.p[table][i])
		if r.c.OutputBias {
			out[i] = r.add(out[i], r.p["output_bias"][0][i])
		}
	}
	return out
}

// refBatch has sequences of different lengths, one longer than no window, one
// with positions that carry no loss.
var refBatch = features.Batch{
	Items:   []int32{1, 4, 2, 6, 3, 0, 5, 5, 2, 1},
	Targets: []int32{4, 2, 6, 3, 0, 5, -1, 2, -1, 6},
	Offsets: []int32{0, 5, 7, 10},
}

// fixture is what testdata holds for one config.
type fixture struct {
	Config    Config               `json:"config"`
	Loss      float64              `json:"loss"`
	Logits    [][]float64          `json:"logits"` // of the newest state of each sequence
	Gradients map[string][]float64 `json:"gradients"`
}

// reference computes the fixture of a model: mean cross-entropy over targets.
func reference(m Model) fixture {
	r := newRefModel(m)
	f := fixture{Config: m.Config(), Gradients: map[string][]float64{}}
	var losses []*num
	for b := range len(refBatch.Offsets) - 1 {
		lo, hi := refBatch.Offsets[b], refBatch.Offsets[b+1]
		states := r.states(refBatch.Items[lo:hi])
		for t, s := range states {
			logits := r.logits(s)
			if p := refBatch.Targets[int(lo)+t]; p >= 0 {
				losses = append(losses, r.sub(r.logSumExp(logits), logits[p]))
			}
			if t == len(states)-1 {
				var row []float64
				for _, x := range logits {
					row = append(row, x.v)
				}
				f.Logits = append(f.Logits, row)
			}
		}
	}
	loss := r.scale(r.sum(losses), 1/float64(len(losses)))
	r.backward(loss)
	f.Loss = loss.v
	for name, rows := range r.p {
		for _, row := range rows {
			for _, x := range row {
				f.Gradients[name] = append(f.Gradients[name], x.g)
			}
		}
	}
	return f
}

// TestReference holds logits, loss and all gradients of every layout against
// the float64 reference, both stored and recomputed.
func TestReference(t *testing.T) {
	base := Config{Items: 7, Width: 4, Length: 5, Heads: 2, Epsilon: 1e-6}
	rows := map[string]func(c *Config){
		"original":        func(c *Config) { c.Layout, c.ScaleEmbedding, c.Heads = Original, true, 1 },
		"pre-ln":          func(c *Config) { c.Layout, c.OutputProjection, c.Activation, c.Hidden = PreLN, true, tensor.SiLU, 2 },
		"post-ln":         func(c *Config) { c.Layout, c.OutputProjection, c.Activation = PostLN, true, tensor.GELU },
		"forward-bias":    func(c *Config) { c.Positions, c.OutputBias, c.KeyWidth = LearnedForward, true, 6 },
		"separate-output": func(c *Config) { c.Positions, c.SeparateOutput = NoPositions, true },
	}
	for name, change := range rows {
		t.Run(name, func(t *testing.T) {
			c := base
			change(&c)
			m, err := New(c, 1)
			if err != nil {
				t.Fatal(err)
			}
			want := reference(m)
			stored := storedFixture(t, filepath.Join("testdata", "reference_"+name+".json"), want)
			compareFixtures(t, want, stored, 1e-9)
			setReferenceWeights(m)
			compareFixtures(t, measured(t, m), stored, 1e-5)
		})
	}
}

func setReferenceWeights(m Model) {
	for k, p := range m.Params().List() {
		for i := range p.Val.V {
			p.Val.V[i] = float32(refWeight(p, k, i))
		}
	}
}

// measured runs the product: Ranker.Score for the logits and one training step,
// stopped before the optimiser, for loss and gradients.
func measured(t *testing.T, m Model) fixture {
	t.Helper()
	f := fixture{Config: m.Config(), Gradients: map[string][]float64{}}
	var queries []features.Query
	for b := range len(refBatch.Offsets) - 1 {
		queries = append(queries, features.Query{History: refBatch.Items[refBatch.Offsets[b]:refBatch.Offsets[b+1]]})
	}
	scores := make([]float32, len(queries)*m.Items())
	m.NewRanker().Score(scores, queries)
	for b := range queries {
		f.Logits = append(f.Logits, widen(scores[b*m.Items():(b+1)*m.Items()]))
	}
	tr, err := NewTrainer(m, TrainConfig{Lanes: 2, Chunk: 4})
	if err != nil {
		t.Fatal(err)
	}
	f.Loss = tr.gradients(&refBatch)
	for _, p := range m.Params().List() {
		f.Gradients[p.Name] = widen(tr.grads[0].Of(p).V)
	}
	return f
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = float64(x[i])
	}
	return out
}

func storedFixture(t *testing.T, path string, want fixture) (f fixture) {
	t.Helper()
	if *update {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	readJSON(t, path, &f)
	return f
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func compareFixtures(t *testing.T, got, want fixture, tol float64) {
	t.Helper()
	if math.Abs(got.Loss-want.Loss) > tol {
		t.Errorf("loss %v, want %v", got.Loss, want.Loss)
	}
	for b := range want.Logits {
		compareFloats(t, fmt.Sprintf("logits of sequence %d", b), got.Logits[b], want.Logits[b], tol)
	}
	if len(got.Gradients) != len(want.Gradients) {
		t.Errorf("%d gradients, want %d", len(got.Gradients), len(want.Gradients))
	}
	for name := range want.Gradients {
		compareFloats(t, "gradient of "+name, got.Gradients[name], want.Gradients[name], tol)
	}
}

func compareFloats(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= tol*max(1, math.Abs(want[i]))) {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}
