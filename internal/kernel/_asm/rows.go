package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func addBias(s isa) {
	routine(s, "addBias", "(rows, cols int, x, bias *float32)", "x[r*cols+c] += bias[c]")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ptrs := pointers("x", "bias")
	Label("row")
	s.each("row", cols, ptrs, 4, func(x span) {
		v := x.load(0)
		VADDPS(x.load(1), v, v)
		x.store(0, v)
	})
	LEAQ(Mem{Base: ptrs[0], Index: cols, Scale: 4}, ptrs[0])
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// sumRows walks strips of columns, all rows of a strip before the next, so that
// the sums stay in registers.
func sumRows(s isa) {
	routine(s, "sumRows", "(rows, cols int, dst, x *float32)", "dst[c] += Σr x[r*cols+c]")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ptrs := pointers("dst", "x")
	stride := GP64()
	MOVQ(cols, stride)
	SHLQ(Imm(2), stride)
	s.each("strip", cols, ptrs, 1, func(x span) {
		total := x.load(0)
		down, left := GP64(), GP64()
		LEAQ(x.mem(1), down)
		MOVQ(rows, left)
		label := "down"
		if x.partial {
			label = "downrest"
		}
		Label(label)
		v := s.vec()
		if x.partial {
			x.lanes.load(Mem{Base: down}, v)
		} else {
			VMOVUPS(Mem{Base: down}, v)
		}
		VADDPS(v, total, total)
		ADDQ(stride, down)
		DECQ(left)
		JNZ(LabelRef(label))
		x.store(0, total)
	})
	done()
}

func scatterAdd(s isa) {
	routine(s, "scatterAdd", "(rows, cols int, table *float32, idx *int32, src *float32)", "table[idx[r]*cols+c] += src[r*cols+c]")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ptrs := pointers("table", "src", "idx")
	table, src, idx := ptrs[0], ptrs[1], ptrs[2]
	to := GP64()
	Label("row")
	MOVLQSX(Mem{Base: idx}, to)
	IMULQ(cols, to)
	LEAQ(Mem{Base: table, Index: to, Scale: 4}, to)
	s.each("row", cols, []reg.Register{to, src}, 4, func(x span) {
		v := x.load(0)
		VADDPS(x.load(1), v, v)
		x.store(0, v)
	})
	LEAQ(Mem{Base: src, Index: cols, Scale: 4}, src)
	ADDQ(Imm(4), idx)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

func layerNorm(s isa) {
	routine(s, "layerNorm", "(rows, cols int, y, x, gain, bias *float32, eps, share float32, mean, rstd *float32)",
		"mean[r] = share*Σc x[r*cols+c]                        (share is 1/cols)",
		"rstd[r] = 1/sqrt(share*Σc (x[r*cols+c]-mean[r])² + eps)",
		"y[r*cols+c] = (x[r*cols+c]-mean[r])*rstd[r]*gain[c] + bias[c]",
		"The moments are not written if mean is nil.")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ptrs := pointers("x", "y", "gain", "bias")
	in, out := ptrs[0], ptrs[1]
	share, eps := s.broadcast("share"), s.broadcast("eps")
	one := s.constants("one").reg("one")
	moments := pointers("mean", "rstd")
	mu, rs := s.vec(), s.vec()
	Label("row")
	total := s.accumulators(2)
	s.each("sum", cols, ptrs, 2, func(x span) {
		VADDPS(x.load(0), total[x.slot], total[x.slot])
	})
	s.spread(s.fold(s.merge(total, VADDPS), VADDPS), mu)
	VMULPS(share, mu, mu)
	square := s.accumulators(2)
	s.each("square", cols, ptrs, 2, func(x span) {
		v := x.load(0)
		VSUBPS(mu, v, v)
		x.clean(v)
		VFMADD231PS(v, v, square[x.slot])
	})
	s.spread(s.fold(s.merge(square, VADDPS), VADDPS), rs)
	VFMADD213PS(eps, share, rs)
	VSQRTPS(rs, rs)
	VDIVPS(rs, one, rs)
	s.each("write", cols, ptrs, 2, func(x span) {
		v := x.load(0)
		VSUBPS(mu, v, v)
		VMULPS(rs, v, v)
		VFMADD213PS(x.load(3), x.load(2), v)
		x.store(1, v)
	})
	TESTQ(moments[0], moments[0])
	JEQ(LabelRef("next"))
	VMOVSS(low(mu), Mem{Base: moments[0]})
	VMOVSS(low(rs), Mem{Base: moments[1]})
	ADDQ(Imm(4), moments[0])
	ADDQ(Imm(4), moments[1])
	Label("next")
	LEAQ(Mem{Base: in, Index: cols, Scale: 4}, in)
	LEAQ(Mem{Base: out, Index: cols, Scale: 4}, out)
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

func layerNormBackward(s isa) {
	routine(s, "layerNormBackward", "(rows, cols int, dx, dgain, dbias, dy, x, gain, mean, rstd *float32, share float32)",
		"h = (x[r*cols+c]-mean[r])*rstd[r]; e = dy[r*cols+c]*gain[c]",
		"dgain[c] += dy[r*cols+c]*h; dbias[c] += dy[r*cols+c]",
		"dx[r*cols+c] += rstd[r]*(e - share*Σc e - h*share*Σc e*h)  (share is 1/cols)")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ptrs := pointers("x", "dy", "gain", "dgain", "dbias", "dx")
	moments := pointers("mean", "rstd")
	share := s.broadcast("share")
	mu, rs, me, meh := s.vec(), s.vec(), s.vec(), s.vec()
	Label("row")
	VBROADCASTSS(Mem{Base: moments[0]}, mu)
	VBROADCASTSS(Mem{Base: moments[1]}, rs)
	s.zero(me)
	s.zero(meh)
	s.each("sums", cols, ptrs, 1, func(x span) {
		h, up := x.load(0), x.load(1)
		VSUBPS(mu, h, h)
		VMULPS(rs, h, h)
		dbias := x.load(4)
		VADDPS(up, dbias, dbias)
		x.store(4, dbias)
		dgain := x.load(3)
		VFMADD231PS(up, h, dgain)
		x.store(3, dgain)
		VMULPS(x.load(2), up, up)
		VADDPS(up, me, me)
		VFMADD231PS(up, h, meh)
	})
	for _, v := range []reg.Register{me, meh} {
		s.spread(s.fold(v, VADDPS), v)
		VMULPS(share, v, v)
	}
	s.each("write", cols, ptrs, 1, func(x span) {
		h, up := x.load(0), x.load(1)
		VSUBPS(mu, h, h)
		VMULPS(rs, h, h)
		VFMSUB213PS(me, x.load(2), up)
		VFNMADD231PS(meh, h, up)
		down := x.load(5)
		VFMADD231PS(up, rs, down)
		x.store(5, down)
	})
	ADDQ(Imm(4), moments[0])
	ADDQ(Imm(4), moments[1])
	for _, i := range []int{0, 1, 5} {
		LEAQ(Mem{Base: ptrs[i], Index: cols, Scale: 4}, ptrs[i])
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	done()
}

// spread copies lane 0 of from to all lanes of to.
func (s isa) spread(from, to reg.Register) { VBROADCASTSS(from, to) }

// low is the part of a vector that holds lane 0.
func low(v reg.Register) reg.Register { return v.(reg.VecVirtual).AsX() }
