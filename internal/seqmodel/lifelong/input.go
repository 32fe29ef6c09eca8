package lifelong

import (
	"math"

	"seqrec/internal/tensor"
)

// input is one packed group of histories with their candidates, as a forward
// pass sees it: sequence b has candidates qOffsets[b].. and behaviours
// kOffsets[b]...
type input struct {
	config     Config
	candidates tokens    // Tq
	history    tokens    // Tk, oldest first
	sizes      []float32 // ln of the events each behaviour stands for; empty when all are one
	qOffsets   []int32
	kOffsets   []int32

	sel     tensor.Selection // what search kept
	weights []float32        // the attention on each entry of sel; kept when explain is set
	explain bool
	picked  tokens           // the tokens of sel
	single  []int32          // 0..Tq
	moments []tensor.Moments // of the batch norms, in the order they ran
}

func (in *input) reset() {
	in.candidates.reset()
	in.history.reset()
	in.sizes, in.moments = in.sizes[:0], in.moments[:0]
	in.qOffsets, in.kOffsets = append(in.qOffsets[:0], 0), append(in.kOffsets[:0], 0)
}

// History is what somebody did, oldest first, in the numbers of a model.
type History struct {
	Items []int32 // item numbers; -1 is an item the model does not know
	Times []int64 // Unix milliseconds, parallel to Items; nil when unknown
	Kinds []int32 // kind codes, parallel to Items; nil when unknown
}

// Len is the number of events.
func (h *History) Len() int { return len(h.Items) }

// newest is the history without all but the newest n events.
func (h History) newest(n int) History {
	lo := max(0, len(h.Items)-n)
	h.Items = h.Items[lo:]
	if h.Times != nil {
		h.Times = h.Times[lo:]
	}
	if h.Kinds != nil {
		h.Kinds = h.Kinds[lo:]
	}
	return h
}

// add appends one sequence: a history and the candidates that are wanted at the
// moment at (Unix ms, 0 when unknown). Events of unknown items are left out but
// keep their position.
func (in *input) add(categories []int32, h History, candidates []int32, at int64) {
	c := &in.config
	for i, item := range h.Items {
		if item < 0 {
			continue
		}
		in.history.items = append(in.history.items, item)
		in.history.positions = append(in.history.positions, c.position(h.Len()-i))
		if c.Categories > 0 {
			in.history.categories = append(in.history.categories, categories[item])
		}
		if c.Kinds > 0 {
			in.history.kinds = append(in.history.kinds, kindOf(h, i))
		}
		if c.Gaps {
			in.history.gaps = append(in.history.gaps, gapOf(h, i, at))
		}
	}
	in.addCandidates(categories, candidates)
	in.kOffsets = append(in.kOffsets, int32(len(in.history.items)))
}

func (in *input) addCandidates(categories []int32, candidates []int32) {
	c := &in.config
	for _, item := range candidates {
		in.candidates.items = append(in.candidates.items, item)
		in.candidates.positions = append(in.candidates.positions, 0)
		if c.Categories > 0 {
			in.candidates.categories = append(in.candidates.categories, categories[item])
		}
		if c.Kinds > 0 {
			in.candidates.kinds = append(in.candidates.kinds, int32(c.Kinds))
		}
		if c.Gaps {
			in.candidates.gaps = append(in.candidates.gaps, 0)
		}
	}
	in.qOffsets = append(in.qOffsets, int32(len(in.candidates.items)))
}

// ask puts other candidates to an input of one sequence.
func (in *input) ask(categories []int32, candidates []int32) {
	in.candidates.reset()
	in.qOffsets = append(in.qOffsets[:0], 0)
	in.addCandidates(categories, candidates)
}

func kindOf(h History, i int) int32 {
	if h.Kinds == nil {
		return 0
	}
	return h.Kinds[i]
}

// gapOf is the gap row of event i; without times every event is as near.
func gapOf(h History, i int, at int64) int32 {
	if h.Times == nil || at == 0 {
		return 1
	}
	return gap(at - h.Times[i])
}

func (in *input) offsets(t *tensor.Tape) (q, k tensor.Index) {
	return t.Device().Index(in.qOffsets), t.Device().Index(in.kOffsets)
}

// bias is what the size of a cluster adds to its score.
func (in *input) bias(t *tensor.Tape) tensor.Mat {
	if len(in.sizes) == 0 {
		return tensor.Mat{}
	}
	m := t.Scratch(len(in.sizes), 1)
	t.Device().Upload(m, in.sizes)
	return m
}

// attendSelected is softmax over the scores of the selected pairs and the sum of
// their vectors that it weighs.
func (in *input) attendSelected(t *tensor.Tape, s *tensor.Var, values *tables) *tensor.Var {
	chosen := t.Rows(s, t.Device().Index(in.sel.Pairs))
	qo, ko := in.selected(t)
	u, weights := t.Aggregate(chosen, values.vectors(t, &in.picked), qo, ko)
	in.keepWeights(t, weights)
	return u
}

// selected prepares the selected events as one short sequence for each
// candidate.
func (in *input) selected(t *tensor.Tape) (qOffsets, kOffsets tensor.Index) {
	in.history.pick(&in.picked, in.sel.Keys)
	in.single = in.single[:0]
	for i := range len(in.candidates.items) + 1 {
		in.single = append(in.single, int32(i))
	}
	return t.Device().Index(in.single), t.Device().Index(in.sel.Offsets)
}

func (in *input) keepWeights(t *tensor.Tape, weights tensor.Mat) {
	if in.explain {
		in.weights = resize(in.weights, weights.Len())
		t.Device().Download(in.weights, weights)
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func logSize(n int) float32 { return float32(math.Log(float64(n))) }
