package tensor_test

import (
	"math"
	"slices"
	"testing"

	"seqrec/internal/tensor"
	"seqrec/internal/tensor/tensortest"
)

// The sequences of these tests have several queries, none, no keys, and one key.
var (
	targetQ = []int32{0, 3, 3, 5, 6}
	targetK = []int32{0, 5, 9, 9, 10}
)

// TestTargetGradients holds every operation of target-aware models to finite
// differences.
func TestTargetGradients(t *testing.T) {
	for name, c := range map[string]func(*tensor.Tape, *targetParams) *tensor.Var{
		"lookup of two tables, one scaled": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			return t.Lookup(tensor.Part{Table: p.a, Rows: p.index(0, 2, 2), Scale: 1}, tensor.Part{Table: p.b, Rows: p.index(1, 1, 0), Scale: 0.5})
		},
		"concat and columns": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			q, k := p.queries(t), t.Rows(p.keys(t), p.index(0, 1, 2, 3, 4, 5))
			return t.Columns(t.Concat(q, k, q), 2, 9)
		},
		"batch norm": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			y, _ := t.BatchNorm(p.queries(t), p.gain, p.bias, 1e-3)
			return y
		},
		"prelu": func(t *tensor.Tape, p *targetParams) *tensor.Var { return t.PReLU(p.queries(t), p.slope) },
		"pair scores": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			return t.PairScores(p.queries(t), p.keys(t), tensor.Mat{}, p.index(targetQ...), p.index(targetK...), 0.7)
		},
		"pair unit": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			w := tensor.PairUnit{Product: p.product, Key: p.key, Slope: p.slope, Out: p.out}
			q := p.queries(t)
			return t.PairUnit(q, p.keys(t), t.Linear(q, p.product, nil), w, p.index(targetQ...), p.index(targetK...), 0.7)
		},
		"aggregate": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			s := t.PairScores(p.queries(t), p.keys(t), tensor.Mat{}, p.index(targetQ...), p.index(targetK...), 0.7)
			out, _ := t.Aggregate(s, p.keys(t), p.index(targetQ...), p.index(targetK...))
			return out
		},
		"collide": func(t *tensor.Tape, p *targetParams) *tensor.Var {
			signs := func(rows int) tensor.Mat { // fixed: a sign has no slope
				m := t.Scratch(rows, 4)
				host := make([]float32, rows*4)
				for i := range host {
					host[i] = float32(1 - 2*(i*7%5%2))
				}
				t.Device().Upload(m, host)
				return m
			}
			return t.Collide(p.keys(t), tensor.CollideArgs{QSigns: signs(6), KSigns: signs(10), QOffsets: p.index(targetQ...), KOffsets: p.index(targetK...), Tau: 2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTargetParams()
			tensortest.Gradients(t, p.list, func(tape *tensor.Tape) float64 {
				return tensortest.Weigh(tape, c(tape, p), 3)
			}, p.names()...)
		})
	}
}

// TestPairUnitAllocatesNothing holds the largest operation of serving to it.
func TestPairUnitAllocatesNothing(t *testing.T) {
	p := newTargetParams()
	tape := tensor.NewTape(p.list.Device())
	w := tensor.PairUnit{Product: p.product, Key: p.key, Slope: p.slope, Out: p.out}
	qo, ko := p.index(targetQ...), p.index(targetK...)
	queries, keys := p.index(7, 1, 4, 0, 9, 2), p.index(3, 8, 1, 1, 5, 6, 2, 0, 4, 9)
	run := func() {
		tape.Reset(0)
		q := tape.Gather(p.a, queries, 1)
		tape.PairUnit(q, tape.Gather(p.a, keys, 1), tape.Linear(q, p.product, nil), w, qo, ko, 1)
	}
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a pass, want none", n)
	}
}

// targetParams are tables to look up, and what the norms need.
type targetParams struct {
	list                    *tensor.Params
	a, b, gain, bias, slope *tensor.Param
	product, key, out       *tensor.Param // of the pair unit
}

func newTargetParams() *targetParams {
	p := &targetParams{list: tensor.NewParams(tensor.CPU{})}
	p.a, p.b = p.list.Add("a", 10, 5, true), p.list.Add("b", 3, 2, true)
	p.gain, p.bias, p.slope = p.list.Add("gain", 1, 5, false), p.list.Add("bias", 1, 5, false), p.list.Add("slope", 1, 1, false)
	p.product, p.key, p.out = p.list.Add("product", 5, 4, true), p.list.Add("key", 5, 4, true), p.list.Add("out", 4, 1, true)
	p.list.Alloc()
	tensortest.Fill(p.list, 5, 0.8)
	return p
}

// names is every parameter: which of them an operation reaches is its own
// business here, a wrong gradient of zero differs from the finite difference.
func (p *targetParams) names() (names []string) {
	for _, q := range p.list.List() {
		names = append(names, q.Name)
	}
	return names
}

func (p *targetParams) index(rows ...int32) tensor.Index { return p.list.Device().Index(rows) }

func (p *targetParams) queries(t *tensor.Tape) *tensor.Var {
	return t.Gather(p.a, p.index(7, 1, 4, 0, 9, 2), 1)
}

func (p *targetParams) keys(t *tensor.Tape) *tensor.Var {
	return t.Gather(p.a, p.index(3, 8, 1, 1, 5, 6, 2, 0, 4, 9), 0.9)
}

// TestSelectPairs checks the choice, its ties, its order and its gaps.
func TestSelectPairs(t *testing.T) {
	dev := tensor.CPU{}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	scores := []float32{
		5, 1, 5, 5, 0, // query 0: three equal
		nan, 2, nan, inf, 1, // query 1: only numbers count
		-1, -2, -3, -4, -5, // query 2
		7, // query 5, of one key
	}
	var sel tensor.Selection
	tape := tensor.NewTape(dev)
	s := tape.Const(len(scores), 1, scores)
	for _, c := range []struct {
		k                    int
		pairs, keys, offsets []int32
	}{
		{2, []int32{2, 3, 6, 9, 10, 11, 15}, []int32{2, 3, 1, 4, 0, 1, 9}, []int32{0, 2, 4, 6, 6, 6, 7}},
		{0, []int32{}, []int32{}, []int32{0, 0, 0, 0, 0, 0, 0}},
		{9, []int32{0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15}, []int32{0, 1, 2, 3, 4, 1, 3, 4, 0, 1, 2, 3, 4, 9}, []int32{0, 5, 8, 13, 13, 13, 14}},
	} {
		tape.SelectPairs(&sel, s.Mat, dev.Index(targetQ), dev.Index(targetK), c.k)
		if !slices.Equal(sel.Pairs, c.pairs) || !slices.Equal(sel.Keys, c.keys) || !slices.Equal(sel.Offsets, c.offsets) {
			t.Errorf("k=%d: pairs %v keys %v offsets %v\nwant %v %v %v", c.k, sel.Pairs, sel.Keys, sel.Offsets, c.pairs, c.keys, c.offsets)
		}
	}
}

// TestAggregateIsAttention holds pair scores and aggregation to the attention
// verb that has its own conformance suite.
func TestAggregateIsAttention(t *testing.T) {
	p := newTargetParams()
	tape := tensor.NewTape(p.list.Device())
	q, k := p.queries(tape), p.keys(tape)
	qo, ko := p.index(targetQ...), p.index(targetK...)
	got, _ := tape.Aggregate(tape.PairScores(q, k, tensor.Mat{}, qo, ko, 0.6), k, qo, ko)
	want := tape.Attend(q, k, k, tensor.AttendArgs{QOffsets: qo, KOffsets: ko, Heads: 1, Scale: 0.6}, 0)
	for i := range want.V {
		if d := math.Abs(float64(got.V[i] - want.V[i])); d > 1e-6 {
			t.Fatalf("element %d is %v, attention gives %v", i, got.V[i], want.V[i])
		}
	}
}
