package seqmodel

import (
	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
)

// rankTokens bounds the tokens and the queries of one forward pass of a Ranker,
// so that its memory is bounded however many queries arrive at once.
const rankTokens = 2048

// scoreFloats bounds the scores that Score holds on the device at once.
const scoreFloats = 1 << 22

// Ranker answers queries with one model. It allocates nothing once it has met
// queries as long, as many and with as large a K. A query with an empty history
// is scored by the output bias alone: its state is zero.
//
// States stay on the model's device; only winners, or the scores that were
// asked for, come to the host.
type Ranker struct {
	model  Model
	tape   *tensor.Tape
	pack   *packer
	in     input
	states tensor.Mat // queries of one pass x D, on the tape
	top    kernel.TopK
	named  []uint64  // bitmap of the candidates met so far
	picked []int32   // candidates that may be ranked
	scores []float32 // theirs
}

var _ features.Ranker = (*Ranker)(nil)

func newRanker(m Model) *Ranker {
	return &Ranker{model: m, tape: tensor.NewTape(m.Params().Device()), pack: newPacker(m.Config())}
}

// Rank implements features.Ranker.
func (r *Ranker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	for lo := 0; lo < len(queries); {
		hi := r.encode(queries, lo)
		for i := lo; i < hi; i++ {
			dst[i] = r.rankOne(dst[i][:0], &queries[i], r.states.Slice(i-lo, i-lo+1))
		}
		lo = hi
	}
}

// Score implements features.Ranker.
func (r *Ranker) Score(dst []float32, queries []features.Query) {
	table, bias := r.model.head()
	n, dev := table.Val.Rows, r.tape.Device()
	for lo := 0; lo < len(queries); {
		hi := r.encode(queries, lo)
		group := max(1, scoreFloats/n)
		scores := r.tape.Scratch(min(group, hi-lo), n)
		for i := lo; i < hi; i += group {
			j := min(i+group, hi)
			part := scores.Slice(0, j-i)
			dev.Gemm(part, r.states.Slice(i-lo, j-lo), false, table.Val, true, false)
			if bias != nil {
				dev.AddBias(part, bias.Val)
			}
			dev.Download(dst[i*n:j*n], part)
		}
		lo = hi
	}
}

// Encode writes the state of each query's history: dst is len(queries) x D.
func (r *Ranker) Encode(dst []float32, queries []features.Query) {
	d := r.model.Config().Width
	for lo := 0; lo < len(queries); {
		hi := r.encode(queries, lo)
		r.tape.Device().Download(dst[lo*d:hi*d], r.states)
		lo = hi
	}
}

// encode fills states for queries lo..hi-1 and returns hi: as many as fit in
// one pass, at least one.
func (r *Ranker) encode(queries []features.Query, lo int) (hi int) {
	r.pack.reset()
	length := r.model.Config().Length
	for hi = lo; hi < len(queries); hi++ {
		n := min(len(queries[hi].History), length)
		if hi > lo && (len(r.pack.items)+n > rankTokens || hi-lo == rankTokens) {
			break
		}
		if n > 0 {
			r.pack.add(queries[hi].History)
		}
	}
	r.tape.Reset(0)
	if len(r.pack.items) == 0 {
		r.states = r.tape.Scratch(hi-lo, r.model.Config().Width)
		r.tape.Device().Zero(r.states)
		return hi
	}
	r.in = r.pack.input(r.tape.Device(), true)
	r.states = r.model.forward(r.tape, &r.in).Mat
	if r.states.Rows < hi-lo {
		r.spread(queries[lo:hi])
	}
	return hi
}

// spread moves the states of non-empty histories to their queries' places and
// gives the others zeros.
func (r *Ranker) spread(queries []features.Query) {
	dev, from := r.tape.Device(), r.states
	r.states = r.tape.Scratch(len(queries), from.Cols)
	dev.Zero(r.states)
	next := 0
	for i := range queries {
		if len(queries[i].History) > 0 {
			dev.Copy(r.states.Slice(i, i+1), from.Slice(next, next+1))
			next++
		}
	}
}

func (r *Ranker) rankOne(dst []kernel.Scored, q *features.Query, state tensor.Mat) []kernel.Scored {
	table, bias := r.head()
	r.top.Reset(min(q.K, table.Rows)) // whatever K is asked for, memory is bounded
	switch {
	case q.Candidates != nil:
		r.rankCandidates(q, state)
	case r.model.quick().Len() > 0: // only models on the CPU have it
		r.model.quick().ScoreTopK(&r.top, state.V, q.Blocked)
	default:
		r.tape.Device().TopK(&r.top, table, bias, state, q.Blocked)
	}
	return r.top.Sorted(dst)
}

// head is the model's head as matrices; the bias is empty when there is none.
func (r *Ranker) head() (table, bias tensor.Mat) {
	t, b := r.model.head()
	if b != nil {
		bias = b.Val
	}
	return t.Val, bias
}

// rankCandidates offers only the given items, with the scores that ranking the
// whole catalogue gives them. An item named twice is ranked once.
func (r *Ranker) rankCandidates(q *features.Query, state tensor.Mat) {
	table, bias := r.head()
	if r.named == nil {
		r.named = make([]uint64, (table.Rows+63)/64)
	}
	r.picked = r.picked[:0]
	for _, item := range q.Candidates {
		if !has(q.Blocked, item) && !has(r.named, item) {
			r.named[item>>6] |= 1 << (item & 63)
			r.picked = append(r.picked, item)
		}
	}
	for _, item := range r.picked {
		r.named[item>>6] = 0
	}
	r.scores = resize(r.scores, len(r.picked))
	dev := r.tape.Device()
	dev.ScoreAt(r.scores, table, bias, state, dev.Index(r.picked))
	for i, item := range r.picked {
		r.top.Scan(r.scores[i:i+1], item, nil)
	}
}

// has says whether the bitmap holds the item. Bits past its end are clear, as
// kernel.TopK reads bitmaps.
func has(bitmap []uint64, item int32) bool {
	word := int(item >> 6)
	return word < len(bitmap) && bitmap[word]&(1<<(item&63)) != 0
}

func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
