package seqmodel

import (
	"fmt"
	"math"

	"seqrec/internal/attention"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
)

// SASRec is the self-attentive sequential recommender (Kang & McAuley 2018,
// arXiv 1808.09781), with the layouts of its successors: a causal Transformer
// over the history, scored against the item table.
type SASRec struct {
	config   Config
	params   *tensor.Params
	item     *tensor.Param // N x D
	position *tensor.Param // L x D, nil for none
	input    *norm         // post-LN only
	blocks   []*block
	final    *norm // not with post-LN
	output   *tensor.Param
	bias     *tensor.Param
	int8     kernel.Int8Table
}

type norm struct{ gain, bias *tensor.Param }

type block struct {
	attend         *attention.MultiHead
	norm1, norm2   *norm
	w1, b1, w2, b2 *tensor.Param
}

func newSASRec(c Config) (*SASRec, error) {
	p := tensor.NewParams(tensor.CPU{})
	m := &SASRec{config: c, params: p}
	m.item = p.Add("item", c.Items, c.Width, true)
	if c.Positions != NoPositions {
		m.position = p.Add("position", c.Length, c.Width, true)
	}
	if c.Layout == PostLN {
		m.input = newNorm(p, "input_norm", c.Width)
	}
	for i := range c.Blocks {
		b, err := newBlock(p, fmt.Sprintf("block.%d.", i), c)
		if err != nil {
			return nil, err
		}
		m.blocks = append(m.blocks, b)
	}
	if c.Layout != PostLN {
		m.final = newNorm(p, "final_norm", c.Width)
	}
	m.output = m.item
	if c.SeparateOutput {
		m.output = p.Add("output", c.Items, c.Width, true)
	}
	if c.OutputBias {
		m.bias = p.Add("output_bias", 1, c.Items, false)
	}
	return m, nil
}

func newNorm(p *tensor.Params, name string, width int) *norm {
	return &norm{p.Add(name+".gain", 1, width, false), p.Add(name+".bias", 1, width, false)}
}

func newBlock(p *tensor.Params, prefix string, c Config) (*block, error) {
	b := &block{norm1: newNorm(p, prefix+"norm1", c.Width), norm2: newNorm(p, prefix+"norm2", c.Width)}
	var err error
	b.attend, err = attention.NewMultiHead(p, prefix+"attention.", attention.MultiHeadConfig{
		Kind: c.Attention, Width: c.Width, KeyWidth: c.KeyWidth, ValueWidth: c.Width, Output: c.OutputProjection,
		Config: attention.Config{Heads: c.Heads, Causal: true, Dropout: c.AttentionDropout},
	})
	hidden := c.Hidden * c.Width
	b.w1, b.b1 = p.Add(prefix+"ffn.in.weight", c.Width, hidden, true), p.Add(prefix+"ffn.in.bias", 1, hidden, false)
	b.w2, b.b2 = p.Add(prefix+"ffn.out.weight", hidden, c.Width, true), p.Add(prefix+"ffn.out.bias", 1, c.Width, false)
	return b, err
}

// Config implements Model.
func (m *SASRec) Config() Config { return m.config }

// Params implements Model.
func (m *SASRec) Params() *tensor.Params { return m.params }

// Items implements Model.
func (m *SASRec) Items() int { return m.config.Items }

// ItemVectors implements Model.
func (m *SASRec) ItemVectors() (table []float32, width int) { return m.output.Val.V, m.config.Width }

// NewRanker implements Model.
func (m *SASRec) NewRanker() features.Ranker { return newRanker(m) }

// Describe implements Model.
func (m *SASRec) Describe() string {
	c := m.config
	return fmt.Sprintf("%s %s d%d b%d h%d L%d", c.Model, c.Layout, c.Width, c.Blocks, c.Heads, c.Length)
}

func (m *SASRec) head() (table, bias *tensor.Param) { return m.output, m.bias }

func (m *SASRec) quick() *kernel.Int8Table { return &m.int8 }

// forward is the network. x is T x D until the last block, which computes only
// the wanted rows.
func (m *SASRec) forward(t *tensor.Tape, in *input) *tensor.Var {
	x := m.embed(t, in)
	for i, b := range m.blocks {
		q, qOffsets := x, in.offsets
		if i == len(m.blocks)-1 && in.rows != nil {
			q, qOffsets = t.Rows(x, *in.rows), in.rowOffsets
		}
		switch m.config.Layout {
		case Original:
			x = m.original(t, b, q, x, qOffsets, in.offsets)
		case PreLN:
			x = m.preNorm(t, b, q, x, qOffsets, in.offsets)
		case PostLN:
			x = m.postNorm(t, b, q, x, qOffsets, in.offsets)
		}
	}
	if m.final != nil {
		x = m.norm(t, x, m.final)
	}
	return x
}

// embed is Dropout([LN](scale*E[item] + P[position])).
func (m *SASRec) embed(t *tensor.Tape, in *input) *tensor.Var {
	scale := float32(1)
	if m.config.ScaleEmbedding {
		scale = float32(math.Sqrt(float64(m.config.Width)))
	}
	x := t.Gather(m.item, in.items, scale)
	if m.position != nil {
		x = t.Add(x, t.Gather(m.position, in.positions, 1))
	}
	if m.input != nil {
		x = m.norm(t, x, m.input)
	}
	return t.Dropout(x, m.config.Dropout)
}

// original: y = A(LN q, x, x) + LN q; out = F(LN y) + LN y.
func (m *SASRec) original(t *tensor.Tape, b *block, q, x *tensor.Var, qo, ko tensor.Index) *tensor.Var {
	q = m.norm(t, q, b.norm1)
	y := t.Add(b.attend.Forward(t, q, x, qo, ko), q)
	z := m.norm(t, y, b.norm2)
	return t.Add(m.feedForward(t, b, z, m.config.Dropout), z)
}

// preNorm: y = q + Drop(A(LN q, LN x, LN x)); out = y + F(LN y).
func (m *SASRec) preNorm(t *tensor.Tape, b *block, q, x *tensor.Var, qo, ko tensor.Index) *tensor.Var {
	nx := m.norm(t, x, b.norm1)
	nq := nx
	if q != x {
		nq = m.norm(t, q, b.norm1)
	}
	y := t.Add(q, t.Dropout(b.attend.Forward(t, nq, nx, qo, ko), m.config.Dropout))
	return t.Add(y, m.feedForward(t, b, m.norm(t, y, b.norm2), m.config.Dropout))
}

// postNorm: y = LN(q + Drop(A(q, x, x))); out = LN(y + F(y)).
func (m *SASRec) postNorm(t *tensor.Tape, b *block, q, x *tensor.Var, qo, ko tensor.Index) *tensor.Var {
	y := t.Add(q, t.Dropout(b.attend.Forward(t, q, x, qo, ko), m.config.Dropout))
	y = m.norm(t, y, b.norm1)
	return m.norm(t, t.Add(y, m.feedForward(t, b, y, 0)), b.norm2)
}

// feedForward is Drop(W2 Drop'(f(W1 x + b1)) + b2). The post-norm family has no
// inner dropout Drop'.
func (m *SASRec) feedForward(t *tensor.Tape, b *block, x *tensor.Var, inner float32) *tensor.Var {
	h := t.Dropout(t.Activate(m.config.Activation, t.Linear(x, b.w1, b.b1)), inner)
	return t.Dropout(t.Linear(h, b.w2, b.b2), m.config.Dropout)
}

func (m *SASRec) norm(t *tensor.Tape, x *tensor.Var, n *norm) *tensor.Var {
	return t.LayerNorm(x, n.gain, n.bias, m.config.Epsilon)
}
