package seqmodel

import (
	"errors"
	"fmt"
	"slices"

	"seqrec/internal/attention"
	"seqrec/internal/tensor"
)

// Layout is where a block normalises.
type Layout string

// The layouts of a block with attention A and feed-forward F.
const (
	// Original is SASRec as published: queries are normalised, keys and values
	// are not, and the residuals start from the normalised values:
	// y = A(LN x, x, x) + LN x; x = F(LN y) + LN y (Kang & McAuley 2018).
	Original Layout = "original"
	// PreLN is x += A(LN x); x += F(LN x), with a last norm after all blocks.
	PreLN Layout = "pre-ln"
	// PostLN is x = LN(x + A(x)); x = LN(x + F(x)), after a norm of the input.
	PostLN Layout = "post-ln"
)

// Positions is how a model tells places in a history apart.
type Positions string

// The position schemes.
const (
	// LearnedReverse counts from the newest event, which is always place 0.
	LearnedReverse Positions = "learned-reverse"
	// LearnedForward counts from the oldest event that is looked at.
	LearnedForward Positions = "learned-forward"
	// NoPositions leaves order to the causal mask alone.
	NoPositions Positions = "none"
)

// Config names a network. The zero value of every field but Items means the
// default that WithDefaults fills in; a stored Config is always complete.
type Config struct {
	Model            string            `json:"model"`             // "sasrec"
	Items            int               `json:"items"`             // N, catalogue size
	Width            int               `json:"width"`             // D
	Blocks           int               `json:"blocks"`            // attention blocks
	Heads            int               `json:"heads"`             // H, divides Width
	Length           int               `json:"length"`            // L, newest events looked at
	Layout           Layout            `json:"layout"`            // where blocks normalise
	Attention        string            `json:"attention"`         // a kind internal/attention knows
	OutputProjection bool              `json:"output_projection"` // W_O after the heads; the original has none
	KeyWidth         int               `json:"key_width"`         // width of queries and keys, all heads; default Width
	Positions        Positions         `json:"positions"`         // how places in a history are told apart
	Activation       tensor.Activation `json:"activation"`        // of the feed-forward layer
	Hidden           int               `json:"hidden"`            // feed-forward width as a multiple of Width
	Dropout          float32           `json:"dropout"`           // on embeddings and sub-layer outputs
	AttentionDropout float32           `json:"attention_dropout"` // on attention weights
	ScaleEmbedding   bool              `json:"scale_embedding"`   // input rows times sqrt(Width)
	OutputBias       bool              `json:"output_bias"`       // one learned number per item in its score
	SeparateOutput   bool              `json:"separate_output"`   // scores use a table of their own (gSASRec)
	Epsilon          float32           `json:"epsilon"`           // of the norms
	InitStd          float32           `json:"init_std"`          // of the normal initialisation; 0 means Xavier normal
}

// WithDefaults fills in what is zero: the pre-norm SASRec of width 64 with two
// blocks.
func (c Config) WithDefaults() Config {
	setDefault(&c.Model, "sasrec")
	setDefault(&c.Width, 64)
	setDefault(&c.Blocks, 2)
	setDefault(&c.Heads, 1)
	setDefault(&c.Length, 200)
	setDefault(&c.Layout, PreLN)
	setDefault(&c.Attention, "softmax")
	setDefault(&c.KeyWidth, c.Width)
	setDefault(&c.Positions, LearnedReverse)
	setDefault(&c.Activation, tensor.ReLU)
	setDefault(&c.Hidden, 1)
	setDefault(&c.Epsilon, 1e-8)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// maxFloats bounds the parameters a Config may ask for, so that a hostile
// model file cannot exhaust memory.
const maxFloats = 1 << 31

// Validate reports every fault of a complete Config at once.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(slices.Contains(Kinds(), c.Model), "model %q is unknown, want one of %v", c.Model, Kinds())
	check(c.Items >= 1, "items is %d, want at least 1", c.Items)
	check(c.Width >= 1 && c.Width <= 1<<14, "width is %d, want 1 to 16384", c.Width)
	check(c.Blocks >= 1 && c.Blocks <= 256, "blocks is %d, want 1 to 256", c.Blocks)
	check(c.Heads >= 1 && c.Width%max(c.Heads, 1) == 0, "heads is %d, want a divisor of width %d", c.Heads, c.Width)
	check(c.KeyWidth >= 1 && c.KeyWidth <= 1<<14 && c.KeyWidth%max(c.Heads, 1) == 0, "key_width is %d, want a multiple of heads %d up to 16384", c.KeyWidth, c.Heads)
	check(c.Length >= 1 && c.Length <= 1<<20, "length is %d, want 1 to 1048576", c.Length)
	check(c.Hidden >= 1 && c.Hidden <= 64, "hidden is %d, want 1 to 64", c.Hidden)
	check(c.Dropout >= 0 && c.Dropout < 1, "dropout is %v, want 0 to below 1", c.Dropout)
	check(c.AttentionDropout >= 0 && c.AttentionDropout < 1, "attention_dropout is %v, want 0 to below 1", c.AttentionDropout)
	check(c.Epsilon > 0 && c.Epsilon < 1, "epsilon is %v, want above 0 and below 1", c.Epsilon)
	check(c.InitStd >= 0 && c.InitStd < 10, "init_std is %v, want 0 (Xavier) to 10", c.InitStd)
	check(slices.Contains([]Layout{Original, PreLN, PostLN}, c.Layout), "layout %q is unknown, want original, pre-ln or post-ln", c.Layout)
	check(slices.Contains([]Positions{LearnedReverse, LearnedForward, NoPositions}, c.Positions), "positions %q is unknown, want learned-reverse, learned-forward or none", c.Positions)
	check(slices.Contains(attention.Kinds(), c.Attention), "attention %q is unknown, want one of %v", c.Attention, attention.Kinds())
	check(slices.Contains([]tensor.Activation{tensor.ReLU, tensor.GELU, tensor.SiLU}, c.Activation), "activation %q is unknown, want relu, gelu or silu", c.Activation)
	check(len(faults) > 0 || c.floats() <= maxFloats, "the model has %.1f G parameters, more than the %d G allowed", float64(c.floats())/1e9, maxFloats>>30)
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("model config: %w", err)
	}
	return nil
}

// floats is the number of parameters in matrices; vectors are not counted.
func (c Config) floats() float64 {
	rows := float64(c.Items)
	if c.SeparateOutput {
		rows *= 2
	}
	if c.Positions != NoPositions {
		rows += float64(c.Length)
	}
	columns := 2*c.KeyWidth + c.Width + 2*c.Hidden*c.Width // of one block, each a Width long
	if c.OutputProjection {
		columns += c.Width
	}
	return float64(c.Width) * (rows + float64(c.Blocks)*float64(columns))
}
