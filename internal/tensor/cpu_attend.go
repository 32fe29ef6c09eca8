package tensor

import "seqrec/internal/kernel"

// attendSpan is the part of one Attend that belongs to one head of one
// sequence, cut into blocks of queries.
type attendSpan struct {
	nq, nk     int
	q, o       int // first float of the head in the first query row of Q and Out
	k, v       int // likewise in K and V
	weights    int // first float in Weights
	ldq, ldk   int
	ldv, ldo   int
	dk, dv     int
	causal     bool
	scale      float32
	drop       Drop
	firstQuery int // the key that query 0 stands for
}

// visible is how many keys query i sees.
func (s *attendSpan) visible(i int) int {
	if !s.causal {
		return s.nk
	}
	return max(0, min(s.nk, s.firstQuery+i+1))
}

// spans walks every (sequence, head) of an Attend in a fixed order.
type spans struct {
	a    *AttendArgs
	b, h int
	off  int // floats of Weights before the next span
	cur  attendSpan
}

func newSpans(a *AttendArgs) spans {
	dk, dv := a.Q.Cols/a.Heads, a.V.Cols/a.Heads
	if dk*a.Heads != a.Q.Cols || dv*a.Heads != a.V.Cols || a.K.Cols != a.Q.Cols {
		panic("tensor: Attend: widths do not divide into heads")
	}
	return spans{a: a, cur: attendSpan{
		ldq: a.Q.Cols, ldk: a.K.Cols, ldv: a.V.Cols, ldo: a.Out.Cols,
		dk: dk, dv: dv, causal: a.Causal, scale: a.Scale, drop: a.Drop,
	}}
}

// next moves to the next span that has queries and keys; the outputs of queries
// without keys are set to zero on the way.
func (it *spans) next() bool {
	a, s := it.a, &it.cur
	for it.b < a.QOffsets.N-1 {
		q0, q1 := int(a.QOffsets.V[it.b]), int(a.QOffsets.V[it.b+1])
		k0, k1 := int(a.KOffsets.V[it.b]), int(a.KOffsets.V[it.b+1])
		h := it.h
		if it.h++; it.h == a.Heads {
			it.b, it.h = it.b+1, 0
		}
		s.nq, s.nk = q1-q0, k1-k0
		s.firstQuery = s.nk - s.nq
		s.q, s.o = q0*s.ldq+h*s.dk, q0*s.ldo+h*s.dv
		s.k, s.v = k0*s.ldk+h*s.dk, k0*s.ldv+h*s.dv
		s.weights = it.off
		it.off += s.nq * s.nk
		if s.nq > 0 && s.nk > 0 {
			return true
		}
		clearRows(a.Out, q0, q1, h*s.dv, s.dv)
	}
	return false
}

func clearRows(m Mat, lo, hi, col, n int) {
	for r := lo; r < hi; r++ {
		clear(m.V[r*m.Cols+col:][:n])
	}
}

// Attend runs block by block: one product for the scores of attendRows
// queries, softmax on the visible part of each row, one product with V.
func (CPU) Attend(a AttendArgs) {
	for it := newSpans(&a); it.next(); {
		for r0 := 0; r0 < it.cur.nq; r0 += attendRows {
			attendBlock(&a, &it.cur, r0, min(r0+attendRows, it.cur.nq))
		}
	}
}

func attendBlock(a *AttendArgs, s *attendSpan, r0, r1 int) {
	rows, seen := r1-r0, s.visible(r1-1)
	half := len(a.Scratch.V) / 2
	w := a.Scratch.V[:rows*s.nk]
	if a.Weights.V != nil {
		w = a.Weights.V[s.weights+r0*s.nk:][:rows*s.nk]
	}
	kernel.GemmNT(rows, seen, s.dk, a.Q.V[s.q+r0*s.ldq:], s.ldq, a.K.V[s.k:], s.ldk, w, s.nk, false)
	for i := range rows {
		row, vis := w[i*s.nk:][:seen], s.visible(r0+i)
		kernel.Softmax(row[:vis], s.scale)
		clear(row[vis:])
	}
	if s.drop.P > 0 {
		dropped := a.Scratch.V[half:][:rows*s.nk]
		s.dropRows(dropped, w, r0, rows, seen)
		w = dropped
	}
	kernel.GemmNN(rows, s.dv, seen, w, s.nk, a.V.V[s.v:], s.ldv, a.Out.V[s.o+r0*s.ldo:], s.ldo, false)
}

// dropRows applies the attention dropout of queries r0.. to rows of weights
// (or of their gradients) and zeroes what the query does not see.
func (s *attendSpan) dropRows(dst, src []float32, r0, rows, seen int) {
	for i := range rows {
		vis := s.visible(r0 + i)
		at := s.drop.Key.Offset + uint64(s.weights+(r0+i)*s.nk)
		kernel.Dropout(dst[i*s.nk:][:vis], src[i*s.nk:][:vis], s.drop.P, s.drop.Key.Stream, at)
		clear(dst[i*s.nk+vis:][:seen-vis])
	}
}

// AttendBackward undoes Attend from the kept weights w, with w' = dropout(w):
//
//	dV = w'^T dO     dw = undrop(dO V^T)
//	dS = scale * w * (dw - rowsum(w*dw))
//	dQ = dS K        dK = dS^T Q
func (CPU) AttendBackward(a AttendArgs, g AttendGrads) {
	for it := newSpans(&a); it.next(); {
		for r0 := 0; r0 < it.cur.nq; r0 += attendRows {
			attendBackwardBlock(&a, &g, &it.cur, r0, min(r0+attendRows, it.cur.nq))
		}
	}
}

func attendBackwardBlock(a *AttendArgs, g *AttendGrads, s *attendSpan, r0, r1 int) {
	rows, seen := r1-r0, s.visible(r1-1)
	half := len(a.Scratch.V) / 2
	w := a.Weights.V[s.weights+r0*s.nk:][:rows*s.nk]
	ds, tmp := a.Scratch.V[:rows*s.nk], a.Scratch.V[half:][:rows*s.nk]
	dout := g.DOut.V[s.o+r0*s.ldo:]
	used := w
	if s.drop.P > 0 {
		s.dropRows(tmp, w, r0, rows, seen)
		used = tmp
	}
	kernel.GemmTN(seen, s.dv, rows, used, s.nk, dout, s.ldo, g.DV.V[s.v:], s.ldv, true)
	kernel.GemmNT(rows, seen, s.dv, dout, s.ldo, a.V.V[s.v:], s.ldv, ds, s.nk, false)
	if s.drop.P > 0 {
		s.dropRows(ds, ds, r0, rows, seen)
	}
	for i := range rows {
		row, vis := ds[i*s.nk:][:seen], s.visible(r0+i)
		kernel.SoftmaxBackward(row[:vis], w[i*s.nk:][:vis], row[:vis], s.scale)
		clear(row[vis:])
	}
	kernel.GemmNN(rows, s.dk, seen, ds, s.nk, a.K.V[s.k:], s.ldk, g.DQ.V[s.q+r0*s.ldq:], s.ldq, true)
	kernel.GemmTN(seen, s.dk, rows, ds, s.nk, a.Q.V[s.q+r0*s.ldq:], s.ldq, g.DK.V[s.k:], s.ldk, true)
}
