// Package tensortest checks gradients by finite differences, for the tests of
// every room that records operations on a tape.
package tensortest

import (
	"math"
	"math/rand/v2"
	"testing"

	"seqrec/internal/tensor"
)

// Forward runs an operation or a network and returns its loss. On a learning
// tape it also seeds the gradients; Weigh does both.
type Forward func(t *tensor.Tape) float64

// Weigh makes a scalar of a value: the sum of v times fixed random weights. On
// a learning tape it seeds the gradient of v with those weights.
func Weigh(t *tensor.Tape, v *tensor.Var, seed uint64) float64 {
	rng := rand.New(rand.NewPCG(seed, 7))
	weights := make([]float32, v.Len())
	got := make([]float32, v.Len())
	t.Device().Download(got, v.Mat)
	var sum float64
	for i := range weights {
		weights[i] = float32(rng.NormFloat64())
		sum += float64(weights[i]) * float64(got[i])
	}
	if t.Learning() {
		t.Device().Upload(t.Grad(v), weights)
	}
	return sum
}

// Fill gives every parameter normal values of the given spread.
func Fill(p *tensor.Params, seed uint64, std float64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	for _, q := range p.List() {
		host := make([]float32, q.Val.Len())
		for i := range host {
			host[i] = float32(rng.NormFloat64() * std)
		}
		p.Device().Upload(q.Val, host)
	}
}

// Gradients runs forward on a learning tape and compares every parameter's
// gradient with central differences of a tape that does not learn. Every
// parameter must get a gradient that is not all zero, unless its name is in
// unreached.
func Gradients(t *testing.T, p *tensor.Params, forward Forward, unreached ...string) {
	t.Helper()
	grads := tensor.NewGradients(p)
	learn := tensor.NewLearningTape(p.Device(), grads)
	forward(learn)
	learn.Backward()
	plain := tensor.NewTape(p.Device())
	loss := func() float64 {
		plain.Reset(0)
		return forward(plain)
	}
	for _, q := range p.List() {
		host := make([]float32, q.Val.Len())
		got := make([]float32, q.Val.Len())
		p.Device().Download(host, q.Val)
		p.Device().Download(got, grads.Of(q))
		largest := 0.0
		for i := range host {
			want := slope(p, q, host, i, loss)
			largest = max(largest, math.Abs(float64(got[i])))
			if d := math.Abs(float64(got[i]) - want); !(d <= 4e-3+2e-2*math.Abs(want)) {
				t.Errorf("%s[%d]: gradient %v, finite difference %v", q.Name, i, got[i], want)
			}
		}
		if largest == 0 && !contains(unreached, q.Name) {
			t.Errorf("%s: no gradient reached it", q.Name)
		}
	}
}

// slope is the central difference in one element. The step is a power of two
// so that it adds no rounding of its own.
func slope(p *tensor.Params, q *tensor.Param, host []float32, i int, loss func() float64) float64 {
	const h = 1.0 / 256
	was := host[i]
	host[i] = was + h
	p.Device().Upload(q.Val, host)
	up := loss()
	host[i] = was - h
	p.Device().Upload(q.Val, host)
	down := loss()
	host[i] = was
	p.Device().Upload(q.Val, host)
	return (up - down) / (2 * h)
}

func contains(list []string, name string) bool {
	for _, s := range list {
		if s == name {
			return true
		}
	}
	return false
}
