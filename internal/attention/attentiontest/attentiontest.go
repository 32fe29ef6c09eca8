// Package attentiontest is the conformance suite of attention variants: the
// laws of attention.Attention, run on any of them by one row in a table.
package attentiontest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"seqrec/internal/attention"
	"seqrec/internal/tensor"
	"seqrec/internal/tensor/tensortest"
)

// Case is one variant under test.
type Case struct {
	Name   string
	Heads  int
	Dk, Dv int // widths of one head
	Causal bool
	Make   func() attention.Attention
}

var dev = tensor.CPU{}

// Run holds a variant to every law.
func Run(t *testing.T, c Case) {
	t.Run(c.Name, func(t *testing.T) {
		t.Run("packed equals single", c.packedEqualsSingle)
		t.Run("newest rows equal all rows", c.newestRows)
		t.Run("looks the right way", c.direction)
		t.Run("no key gives zeros", c.noKeys)
		t.Run("gradients", c.gradients)
		t.Run("serving allocates nothing", c.allocations)
	})
}

// values are queries, keys and values of rows tokens.
type values struct{ q, k, v []float32 }

func (c Case) random(seed uint64, rows int) values {
	rng := rand.New(rand.NewPCG(seed, 1))
	fill := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	return values{fill(rows * c.Heads * c.Dk), fill(rows * c.Heads * c.Dk), fill(rows * c.Heads * c.Dv)}
}

// attend runs the variant on query rows q0.. of x.
func (c Case) attend(x values, q []float32, qOffsets, kOffsets []int32) []float32 {
	t := tensor.NewTape(dev)
	wk, wv := c.Heads*c.Dk, c.Heads*c.Dv
	y := c.Make().Attend(t, t.Const(len(q)/wk, wk, q), t.Const(len(x.k)/wk, wk, x.k), t.Const(len(x.v)/wv, wv, x.v),
		dev.Index(qOffsets), dev.Index(kOffsets))
	out := make([]float32, y.Len())
	dev.Download(out, y.Mat)
	return out
}

// lengths of sequences: empty, single, block edges of the implementation and
// beyond.
var lengths = []int{0, 1, 2, 5, 31, 32, 33, 64, 65, 200}

func offsetsOf(lengths []int) []int32 {
	out := []int32{0}
	for _, n := range lengths {
		out = append(out, out[len(out)-1]+int32(n))
	}
	return out
}

func (c Case) packedEqualsSingle(t *testing.T) {
	offsets := offsetsOf(lengths)
	x := c.random(1, int(offsets[len(offsets)-1]))
	all := c.attend(x, x.q, offsets, offsets)
	wk, wv := c.Heads*c.Dk, c.Heads*c.Dv
	for b, n := range lengths {
		lo, hi := int(offsets[b]), int(offsets[b+1])
		one := c.attend(values{x.q[lo*wk : hi*wk], x.k[lo*wk : hi*wk], x.v[lo*wv : hi*wv]}, x.q[lo*wk:hi*wk], []int32{0, int32(n)}, []int32{0, int32(n)})
		near(t, fmt.Sprintf("length %d", n), one, all[lo*wv:hi*wv])
	}
}

func (c Case) newestRows(t *testing.T) {
	wk, wv := c.Heads*c.Dk, c.Heads*c.Dv
	for _, n := range lengths[1:] {
		x := c.random(2, n)
		all := c.attend(x, x.q, []int32{0, int32(n)}, []int32{0, int32(n)})
		for _, rows := range []int{1, n/2 + 1} {
			got := c.attend(x, x.q[(n-rows)*wk:], []int32{0, int32(rows)}, []int32{0, int32(n)})
			near(t, fmt.Sprintf("last %d of %d", rows, n), got, all[(n-rows)*wv:])
		}
	}
}

// direction changes the newest token and looks at the rows before it.
func (c Case) direction(t *testing.T) {
	const n = 40
	wk, wv := c.Heads*c.Dk, c.Heads*c.Dv
	x := c.random(3, n)
	before := c.attend(x, x.q, []int32{0, n}, []int32{0, n})
	for i := range wk {
		x.k[(n-1)*wk+i] += 3
	}
	for i := range wv {
		x.v[(n-1)*wv+i] -= 2
	}
	after := c.attend(x, x.q, []int32{0, n}, []int32{0, n})
	changed := false
	for i := range (n - 1) * wv {
		changed = changed || before[i] != after[i]
	}
	if changed == c.Causal {
		t.Errorf("earlier rows changed with the newest token: %v, causal: %v", changed, c.Causal)
	}
}

func (c Case) noKeys(t *testing.T) {
	x := c.random(4, 3)
	got := c.attend(values{k: nil, v: nil}, x.q, []int32{0, 3}, []int32{0, 0})
	for i, y := range got {
		if y != 0 {
			t.Fatalf("element %d of a query without keys is %v", i, y)
		}
	}
	// Two queries more than keys: a causal variant's first two see nothing.
	wk, wv := c.Heads*c.Dk, c.Heads*c.Dv
	got = c.attend(values{k: x.k[:wk], v: x.v[:wv]}, x.q, []int32{0, 3}, []int32{0, 1})
	for i, y := range got {
		if zero := c.Causal && i < 2*wv; math.IsNaN(float64(y)) || (zero && y != 0) {
			t.Fatalf("element %d is %v", i, y)
		}
	}
}

func (c Case) gradients(t *testing.T) {
	offsets := dev.Index([]int32{0, 4, 4, 5, 8})
	p := tensor.NewParams(dev)
	q, k := p.Add("q", 8, c.Heads*c.Dk, true), p.Add("k", 8, c.Heads*c.Dk, true)
	v := p.Add("v", 8, c.Heads*c.Dv, true)
	p.Alloc()
	tensortest.Fill(p, 5, 0.7)
	all := dev.Index([]int32{0, 1, 2, 3, 4, 5, 6, 7})
	tensortest.Gradients(t, p, func(tape *tensor.Tape) float64 {
		y := c.Make().Attend(tape, tape.Gather(q, all, 1), tape.Gather(k, all, 1), tape.Gather(v, all, 1), offsets, offsets)
		return tensortest.Weigh(tape, y, 6)
	})
}

// allocations holds a tape that does not learn to its word after one pass.
func (c Case) allocations(t *testing.T) {
	x := c.random(6, 40)
	a := c.Make()
	qOffsets, kOffsets := dev.Index([]int32{0, 1, 2}), dev.Index([]int32{0, 35, 40})
	wk, wv := c.Heads*c.Dk, c.Heads*c.Dv
	tape := tensor.NewTape(dev)
	run := func() {
		tape.Reset(0)
		a.Attend(tape, tape.Const(2, wk, x.q[:2*wk]), tape.Const(40, wk, x.k), tape.Const(40, wv, x.v), qOffsets, kOffsets)
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a pass, want none", n)
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d floats, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
