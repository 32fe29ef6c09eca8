package seqmodel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
)

// Model is a sequence model: parameters and a forward pass over packed
// histories. Its weights are read by any number of rankers at once; a Trainer
// writes them and must be alone.
type Model interface {
	Config() Config
	// Params lists every learned matrix in a fixed order.
	Params() *tensor.Params
	// Items is the catalogue size N.
	Items() int
	// NewRanker makes a ranker with scratch memory of its own.
	NewRanker() features.Ranker
	// ItemVectors is the output table, row-major N x width. It must not be
	// written.
	ItemVectors() (table []float32, width int)
	// Describe is one line for people: "sasrec pre-ln d64 b2 h1 L200".
	Describe() string

	// forward gives one state per row of in.want (see input).
	forward(t *tensor.Tape, in *input) *tensor.Var
	// head is the table and the bias (or nil) that score a state.
	head() (table, bias *tensor.Param)
	// quick is the 8-bit twin of the table, for the first pass over a large
	// catalogue; it holds nothing until setQuick.
	quick() *kernel.Int8Table
}

// input is one packed group of histories as a forward pass sees it.
type input struct {
	items     tensor.Index // T item numbers
	positions tensor.Index // T rows of the position table
	offsets   tensor.Index // B+1
	// rows are the tokens whose state is wanted: nil for all of them, else the
	// last token of each history, so that the last block computes only those.
	rows       *tensor.Index
	rowOffsets tensor.Index // 0..B, with rows
}

// Kinds lists the names New knows.
func Kinds() []string { return []string{"sasrec"} }

// New makes a model with fresh weights. Equal configs and seeds give equal
// weights.
func New(c Config, seed uint64) (Model, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := declare(c)
	if err != nil {
		return nil, err
	}
	m.Params().Alloc()
	initialise(m, seed)
	return m, nil
}

// declare makes a model whose parameters have names and shapes but no memory
// yet.
func declare(c Config) (Model, error) {
	switch c.Model {
	case "sasrec":
		return newSASRec(c)
	}
	return nil, fmt.Errorf("model %q is unknown, want one of %v", c.Model, Kinds())
}

// quickItems is the catalogue from which scoring is bound by memory, so that a
// first pass in 8 bits pays; below it the float32 table sits in cache.
const quickItems = 32 << 10

// index packs the 8-bit twin of a loaded model's table where it helps. The
// answers stay those of float32, to the bit.
func index(m Model) {
	table, bias := m.head()
	if _, cpu := m.Params().Device().(tensor.CPU); !cpu {
		return
	}
	if bias == nil && table.Val.Rows >= quickItems {
		m.quick().Pack(table.Val.V, table.Val.Cols, table.Val.Rows, table.Val.Cols)
	}
}

// initialise draws every decaying matrix from a normal distribution, sets gains
// to one and leaves biases at zero. An InitStd of 0 gives Xavier's variance
// (Glorot & Bengio 2010, eq. 12).
func initialise(m Model, seed uint64) {
	dev := m.Params().Device()
	for i, p := range m.Params().List() {
		host := make([]float32, p.Val.Len())
		switch {
		case p.Decay:
			std := float64(m.Config().InitStd)
			if std == 0 {
				std = math.Sqrt(2 / float64(p.Val.Rows+p.Val.Cols))
			}
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for j := range host {
				host[j] = float32(rng.NormFloat64() * std)
			}
		case strings.HasSuffix(p.Name, ".gain"):
			for j := range host {
				host[j] = 1
			}
		}
		dev.Upload(p.Val, host)
	}
}
