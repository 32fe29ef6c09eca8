package attention

import (
	"fmt"

	"seqrec/internal/tensor"
)

// MultiHead is attention between learned projections of its inputs:
//
//	concat over heads of Attend(xq Wq + bq, xkv Wk + bk, xkv Wv + bv) [Wo + bo]
//
// Wq and Wk are D x H*Dk, Wv is D x H*Dv, so queries and keys may be narrower
// than values. Wo (H*Dv x D) is absent in the original SASRec.
type MultiHead struct {
	Attention
	Wq, Bq, Wk, Bk, Wv, Bv *tensor.Param
	Wo, Bo                 *tensor.Param // nil for none
}

// MultiHeadConfig gives the widths of a MultiHead.
type MultiHeadConfig struct {
	Kind       string // a name New knows
	Width      int    // D, of the inputs and the output
	KeyWidth   int    // Dk times heads
	ValueWidth int    // Dv times heads; equals Width when there is no output projection
	Output     bool   // whether there is an output projection
	Config
}

// NewMultiHead adds the parameters under prefix and makes the layer. Widths that
// the heads do not divide are an error, like an unknown kind: both come from
// configuration.
func NewMultiHead(p *tensor.Params, prefix string, c MultiHeadConfig) (*MultiHead, error) {
	a, err := New(c.Kind, c.Config)
	if err != nil {
		return nil, err
	}
	if c.KeyWidth < 1 || c.ValueWidth < 1 || c.KeyWidth%c.Heads != 0 || c.ValueWidth%c.Heads != 0 {
		return nil, fmt.Errorf("attention: key width %d and value width %d, want multiples of %d heads", c.KeyWidth, c.ValueWidth, c.Heads)
	}
	if !c.Output && c.ValueWidth != c.Width {
		return nil, fmt.Errorf("attention: value width %d is not width %d and there is no output projection", c.ValueWidth, c.Width)
	}
	m := &MultiHead{Attention: a}
	m.Wq, m.Bq = linear(p, prefix+"query", c.Width, c.KeyWidth)
	m.Wk, m.Bk = linear(p, prefix+"key", c.Width, c.KeyWidth)
	m.Wv, m.Bv = linear(p, prefix+"value", c.Width, c.ValueWidth)
	if c.Output {
		m.Wo, m.Bo = linear(p, prefix+"output", c.ValueWidth, c.Width)
	}
	return m, nil
}

func linear(p *tensor.Params, name string, in, out int) (w, b *tensor.Param) {
	return p.Add(name+".weight", in, out, true), p.Add(name+".bias", 1, out, false)
}

// Forward attends from the rows of xq to the rows of xkv.
func (m *MultiHead) Forward(t *tensor.Tape, xq, xkv *tensor.Var, qOffsets, kOffsets tensor.Index) *tensor.Var {
	y := m.Attend(t, t.Linear(xq, m.Wq, m.Bq), t.Linear(xkv, m.Wk, m.Bk), t.Linear(xkv, m.Wv, m.Bv), qOffsets, kOffsets)
	if m.Wo != nil {
		y = t.Linear(y, m.Wo, m.Bo)
	}
	return y
}
