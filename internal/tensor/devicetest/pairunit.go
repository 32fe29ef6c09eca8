package devicetest

import (
	"testing"

	"seqrec/internal/tensor"
)

// pairUnit has widths that fill no tile, the sequences of the suite, and one that
// is longer than a device takes at once.
func (s *targetSuite) pairUnit(t *testing.T) {
	long := *s
	long.qo, long.ko = []int32{0, 0, 2, 3, 4}, []int32{0, 3, 603, 603, 604}
	for _, c := range []struct {
		on    *targetSuite
		d, u  int
		slope float64
	}{{s, 7, 5, 0.3}, {s, 16, 36, 0}, {s, 1, 1, 1}, {&long, 5, 9, -0.4}} {
		newUnit(c.on, c.d, c.u, c.slope).run(t, c.on)
	}
}

// unit is an activation unit with its gradients, all beside their float64 twins.
// The gradients hold something beforehand, so that adding shows.
type unit struct {
	d, u                                              int
	scale                                             float64
	s, q, k, hidden, product, key, slope, out         *host
	ds, dq, dk, dhidden, dproduct, dkey, dslope, dout *host
}

func newUnit(s *targetSuite, d, u int, slope float64) *unit {
	return &unit{d: d, u: u, scale: 0.5,
		s: s.random(s.pairs(), 1), q: s.random(s.queries(), d), k: s.random(s.keys(), d), hidden: s.random(s.queries(), u),
		product: s.random(d, u), key: s.random(d, u), slope: s.make(1, 1, next(slope)), out: s.random(u, 1),
		ds: s.random(s.pairs(), 1), dq: s.random(s.queries(), d), dk: s.random(s.keys(), d), dhidden: s.random(s.queries(), u),
		dproduct: s.random(d, u), dkey: s.random(d, u), dslope: s.random(1, 1), dout: s.random(u, 1)}
}

func (x *unit) run(t *testing.T, s *targetSuite) {
	scratch := s.random(1, tensor.PairUnitScratch(x.d, x.u))
	a := tensor.PairUnitArgs{S: x.s.on, Q: x.q.on, K: x.k.on, Hidden: x.hidden.on, Product: x.product.on, Key: x.key.on,
		Slope: x.slope.on, Out: x.out.on, Scratch: scratch.on, QOffsets: s.dev.Index(s.qo), KOffsets: s.dev.Index(s.ko), Scale: float32(x.scale)}
	s.on.PairUnit(a)
	s.on.PairUnitBackward(a, tensor.PairUnitGrads{DS: x.ds.on, DQ: x.dq.on, DK: x.dk.on, DHidden: x.dhidden.on,
		DProduct: x.dproduct.on, DKey: x.dkey.on, DSlope: x.dslope.on, DOut: x.dout.on})
	s.each(func(q, first, last, pair int) {
		for k := first; k < last; k++ {
			x.pair(q, k, pair+k-first)
		}
	})
	s.check(t, "scores", x.s)
	s.check(t, "ds is only read", x.ds)
	s.check(t, "dq", x.dq)
	s.check(t, "dk", x.dk)
	s.check(t, "dhidden", x.dhidden)
	s.check(t, "dproduct", x.dproduct)
	s.check(t, "dkey", x.dkey)
	s.check(t, "dslope", x.dslope)
	s.check(t, "dout", x.dout)
}

// pair is the definition, forward and backward, of one pair.
func (x *unit) pair(q, k, pair int) {
	x.s.v[pair] = 0
	for j := range x.u {
		h := x.hidden.at(q, j)
		for l := range x.d {
			h += x.q.at(q, l)*x.k.at(k, l)*x.product.at(l, j) + x.k.at(k, l)*x.key.at(l, j)
		}
		slope, g := x.slope.v[0], x.scale*x.ds.v[pair]
		x.s.v[pair] += x.scale * (max(h, 0) + slope*min(h, 0)) * x.out.v[j]
		x.dout.v[j] += g * (max(h, 0) + slope*min(h, 0))
		g *= x.out.v[j]
		x.dslope.v[0] += g * min(h, 0)
		if h <= 0 {
			g *= slope
		}
		x.dhidden.v[q*x.u+j] += g
		for l := range x.d {
			x.dproduct.v[l*x.u+j] += g * x.q.at(q, l) * x.k.at(k, l)
			x.dkey.v[l*x.u+j] += g * x.k.at(k, l)
			x.dq.v[q*x.d+l] += g * x.k.at(k, l) * x.product.at(l, j)
			x.dk.v[k*x.d+l] += g * (x.q.at(q, l)*x.product.at(l, j) + x.key.at(l, j))
		}
	}
}
