package tensor

import (
	"math"

	"seqrec/internal/kernel"
)

const sampledRows = 128

// SampledScratch counts the floats of scratch for K shared negatives of width
// D: their rows, the gradient of those rows, their offsets and a tile of scores.
func SampledScratch(negatives, width int) int {
	return 2*negatives*width + negatives + sampledRows*negatives
}

// SampledCrossEntropy gathers the shared negatives once, so the work is two
// matrix products and their backward, as over a small catalogue.
func (CPU) SampledCrossEntropy(a SampledArgs) float64 {
	k, d := a.Negatives.N, a.H.Cols
	neg, rest := a.Scratch.V[:k*d], a.Scratch.V[k*d:]
	dneg, rest := rest[:k*d], rest[k*d:]
	shift, s := rest[:k], rest[k:]
	kernel.Gather(neg, a.Table.V, d, a.Negatives.V)
	clear(dneg)
	for i, item := range a.Negatives.V {
		shift[i] = a.offset(item)
	}
	var loss float64
	for lo := 0; lo < a.H.Rows; lo += sampledRows {
		loss += sampledGroup(&a, lo, min(lo+sampledRows, a.H.Rows), neg, dneg, shift, s)
	}
	if a.Learn {
		kernel.ScatterAdd(a.DTable.V, d, a.Negatives.V, dneg)
	}
	return loss * float64(a.Scale)
}

// offset is what is added to the plain score of an item: its bias less log q.
func (a *SampledArgs) offset(item int32) float32 {
	var o float32
	if a.Bias.V != nil {
		o = a.Bias.V[item]
	}
	if a.LogQ.V != nil {
		o -= a.LogQ.V[item]
	}
	return o
}

func sampledGroup(a *SampledArgs, lo, hi int, neg, dneg, shift, s []float32) float64 {
	rows, k, d := hi-lo, a.Negatives.N, a.H.Cols
	h := a.H.V[lo*d : hi*d]
	kernel.GemmNT(rows, k, d, h, d, neg, d, s, k, false)
	kernel.AddBias(s[:rows*k], rows, k, shift)
	var loss float64
	for r := range rows {
		loss += sampledRow(a, lo+r, h[r*d:][:d], s[r*k:][:k])
	}
	if !a.Learn {
		return loss
	}
	kernel.GemmNN(rows, d, k, s, k, neg, d, a.DH.V[lo*d:], d, true)
	kernel.GemmTN(k, d, rows, s, k, h, d, dneg, d, true)
	if a.DBias.V != nil {
		for r := range rows {
			for i, item := range a.Negatives.V {
				a.DBias.V[item] += s[r*k+i]
			}
		}
	}
	return loss
}

// sampledRow is the loss of one row; its scores become their gradients.
func sampledRow(a *SampledArgs, r int, h, s []float32) float64 {
	d := len(h)
	p := a.Targets.V[r]
	row := a.Table.V[int(p)*d:][:d]
	pos := kernel.Dot(h, row) + a.offset(p)
	for i, item := range a.Negatives.V {
		if item == p {
			s[i] = float32(math.Inf(-1))
		}
	}
	top := pos
	if len(s) > 0 {
		top = max(top, kernel.Max(s))
	}
	sum := kernel.ExpSum(s, s, 1, top)
	own := float32(math.Exp(float64(pos - top)))
	sum += own
	if a.Learn {
		kernel.Scale(s, a.Scale/sum, s)
		g := a.Scale * (own/sum - 1)
		kernel.Axpy(a.DH.V[r*d:][:d], g, row)
		kernel.Axpy(a.DTable.V[int(p)*d:][:d], g, h)
		if a.DBias.V != nil {
			a.DBias.V[p] += g
		}
	}
	return math.Log(float64(sum)) + float64(top-pos)
}

// BinaryCrossEntropy scores the target and the row's own negatives one by one.
func (CPU) BinaryCrossEntropy(a BinaryArgs) float64 {
	if a.H.Rows == 0 {
		return 0
	}
	k := a.Negatives.N / a.H.Rows
	var loss float64
	for r := range a.H.Rows {
		loss += float64(a.Beta) * a.pair(r, a.Targets.V[r], -1, a.Beta)
		for _, item := range a.Negatives.V[r*k : (r+1)*k] {
			loss += a.pair(r, item, 1, 1)
		}
	}
	return loss * float64(a.Scale)
}

// pair is softplus(sign*s) for one item; its gradient is weight*sign*sigmoid(sign*s).
func (a *BinaryArgs) pair(r int, item int32, sign, weight float32) float64 {
	d := a.H.Cols
	h, row := a.H.V[r*d:][:d], a.Table.V[int(item)*d:][:d]
	s := kernel.Dot(h, row)
	if a.Bias.V != nil {
		s += a.Bias.V[item]
	}
	x := float64(sign * s)
	if a.Learn {
		g := a.Scale * weight * sign * float32(1/(1+math.Exp(-x)))
		kernel.Axpy(a.DH.V[r*d:][:d], g, row)
		kernel.Axpy(a.DTable.V[int(item)*d:][:d], g, h)
		if a.DBias.V != nil {
			a.DBias.V[item] += g
		}
	}
	return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
}
