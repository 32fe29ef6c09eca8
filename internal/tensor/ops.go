package tensor

// Linear is y = x W + b, with W (D_in x D_out) and b (1 x D_out, or nil).
//
//	dx = dy W^T    dW = x^T dy    db = sum over rows of dy
func (t *Tape) Linear(x *Var, w, b *Param) *Var {
	y := t.newVar(x.Rows, w.Val.Cols)
	t.dev.Gemm(y.Mat, x.Mat, false, w.Val, false, false)
	if b != nil {
		t.dev.AddBias(y.Mat, b.Val)
	}
	if t.Learning() {
		t.Record(func() { t.linearBackward(y, x, w, b) })
	}
	return y
}

func (t *Tape) linearBackward(y, x *Var, w, b *Param) {
	if !y.touched {
		return
	}
	t.dev.Gemm(t.grads.Of(w), x.Mat, true, y.grad, false, true)
	if b != nil {
		t.dev.SumRows(t.grads.Of(b), y.grad)
	}
	dx, acc := t.gradOrFirst(x)
	t.dev.Gemm(dx, y.grad, false, w.Val, true, acc)
}

// Gather is row idx[i] of the table in row i, times scale.
func (t *Tape) Gather(table *Param, idx Index, scale float32) *Var {
	y := t.newVar(idx.N, table.Val.Cols)
	t.dev.Gather(y.Mat, table.Val, idx)
	if scale != 1 {
		t.dev.Scale(y.Mat, scale, y.Mat)
	}
	if t.Learning() {
		t.Record(func() {
			if !y.touched {
				return
			}
			if scale != 1 {
				t.dev.Scale(y.grad, scale, y.grad)
			}
			t.dev.ScatterAdd(t.grads.Of(table), idx, y.grad)
		})
	}
	return y
}

// Rows picks rows idx of x.
func (t *Tape) Rows(x *Var, idx Index) *Var {
	y := t.newVar(idx.N, x.Cols)
	t.dev.Gather(y.Mat, x.Mat, idx)
	if t.Learning() {
		t.Record(func() {
			if y.touched {
				t.dev.ScatterAdd(t.Grad(x), idx, y.grad)
			}
		})
	}
	return y
}

// Add is a + b.
func (t *Tape) Add(a, b *Var) *Var {
	sameShape("Add", a.Mat, b.Mat)
	y := t.newVar(a.Rows, a.Cols)
	t.dev.Copy(y.Mat, a.Mat)
	t.dev.Axpy(y.Mat, 1, b.Mat)
	if t.Learning() {
		t.Record(func() {
			if y.touched {
				t.pass(a, y)
				t.pass(b, y)
			}
		})
	}
	return y
}

// pass adds the gradient of y to that of x unchanged.
func (t *Tape) pass(x, y *Var) {
	dx, acc := t.gradOrFirst(x)
	if acc {
		t.dev.Axpy(dx, 1, y.grad)
	} else {
		t.dev.Copy(dx, y.grad)
	}
}

// Mul is a * b, element by element: da = dy*b, db = dy*a.
func (t *Tape) Mul(a, b *Var) *Var {
	sameShape("Mul", a.Mat, b.Mat)
	y := t.newVar(a.Rows, a.Cols)
	t.dev.Mul(y.Mat, a.Mat, b.Mat, false)
	if t.Learning() {
		t.Record(func() {
			if !y.touched {
				return
			}
			da, acc := t.gradOrFirst(a)
			t.dev.Mul(da, y.grad, b.Mat, acc)
			db, acc := t.gradOrFirst(b)
			t.dev.Mul(db, y.grad, a.Mat, acc)
		})
	}
	return y
}

// Activate is f(x).
func (t *Tape) Activate(f Activation, x *Var) *Var {
	y := t.newVar(x.Rows, x.Cols)
	t.dev.Activate(f, y.Mat, x.Mat)
	if t.Learning() {
		t.Record(func() {
			if y.touched {
				t.dev.ActivateBackward(f, t.Grad(x), y.grad, x.Mat)
			}
		})
	}
	return y
}

// LayerNorm is (x - mean)/sqrt(variance + eps) * gain + bias, row by row
// (Ba, Kiros & Hinton 2016, eq. 4).
func (t *Tape) LayerNorm(x *Var, gain, bias *Param, eps float32) *Var {
	y := t.newVar(x.Rows, x.Cols)
	if !t.Learning() {
		t.dev.LayerNorm(y.Mat, x.Mat, gain.Val, bias.Val, eps, Mat{}, Mat{})
		return y
	}
	mean, rstd := t.arena.mat(x.Rows, 1), t.arena.mat(x.Rows, 1)
	t.dev.LayerNorm(y.Mat, x.Mat, gain.Val, bias.Val, eps, mean, rstd)
	t.Record(func() {
		if y.touched {
			t.dev.LayerNormBackward(t.Grad(x), t.grads.Of(gain), t.grads.Of(bias), y.grad, x.Mat, gain.Val, mean, rstd)
		}
	})
	return y
}

// Dropout zeroes elements with probability p and scales the rest by 1/(1-p)
// (Srivastava et al. 2014). Without learning it is the identity.
func (t *Tape) Dropout(x *Var, p float32) *Var {
	d := t.NextDrop(p, x.Len())
	if d.P == 0 {
		return x
	}
	y := t.newVar(x.Rows, x.Cols)
	t.dev.Dropout(y.Mat, x.Mat, d.P, d.Key)
	t.Record(func() {
		if !y.touched {
			return
		}
		t.dev.Dropout(y.grad, y.grad, d.P, d.Key)
		t.pass(x, y)
	})
	return y
}
