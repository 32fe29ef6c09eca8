package seqmodel

import "math"

// A second, independent SASRec for the tests: every number is a float64 node
// of a scalar autodiff graph, every formula is written out as in the papers,
// nothing is shared with the product. Slow, and meant to be obviously right.

// num is one number of the graph with its gradient.
type num struct {
	v, g float64
	back func(g float64)
}

// graph remembers nodes in the order they were made.
type graph struct{ nodes []*num }

func (g *graph) node(v float64, back func(d float64)) *num {
	n := &num{v: v, back: back}
	g.nodes = append(g.nodes, n)
	return n
}

func (g *graph) leaf(v float64) *num { return g.node(v, nil) }

func (g *graph) add(a, b *num) *num {
	return g.node(a.v+b.v, func(d float64) { a.g += d; b.g += d })
}

func (g *graph) sub(a, b *num) *num {
	return g.node(a.v-b.v, func(d float64) { a.g += d; b.g -= d })
}

func (g *graph) mul(a, b *num) *num {
	return g.node(a.v*b.v, func(d float64) { a.g += d * b.v; b.g += d * a.v })
}

func (g *graph) scale(a *num, k float64) *num {
	return g.node(a.v*k, func(d float64) { a.g += d * k })
}

// fn applies a function whose value and slope at a are given.
func (g *graph) fn(a *num, v, slope float64) *num {
	return g.node(v, func(d float64) { a.g += d * slope })
}

func (g *graph) exp(a *num) *num { return g.fn(a, math.Exp(a.v), math.Exp(a.v)) }
func (g *graph) log(a *num) *num { return g.fn(a, math.Log(a.v), 1/a.v) }
func (g *graph) inv(a *num) *num { return g.fn(a, 1/a.v, -1/(a.v*a.v)) }

func (g *graph) rsqrt(a *num) *num {
	return g.fn(a, 1/math.Sqrt(a.v), -0.5*math.Pow(a.v, -1.5))
}

func (g *graph) activate(name string, a *num) *num {
	switch name {
	case "relu":
		if a.v > 0 {
			return g.fn(a, a.v, 1)
		}
		return g.fn(a, 0, 0)
	case "gelu":
		phi := 0.5 * (1 + math.Erf(a.v/math.Sqrt2))
		return g.fn(a, a.v*phi, phi+a.v*math.Exp(-a.v*a.v/2)/math.Sqrt(2*math.Pi))
	case "silu":
		s := 1 / (1 + math.Exp(-a.v))
		return g.fn(a, a.v*s, s+a.v*s*(1-s))
	}
	panic(name)
}

func (g *graph) sum(xs []*num) *num {
	s := g.leaf(0)
	for _, x := range xs {
		s = g.add(s, x)
	}
	return s
}

func (g *graph) dot(a, b []*num) *num {
	s := g.leaf(0)
	for i := range a {
		s = g.add(s, g.mul(a[i], b[i]))
	}
	return s
}

func (g *graph) addVec(a, b []*num) []*num {
	out := make([]*num, len(a))
	for i := range a {
		out[i] = g.add(a[i], b[i])
	}
	return out
}

// linear is x W + b with W as rows.
func (g *graph) linear(x []*num, w [][]*num, b []*num) []*num {
	out := make([]*num, len(b))
	for j := range b {
		out[j] = b[j]
		for i := range x {
			out[j] = g.add(out[j], g.mul(x[i], w[i][j]))
		}
	}
	return out
}

func (g *graph) layerNorm(x, gain, bias []*num, eps float64) []*num {
	n := float64(len(x))
	mean := g.scale(g.sum(x), 1/n)
	variance := g.leaf(0)
	for _, v := range x {
		d := g.sub(v, mean)
		variance = g.add(variance, g.mul(d, d))
	}
	r := g.rsqrt(g.add(g.scale(variance, 1/n), g.leaf(eps)))
	out := make([]*num, len(x))
	for i, v := range x {
		out[i] = g.add(g.mul(g.mul(g.sub(v, mean), r), gain[i]), bias[i])
	}
	return out
}

func (g *graph) softmax(s []*num) []*num {
	out := make([]*num, len(s))
	for i := range s {
		out[i] = g.exp(s[i])
	}
	inv := g.inv(g.sum(out))
	for i := range out {
		out[i] = g.mul(out[i], inv)
	}
	return out
}

// logSumExp of scores that are small enough not to need a shift.
func (g *graph) logSumExp(s []*num) *num {
	e := make([]*num, len(s))
	for i := range s {
		e[i] = g.exp(s[i])
	}
	return g.log(g.sum(e))
}

// backward fills every gradient of loss.
func (g *graph) backward(loss *num) {
	loss.g = 1
	for i := len(g.nodes) - 1; i >= 0; i-- {
		if n := g.nodes[i]; n.back != nil && n.g != 0 {
			n.back(n.g)
		}
	}
}
