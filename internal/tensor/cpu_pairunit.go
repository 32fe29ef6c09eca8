package tensor

import "seqrec/internal/kernel"

// pairUnit is one PairUnit under way. A query is folded into the weights, so that
// its hidden layer is one product with a block of keys:
//
//	h = W [k ; 1]    W = [Product^T diag(q) + Key^T , Hidden_q]
//
// Hidden units are rows and keys are columns, so that rows are long. E is D+1, n
// the keys of the block.
type pairUnit struct {
	a            *PairUnitArgs
	d, e, u, n   int
	slope        float32
	product, key []float32 // U x E: transposed, and a column of zeros
	query        []float32 // U x E: the query and a zero in every row
	w            []float32 // U x E
	low, high    []float32 // U: what a score takes of h, and of max(h, 0) besides
	keys         []float32 // panels of PanelWidth keys, E lines each, the last of ones
	h            []float32 // U x n

	// Of the backward.
	dw, dproduct, dkey []float32 // U x E, with a last column that nobody reads
	dq                 []float32 // E
	dh                 []float32 // U x n
	ds, part           []float32 // n
	dslope             float64
}

// pairUnitKeys is the most keys of a block: what is made of them stays in the
// second cache.
const pairUnitKeys = 256

// PairUnitScratch counts the floats that Scratch needs, for keys of width d and u
// hidden units.
func PairUnitScratch(d, u int) int {
	e := d + 1
	return 7*u*e + 2*u + e + (e+2*u+2)*pairUnitKeys
}

func newPairUnit(a *PairUnitArgs) pairUnit {
	d, u := a.K.Cols, a.Hidden.Cols
	if a.Q.Cols != d || a.Out.Len() != u || a.Slope.Len() != 1 || a.Q.Rows != a.Hidden.Rows {
		panic("tensor: PairUnit: shapes do not fit")
	}
	sameShape("PairUnit", a.Product, Mat{Rows: d, Cols: u})
	sameShape("PairUnit", a.Key, a.Product)
	p := pairUnit{a: a, d: d, e: d + 1, u: u, slope: a.Slope.V[0]}
	scratch := a.Scratch.V
	take := func(n int) (part []float32) {
		part, scratch = scratch[:n:n], scratch[n:]
		return part
	}
	for _, part := range []*[]float32{&p.product, &p.key, &p.query, &p.w, &p.dw, &p.dproduct, &p.dkey} {
		*part = take(u * p.e)
		clear(*part)
	}
	p.keys, p.h, p.dh = take(p.e*pairUnitKeys), take(u*pairUnitKeys), take(u*pairUnitKeys)
	p.ds, p.part = take(pairUnitKeys), take(pairUnitKeys)
	p.low, p.high, p.dq = take(u), take(u), take(p.e)
	for i := range p.keys {
		p.keys[i] = 1
	}
	p.turn(p.product, a.Product, false)
	p.turn(p.key, a.Key, false)
	kernel.Scale(p.low, a.Scale*p.slope, a.Out.V)
	kernel.Scale(p.high, a.Scale*(1-p.slope), a.Out.V)
	return p
}

// turn adds weights (D x U) to their transpose, or with back the other way round.
func (p *pairUnit) turn(turned []float32, weights Mat, back bool) {
	for j := range p.u {
		row := turned[j*p.e:][:p.d]
		for l := range row {
			if back {
				weights.V[l*p.u+j] += row[l]
			} else {
				row[l] += weights.V[l*p.u+j]
			}
		}
	}
}

// each calls f for every query and block of keys, with h made: query row q, the
// first key row, the first pair.
func (p *pairUnit) each(f func(q, key, pair int)) {
	pairBlocks(p.a.QOffsets, p.a.KOffsets, func(b pairBlock) {
		for lo := 0; lo < b.nk; lo += pairUnitKeys {
			p.load(b.k+lo, min(pairUnitKeys, b.nk-lo))
			for i := range b.nq {
				p.fold(b.q + i)
				p.multiply()
				f(b.q+i, b.k+lo, b.pair+i*b.nk+lo)
			}
		}
	})
}

// load begins a block of n keys.
func (p *pairUnit) load(key, n int) {
	p.n = n
	p.h, p.dh = p.h[:p.u*n], p.dh[:p.u*n]
	p.ds, p.part = p.ds[:n], p.part[:n]
	for lo := 0; lo < n; lo += kernel.PanelWidth {
		kernel.PackPanel(p.panel(lo), p.a.K.V[(key+lo)*p.d:], p.d, min(kernel.PanelWidth, n-lo), p.d)
	}
}

// panel is the panel of keys lo.. of the block.
func (p *pairUnit) panel(lo int) []float32 {
	return p.keys[lo*p.e:][:p.e*kernel.PanelWidth]
}

// fold makes the weights of a query.
func (p *pairUnit) fold(q int) {
	row := p.a.Q.V[q*p.d:][:p.d]
	for j := range p.u {
		copy(p.query[j*p.e:], row)
	}
	kernel.Mul(p.w, p.product, p.query)
	kernel.Add(p.w, p.w, p.key)
	for j, x := range p.a.Hidden.V[q*p.u:][:p.u] {
		p.w[j*p.e+p.d] = x
	}
}

// multiply makes h.
func (p *pairUnit) multiply() {
	for lo := 0; lo < p.n; lo += kernel.PanelWidth {
		kernel.GemmNN(p.u, min(kernel.PanelWidth, p.n-lo), p.e, p.w, p.e, p.panel(lo), kernel.PanelWidth, p.h[lo:], p.n, false)
	}
}

// PairUnit reads PReLU(h) as slope*h + (1-slope)*max(h, 0).
func (CPU) PairUnit(a PairUnitArgs) {
	p := newPairUnit(&a)
	p.each(func(_, _, pair int) {
		s := a.S.V[pair:][:p.n]
		kernel.GemmNN(1, p.n, p.u, p.low, p.u, p.h, p.n, s, p.n, false)
		kernel.Relu(p.h, p.h)
		kernel.GemmNN(1, p.n, p.u, p.high, p.u, p.h, p.n, s, p.n, true)
	})
}

// PairUnitBackward undoes PairUnit for a query and a block of keys at a time:
//
//	dh = ds Out^T * (h > 0 ? 1 : slope)    dK = dh^T W    dW = dh K
//	dProduct = diag(q) dW^T    dKey = dW^T    dq = rowsum(Product * dW^T)
func (CPU) PairUnitBackward(a PairUnitArgs, g PairUnitGrads) {
	p := newPairUnit(&a)
	p.each(func(q, key, pair int) {
		kernel.Scale(p.ds, a.Scale, g.DS.V[pair:][:p.n])
		p.hiddenBackward(g.DOut.V, g.DHidden.V[q*p.u:][:p.u])
		kernel.GemmTN(p.n, p.d, p.u, p.dh, p.n, p.w, p.e, g.DK.V[key*p.d:], p.d, true)
		kernel.GemmNN(p.u, p.d, p.n, p.dh, p.n, a.K.V[key*p.d:], p.d, p.dw, p.e, false)
		p.unfold(g.DQ.V[q*p.d:][:p.d])
	})
	g.DSlope.V[0] += float32(p.dslope)
	p.turn(p.dproduct, g.DProduct, true)
	p.turn(p.dkey, g.DKey, true)
}

// hiddenBackward makes dh and adds the gradients of what is behind h.
func (p *pairUnit) hiddenBackward(dout, dhidden []float32) {
	for j, out := range p.a.Out.V {
		h, dh := p.h[j*p.n:][:p.n], p.dh[j*p.n:][:p.n]
		all := kernel.Dot(p.ds, h)
		kernel.Scale(dh, out*p.slope, p.ds)
		kernel.Scale(p.part, out*(1-p.slope), p.ds)
		kernel.ReluBackward(dh, p.part, h)
		kernel.Relu(h, h)
		positive := kernel.Dot(p.ds, h)
		dout[j] += p.slope*all + (1-p.slope)*positive
		p.dslope += float64(out * (all - positive))
		dhidden[j] += kernel.Sum(dh)
	}
}

// unfold adds what the weights of a query owe to the query and to the weights of
// all; w is of no more use.
func (p *pairUnit) unfold(dq []float32) {
	kernel.Add(p.dkey, p.dkey, p.dw)
	kernel.Mul(p.w, p.dw, p.query)
	kernel.Add(p.dproduct, p.dproduct, p.w)
	kernel.Mul(p.w, p.dw, p.product)
	clear(p.dq)
	kernel.SumRows(p.dq, p.w, p.u, p.e)
	kernel.Add(dq, dq, p.dq[:p.d])
}
