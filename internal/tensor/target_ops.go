package tensor

// Part is one table of a Lookup.
type Part struct {
	Table *Param
	Rows  Index
	Scale float32
}

// Lookup lays rows of several tables side by side: row i of the result is
// Scale*Table[Rows[i]] of each part in turn.
func (t *Tape) Lookup(parts ...Part) *Var {
	width := 0
	for _, p := range parts {
		width += p.Table.Val.Cols
	}
	y := t.newVar(parts[0].Rows.N, width)
	dev, col := t.target(), 0
	for _, p := range parts {
		dev.GatherColumns(y.Mat, col, p.Table.Val, p.Rows, p.Scale)
		col += p.Table.Val.Cols
	}
	if t.Learning() {
		t.Record(func() {
			if !y.touched {
				return
			}
			col := 0
			for _, p := range parts {
				dev.ScatterAddColumns(t.grads.Of(p.Table), p.Rows, y.grad, col, p.Scale)
				col += p.Table.Val.Cols
			}
		})
	}
	return y
}

// Concat lays the columns of its inputs side by side.
func (t *Tape) Concat(list ...*Var) *Var {
	width := 0
	for _, x := range list {
		width += x.Cols
	}
	y := t.newVar(list[0].Rows, width)
	dev, col := t.target(), 0
	for _, x := range list {
		dev.CopyColumns(y.Mat, col, x.Mat, 0, x.Cols, false)
		col += x.Cols
	}
	if t.Learning() {
		t.Record(func() {
			if !y.touched {
				return
			}
			col := 0
			for _, x := range list {
				dx, acc := t.gradOrFirst(x)
				dev.CopyColumns(dx, 0, y.grad, col, x.Cols, acc)
				col += x.Cols
			}
		})
	}
	return y
}

// Columns picks n columns of x from column col.
func (t *Tape) Columns(x *Var, col, n int) *Var {
	y := t.newVar(x.Rows, n)
	dev := t.target()
	dev.CopyColumns(y.Mat, 0, x.Mat, col, n, false)
	if t.Learning() {
		t.Record(func() {
			if y.touched {
				dev.CopyColumns(t.Grad(x), col, y.grad, 0, n, true)
			}
		})
	}
	return y
}

// Moments are the mean and the biased variance of columns, 1 x D each.
type Moments struct{ Mean, Variance Mat }

// BatchNorm normalises every column by its own moments over the rows of x
// (Ioffe & Szegedy 2015, algorithm 1) and says what they were. It is the
// operation of learning; Normalise with running moments is that of serving.
func (t *Tape) BatchNorm(x *Var, gain, bias *Param, eps float32) (*Var, Moments) {
	y, dev := t.newVar(x.Rows, x.Cols), t.target()
	m := Moments{t.arena.mat(1, x.Cols), t.arena.mat(1, x.Cols)}
	dev.Moments(m.Mean, m.Variance, x.Mat)
	dev.Normalise(y.Mat, x.Mat, m.Mean, m.Variance, gain.Val, bias.Val, eps)
	if t.Learning() {
		t.Record(func() {
			if y.touched {
				dev.NormaliseBackward(t.Grad(x), t.grads.Of(gain), t.grads.Of(bias), y.grad, x.Mat, m.Mean, m.Variance, gain.Val, eps)
			}
		})
	}
	return y, m
}

// Normalise is (x - mean)/sqrt(variance + eps) * gain + bias with moments that
// are given. It has no backward.
func (t *Tape) Normalise(x *Var, m Moments, gain, bias *Param, eps float32) *Var {
	if t.Learning() {
		panic("tensor: Normalise has no backward: use BatchNorm while learning")
	}
	y := t.newVar(x.Rows, x.Cols)
	t.target().Normalise(y.Mat, x.Mat, m.Mean, m.Variance, gain.Val, bias.Val, eps)
	return y
}

// PReLU is max(x, 0) + slope*min(x, 0) with one learned slope (He et al. 2015).
func (t *Tape) PReLU(x *Var, slope *Param) *Var {
	y, dev := t.newVar(x.Rows, x.Cols), t.target()
	dev.PReLU(y.Mat, x.Mat, slope.Val)
	if t.Learning() {
		t.Record(func() {
			if y.touched {
				dev.PReLUBackward(t.Grad(x), t.grads.Of(slope), y.grad, x.Mat, slope.Val)
			}
		})
	}
	return y
}

// Sign is 1 where x >= 0 and -1 elsewhere. No gradient passes it.
func (t *Tape) Sign(x Mat) Mat {
	y := t.arena.mat(x.Rows, x.Cols)
	t.target().Sign(y, x)
	return y
}

// PairScores scores every (query, key) pair of each sequence: PairArgs with S
// filled in here. bias may be empty; no gradient flows into it.
func (t *Tape) PairScores(q, k *Var, bias Mat, qOffsets, kOffsets Index, scale float32) *Var {
	s, dev := t.newVar(PairCount(qOffsets.V, kOffsets.V), 1), t.target()
	a := PairArgs{S: s.Mat, Q: q.Mat, K: k.Mat, Bias: bias, QOffsets: qOffsets, KOffsets: kOffsets, Scale: scale}
	dev.PairScores(a)
	if t.Learning() {
		t.Record(func() {
			if s.touched {
				dev.PairScoresBackward(a, s.grad, t.Grad(q), t.Grad(k))
			}
		})
	}
	return s
}

// Selection is what SelectPairs chose: query row r owns entries
// Offsets[r]..Offsets[r+1]-1 of Pairs and Keys. It belongs to whoever made it and
// must not change before the tape is reset.
type Selection struct{ Pairs, Keys, Offsets []int32 }

// SelectPairs fills sel with the k best pairs of every query by s; see SelectArgs.
// The choice has no gradient; what is chosen has one, through Rows of the scores.
func (t *Tape) SelectPairs(sel *Selection, s Mat, qOffsets, kOffsets Index, k int) {
	t.target().SelectPairs(SelectArgs{S: s, QOffsets: qOffsets, KOffsets: kOffsets, K: k,
		Pairs: &sel.Pairs, Keys: &sel.Keys, Offsets: &sel.Offsets})
}

// Aggregate is softmax over the scores of each query and the sum of v that it
// weighs: AggregateArgs with Out and Weights filled in here.
func (t *Tape) Aggregate(s, v *Var, qOffsets, kOffsets Index) (out *Var, weights Mat) {
	out = t.newVar(int(qOffsets.V[qOffsets.N-1]), v.Cols)
	dev := t.target()
	a := AggregateArgs{Out: out.Mat, S: s.Mat, V: v.Mat, Weights: t.arena.mat(s.Rows, 1), QOffsets: qOffsets, KOffsets: kOffsets}
	dev.Aggregate(a)
	if t.Learning() {
		t.Record(func() {
			if out.touched {
				dev.AggregateBackward(a, out.grad, t.Grad(s), t.Grad(v))
			}
		})
	}
	return out, a.Weights
}

// Collide is CollideArgs as an operation; a comes without Out and V. The signs
// have no gradient.
func (t *Tape) Collide(v *Var, a CollideArgs) *Var {
	out, dev := t.newVar(a.QSigns.Rows, v.Cols), t.target()
	a.Out, a.V = out.Mat, v.Mat
	dev.Collide(a)
	if t.Learning() {
		t.Record(func() {
			if out.touched {
				dev.CollideBackward(a, out.grad, t.Grad(v))
			}
		})
	}
	return out
}
