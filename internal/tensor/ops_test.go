package tensor_test

import (
	"math"
	"testing"

	"seqrec/internal/tensor"
	"seqrec/internal/tensor/tensortest"
)

var cpu = tensor.CPU{}

// TestGradients holds every operation's backward against finite differences.
func TestGradients(t *testing.T) {
	idx := cpu.Index([]int32{2, 0, 2, 4, 1})
	offsets := cpu.Index([]int32{0, 3, 3, 5})
	newest := cpu.Index([]int32{0, 1, 1, 2})
	rows := []struct {
		name   string
		shapes [][2]int // of parameters a, b, c, ...
		run    func(t *tensor.Tape, p []*tensor.Param) *tensor.Var
	}{
		{"linear", [][2]int{{6, 3}, {3, 4}, {1, 4}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			return t.Linear(t.Gather(p[0], idx, 1), p[1], p[2])
		}},
		{"linear without bias", [][2]int{{6, 3}, {3, 4}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			return t.Linear(t.Gather(p[0], idx, 1), p[1], nil)
		}},
		{"scaled gather", [][2]int{{6, 3}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			return t.Gather(p[0], idx, 2.5)
		}},
		{"rows", [][2]int{{6, 3}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			return t.Rows(t.Gather(p[0], idx, 1), cpu.Index([]int32{4, 1, 1}))
		}},
		{"add, and a value used twice", [][2]int{{6, 3}, {6, 3}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			a, b := t.Gather(p[0], idx, 1), t.Gather(p[1], idx, 1)
			return t.Add(t.Add(a, b), a)
		}},
		{"mul, and a square", [][2]int{{6, 3}, {6, 3}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			a, b := t.Gather(p[0], idx, 1), t.Gather(p[1], idx, 1)
			return t.Add(t.Mul(a, b), t.Mul(a, a))
		}},
		{"layer norm", [][2]int{{6, 5}, {1, 5}, {1, 5}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			return t.LayerNorm(t.Gather(p[0], idx, 1), p[1], p[2], 1e-5)
		}},
		{"gelu", [][2]int{{6, 3}}, activation(tensor.GELU, idx)},
		{"silu", [][2]int{{6, 3}}, activation(tensor.SiLU, idx)},
		{"sigmoid", [][2]int{{6, 3}}, activation(tensor.Sigmoid, idx)},
		{"relu", [][2]int{{6, 3}}, activation(tensor.ReLU, idx)},
		{"attend causal", [][2]int{{6, 4}, {6, 4}, {6, 6}}, attend(idx, tensor.AttendArgs{
			QOffsets: offsets, KOffsets: offsets, Heads: 2, Causal: true, Scale: 0.7})},
		{"attend both ways", [][2]int{{6, 4}, {6, 4}, {6, 6}}, attend(idx, tensor.AttendArgs{
			QOffsets: offsets, KOffsets: offsets, Heads: 2, Scale: 0.7})},
		{"attend from the newest rows", [][2]int{{6, 4}, {6, 4}, {6, 4}}, func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
			k := t.Gather(p[1], idx, 1)
			q := t.Rows(t.Gather(p[0], idx, 1), cpu.Index([]int32{2, 4}))
			return t.Attend(q, k, t.Gather(p[2], idx, 1), tensor.AttendArgs{
				QOffsets: newest, KOffsets: offsets, Heads: 1, Causal: true, Scale: 1}, 0)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := tensor.NewParams(cpu)
			var list []*tensor.Param
			for i, s := range row.shapes {
				list = append(list, p.Add(string(rune('a'+i)), s[0], s[1], true))
			}
			p.Alloc()
			tensortest.Fill(p, 3, 0.8)
			tensortest.Gradients(t, p, func(tape *tensor.Tape) float64 {
				return tensortest.Weigh(tape, row.run(tape, list), 5)
			})
		})
	}
}

func activation(f tensor.Activation, idx tensor.Index) func(*tensor.Tape, []*tensor.Param) *tensor.Var {
	return func(t *tensor.Tape, p []*tensor.Param) *tensor.Var { return t.Activate(f, t.Gather(p[0], idx, 1)) }
}

func attend(idx tensor.Index, a tensor.AttendArgs) func(*tensor.Tape, []*tensor.Param) *tensor.Var {
	return func(t *tensor.Tape, p []*tensor.Param) *tensor.Var {
		return t.Attend(t.Gather(p[0], idx, 1), t.Gather(p[1], idx, 1), t.Gather(p[2], idx, 1), a, 0)
	}
}

// TestDropoutGradients fixes the mask: the backward must regenerate the very
// one that the forward used, in plain dropout and inside attention.
func TestDropoutGradients(t *testing.T) {
	idx := cpu.Index([]int32{2, 0, 2, 4, 1})
	offsets := cpu.Index([]int32{0, 3, 5})
	const p = 0.4
	params := tensor.NewParams(cpu)
	a := params.Add("a", 6, 4, true)
	params.Alloc()
	tensortest.Fill(params, 3, 0.8)
	runs := map[string]func(tape *tensor.Tape, x *tensor.Var) *tensor.Var{
		"dropout": func(tape *tensor.Tape, x *tensor.Var) *tensor.Var { return tape.Dropout(tape.Mul(x, x), p) },
		"attention": func(tape *tensor.Tape, x *tensor.Var) *tensor.Var {
			return tape.Attend(x, x, x, tensor.AttendArgs{QOffsets: offsets, KOffsets: offsets, Heads: 2, Causal: true, Scale: 1}, p)
		},
	}
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			grads := tensor.NewGradients(params)
			loss := func() float64 {
				tape := tensor.NewLearningTape(cpu, grads)
				tape.Reset(42)
				return tensortest.Weigh(tape, run(tape, tape.Gather(a, idx, 1)), 5)
			}
			tape := tensor.NewLearningTape(cpu, grads)
			tape.Reset(42)
			tensortest.Weigh(tape, run(tape, tape.Gather(a, idx, 1)), 5)
			tape.Backward()
			for i := range a.Val.V {
				was := a.Val.V[i]
				a.Val.V[i] = was + 1.0/256
				up := loss()
				a.Val.V[i] = was - 1.0/256
				down := loss()
				a.Val.V[i] = was
				want := (up - down) * 128
				if got := float64(grads.Of(a).V[i]); math.Abs(got-want) > 4e-3+2e-2*math.Abs(want) {
					t.Errorf("a[%d]: gradient %v, finite difference %v", i, got, want)
				}
			}
		})
	}
}

// TestInferenceAllocatesNothing holds a tape that does not learn to its word.
func TestInferenceAllocatesNothing(t *testing.T) {
	if tensortest.RaceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	p := tensor.NewParams(cpu)
	table, w, b := p.Add("table", 9, 16, true), p.Add("w", 16, 16, true), p.Add("b", 1, 16, false)
	p.Alloc()
	tensortest.Fill(p, 1, 1)
	idx, offsets := cpu.Index([]int32{1, 2, 3, 4, 5, 6, 7, 8}), cpu.Index([]int32{0, 5, 8})
	tape := tensor.NewTape(cpu)
	run := func() {
		tape.Reset(0)
		x := tape.Gather(table, idx, 1)
		x = tape.Dropout(tape.LayerNorm(x, b, b, 1e-8), 0.5)
		x = tape.Attend(x, x, x, tensor.AttendArgs{QOffsets: offsets, KOffsets: offsets, Heads: 2, Causal: true, Scale: 1}, 0.5)
		tape.Add(x, tape.Activate(tensor.ReLU, tape.Linear(x, w, b)))
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a pass, want none", n)
	}
}
