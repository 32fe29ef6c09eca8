// Package devicetest is the conformance suite of tensor.Device: every verb
// against plain float64 loops, so that a second device joins by one line.
package devicetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
)

// Run holds every verb of dev to its definition.
func Run(t *testing.T, dev tensor.Device) {
	s := &suite{dev: dev, rng: rand.New(rand.NewPCG(1, 2))}
	t.Run("memory", s.memory)
	t.Run("gemm", s.gemm)
	t.Run("element-wise", s.elementWise)
	t.Run("rows", s.rows)
	t.Run("gather and scatter", s.gather)
	t.Run("activations", s.activations)
	t.Run("layer norm", s.layerNorm)
	t.Run("dropout", s.dropout)
	t.Run("attend", s.attend)
	t.Run("attend backward", s.attendBackward)
	t.Run("attend with dropout", s.attendDropout)
	t.Run("cross-entropy", s.crossEntropy)
	t.Run("sampled cross-entropy", s.sampled)
	t.Run("binary cross-entropy", s.binary)
	t.Run("adamw", s.adamw)
	t.Run("top-k", s.topK)
}

type suite struct {
	dev tensor.Device
	rng *rand.Rand
}

// host is a float64 matrix beside its copy on the device.
type host struct {
	rows, cols int
	v          []float64
	on         tensor.Mat
}

func (h *host) at(i, j int) float64 { return h.v[i*h.cols+j] }

func (s *suite) random(rows, cols int) *host { return s.make(rows, cols, s.rng.NormFloat64) }

func (s *suite) zero(rows, cols int) *host { return s.make(rows, cols, func() float64 { return 0 }) }

func (s *suite) make(rows, cols int, next func() float64) *host {
	h := &host{rows: rows, cols: cols, v: make([]float64, rows*cols)}
	up := make([]float32, len(h.v))
	for i := range up {
		up[i] = float32(next())
		h.v[i] = float64(up[i])
	}
	h.on = s.dev.Alloc(rows*cols).Mat(0, rows, cols)
	s.dev.Upload(h.on, up)
	return h
}

// check compares what the device holds with the float64 twin.
func (s *suite) check(t *testing.T, what string, h *host) {
	t.Helper()
	got := make([]float32, len(h.v))
	s.dev.Download(got, h.on)
	for i := range got {
		if d := math.Abs(float64(got[i]) - h.v[i]); !(d <= 2e-5+1e-4*math.Abs(h.v[i])) {
			t.Errorf("%s: element %d (row %d) is %v, want %v", what, i, i/max(h.cols, 1), got[i], h.v[i])
			return
		}
	}
}

func (s *suite) memory(t *testing.T) {
	a, b := s.random(3, 5), s.random(3, 5)
	s.check(t, "upload", a)
	s.dev.Copy(b.on, a.on)
	b.v = a.v
	s.check(t, "copy", b)
	part := &host{rows: 2, cols: 5, v: a.v[5:], on: a.on.Slice(1, 3)}
	s.check(t, "slice", part)
	s.dev.Zero(part.on)
	clear(a.v[5:])
	s.check(t, "zero of a slice", a)
}

func (s *suite) gemm(t *testing.T) {
	for _, c := range []struct{ m, n, k int }{{1, 1, 1}, {1, 64, 64}, {7, 5, 3}, {33, 65, 17}, {200, 64, 64}, {3, 300, 2}} {
		for _, flags := range []struct{ ta, tb, acc bool }{{}, {acc: true}, {ta: true}, {ta: true, acc: true}, {tb: true}, {tb: true, acc: true}} {
			a, b, dst := s.random(c.m, c.k), s.random(c.k, c.n), s.random(c.m, c.n)
			pick := func(h *host, i, j int, turned bool) float64 {
				if turned {
					return h.at(j, i)
				}
				return h.at(i, j)
			}
			if flags.ta {
				a = s.random(c.k, c.m)
			}
			if flags.tb {
				b = s.random(c.n, c.k)
			}
			s.dev.Gemm(dst.on, a.on, flags.ta, b.on, flags.tb, flags.acc)
			for i := range c.m {
				for j := range c.n {
					var sum float64
					for l := range c.k {
						sum += pick(a, i, l, flags.ta) * pick(b, l, j, flags.tb)
					}
					if flags.acc {
						sum += dst.at(i, j)
					}
					dst.v[i*c.n+j] = sum
				}
			}
			s.check(t, fmt.Sprintf("%+v %+v", c, flags), dst)
		}
	}
}

func (s *suite) elementWise(t *testing.T) {
	a, b, dst := s.random(7, 13), s.random(7, 13), s.random(7, 13)
	s.dev.Axpy(dst.on, 0.5, a.on)
	dst.each(func(i int) float64 { return dst.v[i] + 0.5*a.v[i] })
	s.check(t, "axpy", dst)
	s.dev.Mul(dst.on, a.on, b.on, true)
	dst.each(func(i int) float64 { return dst.v[i] + a.v[i]*b.v[i] })
	s.check(t, "mul adding", dst)
	s.dev.Mul(dst.on, a.on, b.on, false)
	dst.each(func(i int) float64 { return a.v[i] * b.v[i] })
	s.check(t, "mul", dst)
	s.dev.Scale(dst.on, -2, dst.on)
	dst.each(func(i int) float64 { return -2 * dst.v[i] })
	s.check(t, "scale in place", dst)
	var want float64
	for _, x := range dst.v {
		want += x * x
	}
	if got := s.dev.SquareSum(dst.on); math.Abs(got-want) > 1e-4*want {
		t.Errorf("square sum %v, want %v", got, want)
	}
}

func (h *host) each(f func(i int) float64) {
	for i := range h.v {
		h.v[i] = f(i)
	}
}

func (s *suite) rows(t *testing.T) {
	x, bias, sum := s.random(9, 21), s.random(1, 21), s.random(1, 21)
	s.dev.AddBias(x.on, bias.on)
	x.each(func(i int) float64 { return x.v[i] + bias.v[i%21] })
	s.check(t, "add bias", x)
	s.dev.SumRows(sum.on, x.on)
	for i, v := range x.v {
		sum.v[i%21] += v
	}
	s.check(t, "sum rows", sum)
}

func (s *suite) gather(t *testing.T) {
	idx := []int32{4, 0, 4, 2}
	table, dst := s.random(5, 19), s.random(4, 19)
	s.dev.Gather(dst.on, table.on, s.dev.Index(idx))
	dst.each(func(i int) float64 { return table.at(int(idx[i/19]), i%19) })
	s.check(t, "gather", dst)
	s.dev.ScatterAdd(table.on, s.dev.Index(idx), dst.on)
	for i, v := range dst.v {
		table.v[int(idx[i/19])*19+i%19] += v
	}
	s.check(t, "scatter with repeats", table)
}

func (s *suite) activations(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for name, f := range map[tensor.Activation]func(x float64) float64{
		tensor.ReLU:    func(x float64) float64 { return max(x, 0) },
		tensor.GELU:    func(x float64) float64 { return x * 0.5 * (1 + math.Erf(x/math.Sqrt2)) },
		tensor.SiLU:    func(x float64) float64 { return x * sigmoid(x) },
		tensor.Sigmoid: sigmoid,
	} {
		x, y, dx, dy := s.random(5, 37), s.random(5, 37), s.random(5, 37), s.random(5, 37)
		s.dev.Activate(name, y.on, x.on)
		y.each(func(i int) float64 { return f(x.v[i]) })
		s.check(t, string(name), y)
		s.dev.ActivateBackward(name, dx.on, dy.on, x.on)
		const h = 1e-6
		dx.each(func(i int) float64 { return dx.v[i] + dy.v[i]*(f(x.v[i]+h)-f(x.v[i]-h))/(2*h) })
		s.check(t, string(name)+" backward", dx)
	}
}

func (s *suite) layerNorm(t *testing.T) {
	for _, d := range []int{1, 5, 64, 130} {
		x, y, gain, bias := s.random(6, d), s.random(6, d), s.random(1, d), s.random(1, d)
		mean, rstd := s.random(6, 1), s.random(6, 1)
		const eps = 1e-5
		s.dev.LayerNorm(y.on, x.on, gain.on, bias.on, eps, mean.on, rstd.on)
		for r := range 6 {
			m, variance := 0.0, 0.0
			for j := range d {
				m += x.at(r, j) / float64(d)
			}
			for j := range d {
				variance += (x.at(r, j) - m) * (x.at(r, j) - m) / float64(d)
			}
			mean.v[r], rstd.v[r] = m, 1/math.Sqrt(variance+eps)
			for j := range d {
				y.v[r*d+j] = (x.at(r, j)-m)*rstd.v[r]*gain.v[j] + bias.v[j]
			}
		}
		s.check(t, "y", y)
		s.check(t, "mean", mean)
		if d > 1 {
			s.check(t, "rstd", rstd)
		}
		s.dev.LayerNorm(y.on, x.on, gain.on, bias.on, eps, tensor.Mat{}, tensor.Mat{})
		s.check(t, "y without moments", y)
		if d > 1 {
			s.layerNormBackward(t, x, gain, mean, rstd)
		}
	}
}

// layerNormBackward starts from gradients that hold something, so that adding
// shows.
func (s *suite) layerNormBackward(t *testing.T, x, gain, mean, rstd *host) {
	rows, d := x.rows, x.cols
	dy, dx := s.random(rows, d), s.random(rows, d)
	dgain, dbias := s.random(1, d), s.random(1, d)
	s.dev.LayerNormBackward(dx.on, dgain.on, dbias.on, dy.on, x.on, gain.on, mean.on, rstd.on)
	for r := range rows {
		var e, eh float64 // means of e = dy*gain and of e times the normalised h
		h := func(j int) float64 { return (x.at(r, j) - mean.v[r]) * rstd.v[r] }
		for j := range d {
			e += dy.at(r, j) * gain.v[j] / float64(d)
			eh += dy.at(r, j) * gain.v[j] * h(j) / float64(d)
		}
		for j := range d {
			dx.v[r*d+j] += rstd.v[r] * (dy.at(r, j)*gain.v[j] - e - h(j)*eh)
			dgain.v[j] += dy.at(r, j) * h(j)
			dbias.v[j] += dy.at(r, j)
		}
	}
	s.check(t, "dx", dx)
	s.check(t, "dgain", dgain)
	s.check(t, "dbias", dbias)
}

func (s *suite) dropout(t *testing.T) {
	const n, p = 100_000, 0.3
	ones := s.make(1, n, func() float64 { return 1 })
	x, again := s.zero(1, n), s.zero(1, n)
	key := tensor.DropKey{Stream: 9, Offset: 1 << 33}
	s.dev.Dropout(x.on, ones.on, p, key)
	got := make([]float32, n)
	s.dev.Download(got, x.on)
	dropped := 0
	for i, v := range got {
		if v == 0 {
			dropped++
		} else if math.Abs(float64(v)-1/(1-p)) > 1e-6 {
			t.Fatalf("element %d is %v, want 0 or %v", i, v, 1/(1-p))
		}
		x.v[i] = float64(v)
	}
	if share := float64(dropped) / n; math.Abs(share-p) > 0.01 {
		t.Errorf("dropped %.4f of the elements, want %v", share, p)
	}
	s.dev.Dropout(again.on, ones.on, p, key)
	again.v = x.v
	s.check(t, "the same key", again)
	s.dev.Dropout(again.on, ones.on, p, tensor.DropKey{Stream: 10, Offset: 1 << 33})
	s.dev.Download(got, again.on)
	same := 0
	for i, v := range got {
		if float64(v) == x.v[i] {
			same++
		}
	}
	if want := p*p + (1-p)*(1-p); math.Abs(float64(same)/n-want) > 0.01 {
		t.Errorf("another stream agrees in %.4f, want %.4f", float64(same)/n, want)
	}
}

func (s *suite) adamw(t *testing.T) {
	w, g, m, v := s.random(3, 17), s.random(3, 17), s.zero(3, 17), s.zero(3, 17)
	o := kernel.AdamW{LR: 0.01, Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, Decay: 0.1}
	for step := 1; step <= 3; step++ {
		o.Step = step
		s.dev.AdamW(w.on, g.on, m.on, v.on, o)
		for i := range w.v {
			m.v[i] = 0.9*m.v[i] + 0.1*g.v[i]
			v.v[i] = 0.98*v.v[i] + 0.02*g.v[i]*g.v[i]
			mh := m.v[i] / (1 - math.Pow(0.9, float64(step)))
			vh := v.v[i] / (1 - math.Pow(0.98, float64(step)))
			w.v[i] -= 0.01 * (mh/(math.Sqrt(vh)+1e-8) + 0.1*w.v[i])
		}
		s.check(t, fmt.Sprintf("weights after step %d", step), w)
	}
}

// topK sorts all scores and compares; ScoreAt must agree to the bit.
func (s *suite) topK(t *testing.T) {
	for _, n := range []int{1, 40, 5000} {
		for _, withBias := range []bool{false, true} {
			table, bias, state := s.random(n, 12), s.random(1, n), s.random(1, 12)
			blocked := []uint64{0b101}
			if !withBias {
				clear(bias.v)
				bias.on = tensor.Mat{}
			}
			var want []int32
			score := make([]float64, n)
			for i := range score {
				score[i] = bias.v[i]
				for j := range 12 {
					score[i] += table.at(i, j) * state.v[j]
				}
				if i != 0 && i != 2 {
					want = append(want, int32(i))
				}
			}
			slices.SortFunc(want, func(a, b int32) int { return cmp.Compare(score[b], score[a]) })
			want = want[:min(len(want), 10)]
			var top kernel.TopK
			top.Reset(10)
			s.dev.TopK(&top, table.on, bias.on, state.on, blocked)
			got := top.Sorted(nil)
			if len(got) != len(want) {
				t.Fatalf("%d rows: %d winners, want %d", n, len(got), len(want))
			}
			at := make([]float32, len(want))
			s.dev.ScoreAt(at, table.on, bias.on, state.on, s.dev.Index(want))
			for i, item := range want {
				if got[i].Item != item || math.Abs(float64(got[i].Score)-score[item]) > 1e-4 || got[i].Score != at[i] {
					t.Fatalf("%d rows: place %d is %+v, want item %d with %v (ScoreAt gives %v)", n, i, got[i], item, score[item], at[i])
				}
			}
		}
	}
}
