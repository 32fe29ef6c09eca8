package tensor

import (
	"cmp"
	"slices"

	"seqrec/internal/kernel"
)

// pairBlock is the pairs of one sequence.
type pairBlock struct {
	q, nq int // first query row, query rows
	k, nk int
	pair  int // first pair
}

// pairBlocks calls f for every sequence that has queries, in order.
func pairBlocks(qOffsets, kOffsets Index, f func(pairBlock)) {
	if qOffsets.N != kOffsets.N {
		panic("tensor: pairs: queries and keys of different sequences")
	}
	pair := 0
	for b := range qOffsets.N - 1 {
		p := pairBlock{q: int(qOffsets.V[b]), nq: int(qOffsets.V[b+1] - qOffsets.V[b]),
			k: int(kOffsets.V[b]), nk: int(kOffsets.V[b+1] - kOffsets.V[b]), pair: pair}
		pair += p.nq * p.nk
		if p.nq > 0 {
			f(p)
		}
	}
}

func (p pairBlock) rows(m Mat) []float32 { return m.V[p.pair:][:p.nq*p.nk] }

// PairScores is one product for each sequence.
func (CPU) PairScores(a PairArgs) {
	d := a.Q.Cols
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		if p.nk == 0 {
			return
		}
		s := p.rows(a.S)
		kernel.GemmNT(p.nq, p.nk, d, a.Q.V[p.q*d:], d, a.K.V[p.k*d:], d, s, p.nk, false)
		if a.Scale != 1 {
			kernel.Scale(s, a.Scale, s)
		}
		if a.Bias.V != nil {
			for i := range p.nq {
				row := s[i*p.nk:][:p.nk]
				kernel.Add(row, row, a.Bias.V[p.k:][:p.nk])
			}
		}
	})
}

// PairScoresBackward scales ds in place first: nobody reads it afterwards.
func (CPU) PairScoresBackward(a PairArgs, ds, dq, dk Mat) {
	d := a.Q.Cols
	if a.Scale != 1 {
		kernel.Scale(ds.V, a.Scale, ds.V)
	}
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		if p.nk == 0 {
			return
		}
		g := p.rows(ds)
		kernel.GemmNN(p.nq, d, p.nk, g, p.nk, a.K.V[p.k*d:], d, dq.V[p.q*d:], d, true)
		kernel.GemmTN(p.nk, d, p.nq, g, p.nk, a.Q.V[p.q*d:], d, dk.V[p.k*d:], d, true)
	})
}

// SelectPairs shows each row of scores to a top-k, newest key first, so that
// ties fall to the later key.
func (CPU) SelectPairs(a SelectArgs) {
	pairs, keys, offsets := (*a.Pairs)[:0], (*a.Keys)[:0], append((*a.Offsets)[:0], 0)
	var top kernel.TopK
	var reversed []float32
	var best []kernel.Scored
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		for i := range p.nq {
			row := a.S.V[p.pair+i*p.nk:][:p.nk]
			reversed = append(reversed[:0], row...)
			slices.Reverse(reversed)
			top.Reset(min(a.K, p.nk))
			top.Scan(reversed, 0, nil)
			best = top.Sorted(best)
			slices.SortFunc(best, func(x, y kernel.Scored) int { return cmp.Compare(y.Item, x.Item) })
			for _, s := range best {
				j := p.nk - 1 - int(s.Item)
				pairs = append(pairs, int32(p.pair+i*p.nk+j))
				keys = append(keys, int32(p.k+j))
			}
			offsets = append(offsets, int32(len(pairs)))
		}
	})
	*a.Pairs, *a.Keys, *a.Offsets = pairs, keys, offsets
}

// Aggregate is softmax row by row and one product for each sequence.
func (CPU) Aggregate(a AggregateArgs) {
	d := a.V.Cols
	copy(a.Weights.V, a.S.V)
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		if p.nk == 0 {
			clearRows(a.Out, p.q, p.q+p.nq, 0, d)
			return
		}
		w := p.rows(a.Weights)
		for i := range p.nq {
			kernel.Softmax(w[i*p.nk:][:p.nk], 1)
		}
		kernel.GemmNN(p.nq, d, p.nk, w, p.nk, a.V.V[p.k*d:], d, a.Out.V[p.q*d:], d, false)
	})
}

// AggregateBackward undoes Aggregate:
//
//	dV = w^T dO    dw = dO V^T    dS = w * (dw - rowsum(w*dw))
func (CPU) AggregateBackward(a AggregateArgs, dout, ds, dv Mat) {
	d := a.V.Cols
	var scratch []float32
	pairBlocks(a.QOffsets, a.KOffsets, func(p pairBlock) {
		if p.nk == 0 {
			return
		}
		w := p.rows(a.Weights)
		kernel.GemmTN(p.nk, d, p.nq, w, p.nk, dout.V[p.q*d:], d, dv.V[p.k*d:], d, true)
		scratch = slices.Grow(scratch[:0], len(w))[:len(w)]
		kernel.GemmNT(p.nq, p.nk, d, dout.V[p.q*d:], d, a.V.V[p.k*d:], d, scratch, p.nk, false)
		for i := range p.nq {
			row := scratch[i*p.nk:][:p.nk]
			kernel.SoftmaxBackward(row, w[i*p.nk:][:p.nk], row, 1)
		}
		into := p.rows(ds)
		kernel.Add(into, into, scratch)
	})
}
