package lifelong

import (
	"math"

	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
)

// tables give vectors to candidates and behaviours: one row each of every
// table, side by side. The semantic part (item, category, kind) comes first, then
// the temporal part (position, time gap).
type tables struct {
	item, category, kind, position, gap *tensor.Param // those without data are nil
	identity                            int           // width of item and category, which an item alone decides
	semantic, temporal                  int           // widths of the two parts
}

func newTables(p *tensor.Params, prefix string, c Config, width int) *tables {
	t := &tables{semantic: width}
	t.item = p.Add(prefix+"item", c.Items, width, true)
	if c.Categories > 0 {
		t.category = p.Add(prefix+"category", c.Categories, width, true)
		t.semantic += width
	}
	t.identity = t.semantic
	if c.Kinds > 0 {
		t.kind = p.Add(prefix+"kind", c.Kinds+1, width, true) // the last row is the candidate's
		t.semantic += width
	}
	if !c.temporal() {
		return t
	}
	t.temporal = width
	t.position = p.Add(prefix+"position", c.Positions, width, true)
	if c.Gaps {
		t.gap = p.Add(prefix+"gap", gapRows, width, true)
		t.temporal += width
	}
	return t
}

func (t *tables) width() int { return t.semantic + t.temporal }

// tokens are candidates or behaviours as rows of the tables.
type tokens struct {
	items, categories, kinds, positions, gaps []int32
}

func (k *tokens) reset() {
	k.items, k.categories, k.kinds, k.positions, k.gaps = k.items[:0], k.categories[:0], k.kinds[:0], k.positions[:0], k.gaps[:0]
}

// lookup gives the vectors of tokens, with the parts scaled.
func (t *tables) lookup(tape *tensor.Tape, k *tokens, semantic, temporal float32) *tensor.Var {
	dev := tape.Device()
	var list [5]tensor.Part
	parts := append(list[:0], tensor.Part{Table: t.item, Rows: dev.Index(k.items), Scale: semantic})
	if t.category != nil {
		parts = append(parts, tensor.Part{Table: t.category, Rows: dev.Index(k.categories), Scale: semantic})
	}
	if t.kind != nil {
		parts = append(parts, tensor.Part{Table: t.kind, Rows: dev.Index(k.kinds), Scale: semantic})
	}
	if t.position != nil {
		parts = append(parts, tensor.Part{Table: t.position, Rows: dev.Index(k.positions), Scale: temporal})
	}
	if t.gap != nil {
		parts = append(parts, tensor.Part{Table: t.gap, Rows: dev.Index(k.gaps), Scale: temporal})
	}
	return tape.Lookup(parts...)
}

// vectors are the rows as they are.
func (t *tables) vectors(tape *tensor.Tape, k *tokens) *tensor.Var { return t.lookup(tape, k, 1, 1) }

// queries are the candidates' vectors with each part divided by the root of its
// width, so that one inner product with a behaviour's vector is the sum of the
// separately scaled semantic and temporal scores (DARE, eq. 3).
func (t *tables) queries(tape *tensor.Tape, k *tokens) *tensor.Var {
	return t.lookup(tape, k, t.semanticScale(), t.temporalScale())
}

func (t *tables) semanticScale() float32 { return float32(1 / math.Sqrt(float64(t.semantic))) }
func (t *tables) temporalScale() float32 { return float32(1 / math.Sqrt(float64(max(t.temporal, 1)))) }

// pick is the tokens at the given places.
func (k *tokens) pick(dst *tokens, at []int32) {
	dst.reset()
	for _, i := range at {
		dst.items = append(dst.items, k.items[i])
		dst.positions = append(dst.positions, k.positions[i])
		if len(k.categories) > 0 {
			dst.categories = append(dst.categories, k.categories[i])
		}
		if len(k.kinds) > 0 {
			dst.kinds = append(dst.kinds, k.kinds[i])
		}
		if len(k.gaps) > 0 {
			dst.gaps = append(dst.gaps, k.gaps[i])
		}
	}
}

// row is row i of a table.
func row(p *tensor.Param, i int32) []float32 {
	w := p.Val.Cols
	return p.Val.V[int(i)*w:][:w]
}

func rowDot(p *tensor.Param, i, j int32) float32 { return kernel.Dot(row(p, i), row(p, j)) }
