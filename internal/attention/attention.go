package attention

import (
	"fmt"
	"math"

	"seqrec/internal/tensor"
)

// Attention aggregates values by how well queries match keys, sequence by
// sequence. Its laws, held by attentiontest:
//
//   - sequences of one packed batch never see each other;
//   - the queries of a sequence stand for its newest keys, so asking only for
//     the last row gives the last row of asking for all;
//   - a causal variant's output at row i does not depend on rows after i;
//   - a query without a visible key gets zeros.
type Attention interface {
	// Attend takes q (Tq x H*Dk), k (Tk x H*Dk), v (Tk x H*Dv) with the offsets
	// of the query rows and of the key rows, and gives Tq x H*Dv.
	Attend(t *tensor.Tape, q, k, v *tensor.Var, qOffsets, kOffsets tensor.Index) *tensor.Var
}

// Config is what every variant needs to know.
type Config struct {
	Heads   int
	Causal  bool
	Dropout float32 // on the weights, while learning
}

// Kinds lists the names New knows.
func Kinds() []string { return []string{"softmax"} }

// New makes the variant with that name.
func New(kind string, c Config) (Attention, error) {
	if c.Heads < 1 {
		return nil, fmt.Errorf("attention: %d heads, want at least 1", c.Heads)
	}
	switch kind {
	case "softmax":
		return Softmax{Config: c}, nil
	}
	return nil, fmt.Errorf("attention: unknown kind %q, want one of %v", kind, Kinds())
}

// Softmax is scaled dot-product attention, softmax(q k^T / sqrt(Dk)) v
// (Vaswani et al. 2017, eq. 1).
type Softmax struct{ Config }

var _ Attention = Softmax{}

// Attend implements Attention.
func (s Softmax) Attend(t *tensor.Tape, q, k, v *tensor.Var, qOffsets, kOffsets tensor.Index) *tensor.Var {
	return t.Attend(q, k, v, tensor.AttendArgs{
		QOffsets: qOffsets, KOffsets: kOffsets, Heads: s.Heads, Causal: s.Causal,
		Scale: float32(1 / math.Sqrt(float64(q.Cols/s.Heads))),
	}, s.Dropout)
}
