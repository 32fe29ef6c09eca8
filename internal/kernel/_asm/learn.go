package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func learn() {
	maskData()
	countData()
	constantsData(expNames...)
	constantsData(normalNames...)
	constantsData("minusInf", "pdf", "hash1", "hash2", "step8", "step16")
	for _, s := range []isa{avx2, avx512} {
		expSum(s)
		softmax(s)
		softmaxBackward(s)
		relu(s)
		reluBackward(s)
		gelu(s)
		geluBackward(s)
		sigmoid(s)
		sigmoidBackward(s)
		silu(s)
		siluBackward(s)
		dropout(s)
		adamW(s)
		addBias(s)
		sumRows(s)
		scatterAdd(s)
		layerNorm(s)
		layerNormBackward(s)
	}
}

func expSum(s isa) {
	routine(s, "expSum", "(n int, dst, x *float32, scale, shift float32) float32", "dst[i] = exp(scale*x[i] - shift)", "return Σi dst[i]")
	n, ptrs := Load(Param("n"), GP64()), pointers("dst", "x")
	scale, shift := s.broadcast("scale"), s.broadcast("shift")
	c := s.constants(expNames...)
	acc := s.accumulators(2)
	s.each("", n, ptrs, 2, func(x span) {
		v := x.load(1)
		VFMSUB213PS(shift, scale, v)
		e := c.exp(v)
		x.store(0, e)
		x.clean(e)
		VADDPS(e, acc[x.slot], acc[x.slot])
	})
	giveBack(s.fold(s.merge(acc, VADDPS), VADDPS))
}

// softmax makes its three passes in one call, for rows are short and many.
func softmax(s isa) {
	routine(s, "softmax", "(n int, x *float32, scale float32) (top, total float32)",
		"top = max over i<n of x[i], NaN if there is one; return top, 0 if it is -Inf",
		"total = Σi exp(scale*x[i] - scale*top)",
		"x[i] = exp(scale*x[i] - scale*top) / total")
	n, ptrs := Load(Param("n"), GP64()), pointers("x")
	c := s.constants(append(expNames, "minusInf")...)
	low := c.reg("minusInf")
	top := s.top("top", n, ptrs, low)
	result(0, top)
	none := XMM()
	VXORPS(none, none, none)
	result(1, none)
	VUCOMISS(top, low.(reg.VecVirtual).AsX())
	JNE(LabelRef("go"))
	JPC(LabelRef("end")) // NaN compares as equal too, but sets the parity flag
	Label("go")
	scale, shift := s.broadcast("scale"), s.vec()
	s.spread(top, shift)
	VMULPS(scale, shift, shift)
	acc := s.accumulators(2)
	s.each("exp", n, ptrs, 2, func(x span) {
		v := x.load(0)
		VFMSUB213PS(shift, scale, v)
		e := c.exp(v)
		x.store(0, e)
		x.clean(e)
		VADDPS(e, acc[x.slot], acc[x.slot])
	})
	total := s.fold(s.merge(acc, VADDPS), VADDPS)
	result(1, total)
	share := s.vec()
	s.spread(total, share)
	VDIVPS(share, c.reg("one"), share)
	s.each("share", n, ptrs, 2, func(x span) {
		v := x.load(0)
		VMULPS(share, v, v)
		x.store(0, v)
	})
	Label("end")
	done()
}

func softmaxBackward(s isa) {
	routine(s, "softmaxBackward", "(n int, dx, y, dy *float32, scale, inner float32)", "dx[i] = scale*y[i]*(dy[i] - inner)")
	n, ptrs := Load(Param("n"), GP64()), pointers("dx", "y", "dy")
	scale, inner := s.broadcast("scale"), s.broadcast("inner")
	s.each("", n, ptrs, 2, func(x span) {
		v, up := x.load(1), x.load(2)
		VSUBPS(inner, up, up)
		VMULPS(scale, v, v)
		VMULPS(up, v, v)
		x.store(0, v)
	})
	done()
}

func relu(s isa) {
	routine(s, "relu", "(n int, y, x *float32)", "y[i] = max(x[i], 0)")
	n, ptrs := Load(Param("n"), GP64()), pointers("y", "x")
	zero := s.vec()
	s.zero(zero)
	s.each("", n, ptrs, 4, func(x span) {
		v := x.load(1)
		VMAXPS(v, zero, v) // NaN is the second source, so it stays
		x.store(0, v)
	})
	done()
}

func reluBackward(s isa) {
	routine(s, "reluBackward", "(n int, dx, dy, x *float32)", "if x[i] > 0 { dx[i] += dy[i] }")
	n, ptrs := Load(Param("n"), GP64()), pointers("dx", "dy", "x")
	zero := s.vec()
	s.zero(zero)
	s.each("", n, ptrs, 2, func(x span) {
		down, up, v := x.load(0), x.load(1), x.load(2)
		const greater = 0x1e
		if s.lanes == 16 {
			k := K()
			VCMPPS(Imm(greater), zero, v, k)
			VADDPS(up, down, k, down)
		} else {
			VCMPPS(Imm(greater), zero, v, v)
			VANDPS(v, up, up)
			VADDPS(up, down, down)
		}
		x.store(0, down)
	})
	done()
}

func gelu(s isa) {
	routine(s, "gelu", "(n int, y, x *float32)", "y[i] = x[i] * (1 + erf(x[i]/√2)) / 2")
	n, ptrs := Load(Param("n"), GP64()), pointers("y", "x")
	c := s.constants(append(expNames, normalNames...)...)
	s.each("", n, ptrs, 1, func(x span) {
		v := x.load(1)
		cdf, _ := c.normal(v)
		VMULPS(cdf, v, v)
		x.store(0, v)
	})
	done()
}

func geluBackward(s isa) {
	routine(s, "geluBackward", "(n int, dx, dy, x *float32)", "dx[i] += dy[i] * ((1 + erf(x[i]/√2))/2 + x[i]*exp(-x[i]²/2)/√(2π))")
	n, ptrs := Load(Param("n"), GP64()), pointers("dx", "dy", "x")
	c := s.constants(append(append(expNames, normalNames...), "pdf")...)
	s.each("", n, ptrs, 1, func(x span) {
		v := x.load(2)
		cdf, bell := c.normal(v)
		VMULPS(c.get("pdf"), bell, bell)
		VFMADD231PS(v, bell, cdf)
		down := x.load(0)
		VFMADD231PS(x.load(1), cdf, down)
		x.store(0, down)
	})
	done()
}

func sigmoid(s isa) {
	routine(s, "sigmoid", "(n int, y, x *float32)", "y[i] = 1/(1+exp(-x[i]))")
	n, ptrs := Load(Param("n"), GP64()), pointers("y", "x")
	c := s.constants(expNames...)
	s.each("", n, ptrs, 1, func(x span) {
		x.store(0, c.logistic(x.load(1)))
	})
	done()
}

func sigmoidBackward(s isa) {
	routine(s, "sigmoidBackward", "(n int, dx, dy, x *float32)", "s = 1/(1+exp(-x[i])); dx[i] += dy[i]*s*(1-s)")
	n, ptrs := Load(Param("n"), GP64()), pointers("dx", "dy", "x")
	c := s.constants(expNames...)
	s.each("", n, ptrs, 1, func(x span) {
		p := c.logistic(x.load(2))
		slope := s.vec()
		VMOVAPS(p, slope)
		VFNMADD213PS(p, p, slope) // p - p*p
		down := x.load(0)
		VFMADD231PS(x.load(1), slope, down)
		x.store(0, down)
	})
	done()
}

func silu(s isa) {
	routine(s, "silu", "(n int, y, x *float32)", "y[i] = x[i]/(1+exp(-x[i]))")
	n, ptrs := Load(Param("n"), GP64()), pointers("y", "x")
	c := s.constants(expNames...)
	s.each("", n, ptrs, 1, func(x span) {
		v := x.load(1)
		p := c.logistic(v)
		VMULPS(p, v, v)
		x.store(0, v)
	})
	done()
}

func siluBackward(s isa) {
	routine(s, "siluBackward", "(n int, dx, dy, x *float32)", "s = 1/(1+exp(-x[i])); dx[i] += dy[i]*s*(1+x[i]*(1-s))")
	n, ptrs := Load(Param("n"), GP64()), pointers("dx", "dy", "x")
	c := s.constants(expNames...)
	s.each("", n, ptrs, 1, func(x span) {
		v := x.load(2)
		p := c.logistic(v)
		rest := s.vec()
		VMOVUPS(c.get("one"), rest)
		VSUBPS(p, rest, rest)
		VFMADD213PS(c.get("one"), v, rest) // 1 + x*(1-s)
		VMULPS(p, rest, rest)
		down := x.load(0)
		VFMADD231PS(x.load(1), rest, down)
		x.store(0, down)
	})
	done()
}

func dropout(s isa) {
	routine(s, "dropout", "(n int, y, x *float32, factor float32, threshold, counter, key0, key1 uint32)",
		"h = (counter+i) ^ key0; h ^= h>>16; h *= 0x7feb352d; h ^= h>>15",
		"h += key1; h *= 0x846ca68b; h ^= h>>16",
		"y[i] = h >= threshold ? x[i]*factor : 0")
	n, ptrs := Load(Param("n"), GP64()), pointers("y", "x")
	factor, threshold := s.broadcast("factor"), s.broadcast("threshold")
	counter, key0, key1 := s.broadcast("counter"), s.broadcast("key0"), s.broadcast("key1")
	step := map[int]string{8: "step8", 16: "step16"}[s.lanes]
	c := s.constants("hash1", "hash2", "count", step)
	VPADDD(c.get("count"), counter, counter)
	xor := func(ops ...Op) { VPXOR(ops[0], ops[1], ops[2]) }
	if s.lanes == 16 {
		xor = func(ops ...Op) { VPXORD(ops...) }
	}
	s.each("", n, ptrs, 2, func(x span) {
		h, t := s.vec(), s.vec()
		xor(key0, counter, h)
		VPADDD(c.get(step), counter, counter)
		shiftXor := func(by uint64) {
			VPSRLD(Imm(by), h, t)
			xor(t, h, h)
		}
		shiftXor(16)
		VPMULLD(c.get("hash1"), h, h)
		shiftXor(15)
		VPADDD(key1, h, h)
		VPMULLD(c.get("hash2"), h, h)
		shiftXor(16)
		v := x.load(1)
		if s.lanes == 16 {
			const notLess = 5
			k := K()
			VPCMPUD(Imm(notLess), threshold, h, k)
			VMULPS_Z(factor, v, k, v)
		} else {
			VPMINUD(threshold, h, h)
			VPCMPEQD(threshold, h, h)
			VMULPS(factor, v, v)
			VANDPS(h, v, v)
		}
		x.store(0, v)
	})
	done()
}

func adamW(s isa) {
	routine(s, "adamW", "(n int, w, g_, m, v, factors *float32)",
		"b1, b2, r1, r2, keep, rate, root, eps := factors[0:8]",
		"m[i] = b1*m[i] + r1*g_[i]",
		"v[i] = b2*v[i] + r2*g_[i]*g_[i]",
		"w[i] = keep*w[i] - rate*m[i]/(root*sqrt(v[i]) + eps)")
	n, ptrs := Load(Param("n"), GP64()), pointers("w", "g_", "m", "v")
	from := Load(Param("factors"), GP64())
	var f [8]reg.Register
	for i := range f {
		f[i] = s.vec()
		VBROADCASTSS(Mem{Base: from, Disp: 4 * i}, f[i])
	}
	b1, b2, r1, r2, keep, rate, root, eps := f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]
	s.each("", n, ptrs, 1, func(x span) {
		grad, m, v := x.load(1), x.load(2), x.load(3)
		t := s.vec()
		VMULPS(grad, r1, t)
		VFMADD213PS(t, b1, m)
		x.store(2, m)
		VMULPS(grad, r2, t)
		VMULPS(grad, t, t)
		VFMADD213PS(t, b2, v)
		x.store(3, v)
		VSQRTPS(v, v)
		VFMADD213PS(eps, root, v)
		VMULPS(rate, m, m)
		VDIVPS(v, m, m)
		w := x.load(0)
		VFMSUB213PS(m, keep, w)
		x.store(0, w)
	})
	done()
}
