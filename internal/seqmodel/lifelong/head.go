package lifelong

import (
	"fmt"

	"seqrec/internal/tensor"
)

// head is the network that says yes or no of z:
//
//	BatchNorm -> (Linear -> PReLU) for each hidden layer -> Linear to 2 -> softmax
type head struct {
	gain, bias     *tensor.Param // of the batch norm
	mean, variance *tensor.Param // its running moments, for serving
	layers         []layer
	out, outBias   *tensor.Param // 2 x width, 1 x 2: class 0 is no, class 1 yes
}

type layer struct{ w, b, slope *tensor.Param }

func newHead(p *tensor.Params, prefix string, width int, hidden []int) *head {
	h := &head{gain: p.Add(prefix+"norm.gain", 1, width, false), bias: p.Add(prefix+"norm.bias", 1, width, false),
		mean: p.Add(prefix+"running.mean", 1, width, false), variance: p.Add(prefix+"running.variance", 1, width, false)}
	for i, n := range hidden {
		name := fmt.Sprintf("%s%d.", prefix, i)
		h.layers = append(h.layers, layer{p.Add(name+"weight", width, n, true), p.Add(name+"bias", 1, n, false), p.Add(name+"slope", 1, 1, false)})
		width = n
	}
	h.out, h.outBias = p.Add(prefix+"out.weight", 2, width, true), p.Add(prefix+"out.bias", 1, 2, false)
	return h
}

// forward gives the last hidden layer. While learning it notes the moments of
// the batch in in.
func (h *head) forward(t *tensor.Tape, in *input, z *tensor.Var, eps float32) *tensor.Var {
	if t.Learning() {
		var m tensor.Moments
		z, m = t.BatchNorm(z, h.gain, h.bias, eps)
		in.moments = append(in.moments, m)
	} else {
		z = t.Normalise(z, tensor.Moments{Mean: h.mean.Val, Variance: h.variance.Val}, h.gain, h.bias, eps)
	}
	for _, l := range h.layers {
		z = t.PReLU(t.Linear(z, l.w, l.b), l.slope)
	}
	return z
}

// loss is softmax cross-entropy of the labels, times scale.
func (h *head) loss(t *tensor.Tape, hidden *tensor.Var, labels tensor.Index, scale float32) float64 {
	return t.CrossEntropy(hidden, h.out, h.outBias, labels, scale)
}

// logits writes log odds of yes, one a row of hidden, to dst in host memory.
func (h *head) logits(t *tensor.Tape, dst []float32, hidden *tensor.Var) {
	both := t.Scratch(hidden.Rows, 2)
	dev := t.Device()
	dev.Gemm(both, hidden.Mat, false, h.out.Val, true, false)
	dev.AddBias(both, h.outBias.Val)
	host := make([]float32, both.Len())
	dev.Download(host, both)
	for i := range dst {
		dst[i] = host[2*i+1] - host[2*i]
	}
}
