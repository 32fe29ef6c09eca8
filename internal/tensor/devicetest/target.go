package devicetest

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"seqrec/internal/tensor"
)

// RunTarget holds every verb of target-aware models to its definition.
func RunTarget(t *testing.T, dev tensor.TargetDevice) {
	s := &targetSuite{suite: &suite{dev: dev, rng: rand.New(rand.NewPCG(3, 4))}, on: dev,
		qo: []int32{0, 3, 3, 5, 6, 39}, ko: []int32{0, 5, 9, 9, 10, 141}}
	t.Run("columns", s.columns)
	t.Run("batch norm", s.batchNorm)
	t.Run("prelu and sign", s.prelu)
	t.Run("pair scores", s.pairScores)
	t.Run("pair unit", s.pairUnit)
	t.Run("select pairs", s.selectPairs)
	t.Run("aggregate", s.aggregate)
	t.Run("collide", s.collide)
}

// targetSuite has sequences of several queries, none, no keys, one of each, and
// many.
type targetSuite struct {
	*suite
	on     tensor.TargetDevice
	qo, ko []int32
}

func (s *targetSuite) queries() int { return int(s.qo[len(s.qo)-1]) }
func (s *targetSuite) keys() int    { return int(s.ko[len(s.ko)-1]) }
func (s *targetSuite) pairs() int   { return tensor.PairCount(s.qo, s.ko) }

// each calls f for every query with its keys, first..last-1, and its first pair.
func (s *targetSuite) each(f func(q, first, last, pair int)) {
	pair := 0
	for b := range len(s.qo) - 1 {
		first, last := int(s.ko[b]), int(s.ko[b+1])
		for q := int(s.qo[b]); q < int(s.qo[b+1]); q++ {
			f(q, first, last, pair)
			pair += last - first
		}
	}
}

func (s *targetSuite) columns(t *testing.T) {
	rows := []int32{4, 0, 4, 2}
	table, x, other := s.random(5, 3), s.random(4, 9), s.random(4, 6)
	for _, scale := range []float32{1, -0.5} {
		s.on.GatherColumns(x.on, 2, table.on, s.dev.Index(rows), scale)
		for i, r := range rows {
			for j := range 3 {
				x.v[i*9+2+j] = float64(scale) * table.at(int(r), j)
			}
		}
		s.check(t, "gather", x)
		s.on.ScatterAddColumns(table.on, s.dev.Index(rows), x.on, 5, scale)
		for i, r := range rows {
			for j := range 3 {
				table.v[int(r)*3+j] += float64(scale) * x.at(i, 5+j)
			}
		}
		s.check(t, "scatter with repeats", table)
	}
	for _, acc := range []bool{false, true} {
		s.on.CopyColumns(x.on, 1, other.on, 2, 4, acc)
		for i := range 4 {
			for j := range 4 {
				if !acc {
					x.v[i*9+1+j] = 0
				}
				x.v[i*9+1+j] += other.at(i, 2+j)
			}
		}
		s.check(t, "copy", x)
	}
}

func (s *targetSuite) batchNorm(t *testing.T) {
	const eps = 1e-3
	for _, rows := range []int{1, 2, 33} {
		const d = 11
		x := s.make(rows, d, func() float64 { return 5 + s.rng.NormFloat64() })
		mean, variance, gain, bias, y := s.random(1, d), s.random(1, d), s.random(1, d), s.random(1, d), s.random(rows, d)
		s.on.Moments(mean.on, variance.on, x.on)
		clear(mean.v)
		clear(variance.v)
		for i, v := range x.v {
			mean.v[i%d] += v / float64(rows)
		}
		for i, v := range x.v {
			variance.v[i%d] += (v - mean.v[i%d]) * (v - mean.v[i%d]) / float64(rows)
		}
		s.check(t, "mean", mean)
		s.check(t, "variance", variance)
		s.on.Normalise(y.on, x.on, mean.on, variance.on, gain.on, bias.on, eps)
		h := func(i int) float64 { return (x.v[i] - mean.v[i%d]) / math.Sqrt(variance.v[i%d]+eps) }
		y.each(func(i int) float64 { return h(i)*gain.v[i%d] + bias.v[i%d] })
		s.check(t, "normalise", y)
		s.batchNormBackward(t, x, mean, variance, gain, eps)
	}
}

// batchNormBackward starts from gradients that hold something, so that adding
// shows.
func (s *targetSuite) batchNormBackward(t *testing.T, x, mean, variance, gain *host, eps float64) {
	rows, d := x.rows, x.cols
	dy, dx, dgain, dbias := s.random(rows, d), s.random(rows, d), s.random(1, d), s.random(1, d)
	s.on.NormaliseBackward(dx.on, dgain.on, dbias.on, dy.on, x.on, mean.on, variance.on, gain.on, float32(eps))
	for j := range d {
		rstd := 1 / math.Sqrt(variance.v[j]+eps)
		h := func(i int) float64 { return (x.at(i, j) - mean.v[j]) * rstd }
		var plain, times float64
		for i := range rows {
			plain += dy.at(i, j)
			times += dy.at(i, j) * h(i)
		}
		for i := range rows {
			dx.v[i*d+j] += gain.v[j] * rstd * (dy.at(i, j) - plain/float64(rows) - h(i)*times/float64(rows))
		}
		dgain.v[j] += times
		dbias.v[j] += plain
	}
	s.check(t, "dx", dx)
	s.check(t, "dgain", dgain)
	s.check(t, "dbias", dbias)
}

func (s *targetSuite) prelu(t *testing.T) {
	x, y, dx, dy := s.random(7, 19), s.random(7, 19), s.random(7, 19), s.random(7, 19)
	slope, dslope := s.random(1, 1), s.random(1, 1)
	s.on.PReLU(y.on, x.on, slope.on)
	y.each(func(i int) float64 { return max(x.v[i], 0) + slope.v[0]*min(x.v[i], 0) })
	s.check(t, "prelu", y)
	s.on.PReLUBackward(dx.on, dslope.on, dy.on, x.on, slope.on)
	for i, v := range x.v {
		if v > 0 {
			dx.v[i] += dy.v[i]
		} else {
			dx.v[i] += slope.v[0] * dy.v[i]
			dslope.v[0] += v * dy.v[i]
		}
	}
	s.check(t, "dx", dx)
	s.check(t, "dslope", dslope)
	signs, of := s.random(1, 4), s.make(1, 4, next(0, -1, 2, math.Copysign(0, -1)))
	s.on.Sign(signs.on, of.on)
	signs.v = []float64{1, -1, 1, 1}
	s.check(t, "sign", signs)
}

// next gives the values of a list, one after the other.
func next(list ...float64) func() float64 {
	i := -1
	return func() float64 { i++; return list[i] }
}

func (s *targetSuite) pairScores(t *testing.T) {
	const d = 7
	q, k, bias := s.random(s.queries(), d), s.random(s.keys(), d), s.random(s.keys(), 1)
	for _, scale := range []float32{1, 0.6} {
		for _, with := range []tensor.Mat{{}, bias.on} {
			out := s.random(s.pairs(), 1)
			a := tensor.PairArgs{S: out.on, Q: q.on, K: k.on, Bias: with, QOffsets: s.dev.Index(s.qo), KOffsets: s.dev.Index(s.ko), Scale: scale}
			s.on.PairScores(a)
			s.each(func(r, first, last, pair int) {
				for i := first; i < last; i++ {
					sum := 0.0
					for j := range d {
						sum += q.at(r, j) * k.at(i, j)
					}
					out.v[pair+i-first] = float64(scale) * sum
					if with.V != nil {
						out.v[pair+i-first] += bias.v[i]
					}
				}
			})
			s.check(t, "scores", out)
			ds, dq, dk := s.random(s.pairs(), 1), s.random(s.queries(), d), s.random(s.keys(), d)
			s.on.PairScoresBackward(a, ds.on, dq.on, dk.on)
			s.each(func(r, first, last, pair int) {
				for i := first; i < last; i++ {
					g := float64(scale) * ds.v[pair+i-first]
					for j := range d {
						dq.v[r*d+j] += g * k.at(i, j)
						dk.v[i*d+j] += g * q.at(r, j)
					}
				}
			})
			s.check(t, "dq", dq)
			s.check(t, "dk", dk)
		}
	}
}

// selectPairs has few different scores, so that ties decide, and some that are no
// numbers.
func (s *targetSuite) selectPairs(t *testing.T) {
	scores := s.make(s.pairs(), 1, func() float64 {
		if s.rng.IntN(9) == 0 {
			return math.NaN()
		}
		return float64(s.rng.IntN(6))
	})
	for _, k := range []int{0, 1, 4, 1000} {
		var pairs, keys []int32
		offsets := []int32{0}
		s.each(func(_, first, last, pair int) {
			var best []int
			for i := first; i < last; i++ {
				if x := scores.v[pair+i-first]; x == x {
					best = append(best, i)
				}
			}
			slices.SortFunc(best, func(a, b int) int {
				return cmp.Or(cmp.Compare(scores.v[pair+b-first], scores.v[pair+a-first]), cmp.Compare(b, a))
			})
			best = best[:min(k, len(best))]
			slices.Sort(best)
			for _, i := range best {
				pairs, keys = append(pairs, int32(pair+i-first)), append(keys, int32(i))
			}
			offsets = append(offsets, int32(len(pairs)))
		})
		got := tensor.Selection{Pairs: []int32{7}, Keys: []int32{7}, Offsets: []int32{7}}
		s.on.SelectPairs(tensor.SelectArgs{S: scores.on, QOffsets: s.dev.Index(s.qo), KOffsets: s.dev.Index(s.ko), K: k, Pairs: &got.Pairs, Keys: &got.Keys, Offsets: &got.Offsets})
		if !slices.Equal(got.Pairs, pairs) || !slices.Equal(got.Keys, keys) || !slices.Equal(got.Offsets, offsets) {
			t.Errorf("k=%d: pairs %v keys %v offsets %v\nwant %v %v %v", k, got.Pairs, got.Keys, got.Offsets, pairs, keys, offsets)
		}
	}
}

func (s *targetSuite) aggregate(t *testing.T) {
	const d = 5
	scores, v, out, weights := s.random(s.pairs(), 1), s.random(s.keys(), d), s.random(s.queries(), d), s.random(s.pairs(), 1)
	a := tensor.AggregateArgs{Out: out.on, S: scores.on, V: v.on, Weights: weights.on, QOffsets: s.dev.Index(s.qo), KOffsets: s.dev.Index(s.ko)}
	s.on.Aggregate(a)
	dout, ds, dv := s.random(s.queries(), d), s.random(s.pairs(), 1), s.random(s.keys(), d)
	s.on.AggregateBackward(a, dout.on, ds.on, dv.on)
	clear(out.v)
	s.each(func(q, first, last, pair int) {
		w, sum := weights.v[pair:pair+last-first], 0.0
		for i := range w {
			w[i] = math.Exp(scores.v[pair+i])
			sum += w[i]
		}
		mean := 0.0 // of dw by w
		dw := make([]float64, len(w))
		for i := range w {
			w[i] /= sum
			for j := range d {
				out.v[q*d+j] += w[i] * v.at(first+i, j)
				dv.v[(first+i)*d+j] += w[i] * dout.at(q, j)
				dw[i] += dout.at(q, j) * v.at(first+i, j)
			}
			mean += w[i] * dw[i]
		}
		for i := range w {
			ds.v[pair+i] += w[i] * (dw[i] - mean)
		}
	})
	s.check(t, "out", out)
	s.check(t, "weights", weights)
	s.check(t, "ds", ds)
	s.check(t, "dv", dv)
}

func (s *targetSuite) collide(t *testing.T) {
	const d, bits, tau = 5, 6, 2
	sign := func() float64 { return float64(1 - 2*s.rng.IntN(2)) }
	qs, ks := s.make(s.queries(), bits, sign), s.make(s.keys(), bits, sign)
	v, out := s.random(s.keys(), d), s.random(s.queries(), d)
	a := tensor.CollideArgs{Out: out.on, QSigns: qs.on, KSigns: ks.on, V: v.on, QOffsets: s.dev.Index(s.qo), KOffsets: s.dev.Index(s.ko), Tau: tau}
	s.on.Collide(a)
	dout, dv := s.random(s.queries(), d), s.random(s.keys(), d)
	s.on.CollideBackward(a, dout.on, dv.on)
	clear(out.v)
	s.each(func(q, first, last, _ int) {
		for g := 0; g < bits; g += tau {
			var hit []int
			sum := make([]float64, d)
			for i := first; i < last; i++ {
				if !slices.Equal(qs.v[q*bits+g:][:tau], ks.v[i*bits+g:][:tau]) {
					continue
				}
				hit = append(hit, i)
				for j := range d {
					sum[j] += v.at(i, j)
				}
			}
			var square, along float64
			for j, x := range sum {
				square += x * x
				along += x * dout.at(q, j)
			}
			if square == 0 {
				continue
			}
			share := 1 / (math.Sqrt(square) * bits / tau)
			for j, x := range sum {
				out.v[q*d+j] += share * x
				for _, i := range hit {
					dv.v[i*d+j] += share * (dout.at(q, j) - x*along/square)
				}
			}
		}
	})
	s.check(t, "out", out)
	s.check(t, "dv", dv)
}
