package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expNames are the constants that exp needs.
var expNames = []string{"expLow", "expHigh", "log2e", "ln2High", "ln2Low", "exp0", "exp1", "exp2", "exp3", "exp4", "exp5", "one", "bias"}

// exp returns e to the power of each lane of x, which it overwrites. The limits
// are the first source of minimum and maximum so that NaN, the second, passes.
func (c constants) exp(x reg.Register) reg.Register {
	s := c.s
	n, y, square := s.vec(), s.vec(), s.vec()
	VMINPS(x, c.reg("expHigh"), x)
	VMAXPS(x, c.reg("expLow"), x)
	VMULPS(c.get("log2e"), x, n)
	if s.lanes == 16 {
		VRNDSCALEPS(Imm(8), n, n)
	} else {
		VROUNDPS(Imm(8), n, n)
	}
	VFNMADD231PS(c.get("ln2High"), n, x)
	VFNMADD231PS(c.get("ln2Low"), n, x)
	VMOVUPS(c.get("exp0"), y)
	for _, name := range []string{"exp1", "exp2", "exp3", "exp4", "exp5"} {
		VFMADD213PS(c.get(name), x, y)
	}
	VMULPS(x, x, square)
	VFMADD213PS(x, square, y)
	VADDPS(c.get("one"), y, y)
	c.power(n, y)
	return y
}

// power multiplies y by 2 to the power of n, whole numbers from -151 to 129. AVX2
// does it in two halves, each of which a float32 exponent can hold.
func (c constants) power(n, y reg.Register) {
	if c.s.lanes == 16 {
		VSCALEFPS(n, y, y)
		return
	}
	half := YMM()
	VCVTPS2DQ(n, n)
	VPSRAD(Imm(1), n, half)
	VPSUBD(half, n, n)
	for _, part := range []reg.Register{half, n} {
		VPADDD(c.get("bias"), part, part)
		VPSLLD(Imm(23), part, part)
		VMULPS(part, y, y)
	}
}

// logistic returns 1/(1+exp(-x)) and keeps x.
func (c constants) logistic(x reg.Register) reg.Register {
	minus := c.s.vec()
	c.s.zero(minus)
	VSUBPS(x, minus, minus)
	e := c.exp(minus)
	VADDPS(c.get("one"), e, e)
	VDIVPS(e, c.reg("one"), e)
	return e
}

// normalNames are the constants that normal needs beside those of exp.
var normalNames = []string{"signOff", "cdfP", "cdf1", "cdf2", "cdf3", "cdf4", "cdf5", "minus05"}

// normal returns the distribution function of the normal distribution at x and
// exp(-x*x/2); it keeps x.
func (c constants) normal(x reg.Register) (cdf, bell reg.Register) {
	s := c.s
	v, t := s.vec(), s.vec()
	VANDPS(c.get("signOff"), x, v)
	VMOVUPS(c.get("one"), t)
	VFMADD231PS(c.get("cdfP"), v, t)
	VDIVPS(t, c.reg("one"), t)
	VMULPS(v, v, v)
	VMULPS(c.get("minus05"), v, v)
	bell = c.exp(v)
	tail := s.vec()
	VMOVUPS(c.get("cdf5"), tail)
	for _, name := range []string{"cdf4", "cdf3", "cdf2", "cdf1"} {
		VFMADD213PS(c.get(name), t, tail)
	}
	VMULPS(t, tail, tail)
	VMULPS(bell, tail, tail)
	cdf = s.vec()
	VMOVUPS(c.get("one"), cdf)
	VSUBPS(tail, cdf, cdf)
	if s.lanes == 16 {
		k := K()
		VPMOVD2M(x, k)
		VBLENDMPS(tail, cdf, k, cdf)
	} else {
		VBLENDVPS(x, tail, cdf, cdf)
	}
	return cdf, bell
}
