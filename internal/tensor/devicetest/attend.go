package devicetest

import (
	"fmt"
	"math"
	"testing"

	"seqrec/internal/tensor"
)

// attendCase is one packed attention with a float64 twin. Its sequences have no
// queries, no keys, more queries than keys, fewer, and more than one block of
// the implementation.
type attendCase struct {
	qo, ko        []int32
	heads, dk, dv int
	causal        bool
	q, k, v, out  *host
	weights       tensor.Mat
	args          tensor.AttendArgs
}

func (s *suite) attendCase(causal bool) *attendCase {
	c := &attendCase{qo: []int32{0, 2, 2, 5, 8, 46}, ko: []int32{0, 6, 7, 7, 8, 46}, heads: 2, dk: 3, dv: 5, causal: causal}
	tq, tk := int(c.qo[len(c.qo)-1]), int(c.ko[len(c.ko)-1])
	c.q, c.k, c.v = s.random(tq, c.heads*c.dk), s.random(tk, c.heads*c.dk), s.random(tk, c.heads*c.dv)
	c.out = s.random(tq, c.heads*c.dv)
	weights, scratch := tensor.AttendSizes(c.qo, c.ko, c.heads)
	c.weights = s.zero(1, weights).on
	c.args = tensor.AttendArgs{Out: c.out.on, Q: c.q.on, K: c.k.on, V: c.v.on, Scratch: s.zero(1, scratch).on,
		QOffsets: s.dev.Index(c.qo), KOffsets: s.dev.Index(c.ko), Heads: c.heads, Causal: causal, Scale: 0.8}
	return c
}

// each calls f for every query of every head with the weights of the keys it
// sees, of which first is the first.
func (c *attendCase) each(f func(row, first, head int, w []float64)) {
	for b := range len(c.qo) - 1 {
		nq, nk := int(c.qo[b+1]-c.qo[b]), int(c.ko[b+1]-c.ko[b])
		for i := range nq {
			seen := nk
			if c.causal {
				seen = max(0, nk-nq+i+1)
			}
			for h := range c.heads {
				row, first := int(c.qo[b])+i, int(c.ko[b])
				f(row, first, h, c.softmax(row, first, h, seen))
			}
		}
	}
}

func (c *attendCase) softmax(row, first, h, seen int) []float64 {
	w := make([]float64, seen)
	var sum float64
	for j := range w {
		for i := range c.dk {
			w[j] += float64(c.args.Scale) * c.q.at(row, h*c.dk+i) * c.k.at(first+j, h*c.dk+i)
		}
		w[j] = math.Exp(w[j])
		sum += w[j]
	}
	for j := range w {
		w[j] /= sum
	}
	return w
}

func (s *suite) attend(t *testing.T) {
	for _, causal := range []bool{true, false} {
		c := s.attendCase(causal)
		s.dev.Attend(c.args)
		c.each(func(row, first, h int, w []float64) {
			for i := range c.dv {
				var o float64
				for j := range w {
					o += w[j] * c.v.at(first+j, h*c.dv+i)
				}
				c.out.v[row*c.out.cols+h*c.dv+i] = o
			}
		})
		s.check(t, fmt.Sprintf("causal=%v", causal), c.out)
	}
}

// attendBackward starts from gradients that hold something, so that adding
// shows.
func (s *suite) attendBackward(t *testing.T) {
	for _, causal := range []bool{true, false} {
		c := s.attendCase(causal)
		c.args.Weights = c.weights
		s.dev.Attend(c.args)
		dout := s.random(c.out.rows, c.out.cols)
		dq, dk, dv := s.random(c.q.rows, c.q.cols), s.random(c.k.rows, c.k.cols), s.random(c.v.rows, c.v.cols)
		s.dev.AttendBackward(c.args, tensor.AttendGrads{DOut: dout.on, DQ: dq.on, DK: dk.on, DV: dv.on})
		c.each(func(row, first, h int, w []float64) {
			dw, inner := make([]float64, len(w)), 0.0
			for j := range w {
				for i := range c.dv {
					g := dout.at(row, h*c.dv+i)
					dw[j] += g * c.v.at(first+j, h*c.dv+i)
					dv.v[(first+j)*dv.cols+h*c.dv+i] += w[j] * g
				}
				inner += w[j] * dw[j]
			}
			for j := range w {
				ds := float64(c.args.Scale) * w[j] * (dw[j] - inner)
				for i := range c.dk {
					dq.v[row*dq.cols+h*c.dk+i] += ds * c.k.at(first+j, h*c.dk+i)
					dk.v[(first+j)*dk.cols+h*c.dk+i] += ds * c.q.at(row, h*c.dk+i)
				}
			}
		})
		for _, g := range []struct {
			name string
			h    *host
		}{{"dQ", dq}, {"dK", dk}, {"dV", dv}} {
			s.check(t, fmt.Sprintf("%s, causal=%v", g.name, causal), g.h)
		}
	}
}

// attendDropout leaves it to the device which counter drops which weight and
// holds it to what follows from any fixed mask: the output is linear in V, so
// <dV, V> = <dOut, Out>, and the scores are linear in Q and in K, so <dQ, Q> =
// <dK, K>. Without the same mask in both directions neither holds.
func (s *suite) attendDropout(t *testing.T) {
	for _, causal := range []bool{true, false} {
		c := s.attendCase(causal)
		c.args.Weights = c.weights
		s.dev.Attend(c.args)
		plain := s.download(c.out.on)
		c.args.Drop = tensor.Drop{P: 0.4, Key: tensor.DropKey{Stream: 3, Offset: 1 << 20}}
		s.dev.Attend(c.args)
		out := s.download(c.out.on)
		dout := s.random(c.out.rows, c.out.cols)
		dq, dk, dv := s.zero(c.q.rows, c.q.cols), s.zero(c.k.rows, c.k.cols), s.zero(c.v.rows, c.v.cols)
		s.dev.AttendBackward(c.args, tensor.AttendGrads{DOut: dout.on, DQ: dq.on, DK: dk.on, DV: dv.on})
		for _, law := range []struct {
			name       string
			a, b, c, d []float64
		}{
			{"<dV, V> and <dOut, Out>", s.download(dv.on), c.v.v, dout.v, out},
			{"<dQ, Q> and <dK, K>", s.download(dq.on), c.q.v, s.download(dk.on), c.k.v},
		} {
			if x, y := inner(law.a, law.b), inner(law.c, law.d); !(math.Abs(x-y) <= 1e-3*max(1, math.Abs(x))) {
				t.Errorf("causal=%v: %s are %v and %v", causal, law.name, x, y)
			}
		}
		if inner(plain, plain) == inner(out, out) {
			t.Errorf("causal=%v: dropout changed nothing", causal)
		}
	}
}

func (s *suite) download(m tensor.Mat) []float64 {
	got, out := make([]float32, m.Len()), make([]float64, m.Len())
	s.dev.Download(got, m)
	for i, x := range got {
		out[i] = float64(x)
	}
	return out
}

func inner(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
