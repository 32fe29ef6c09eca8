package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func vector() {
	maskData()
	constantsData("minusInf")
	for _, s := range []isa{avx2, avx512} {
		dot(s)
		sum(s)
		maximum(s)
		axpy(s)
		scale(s)
		pairwise(s, "add", "+", VADDPS)
		pairwise(s, "mul", "*", VMULPS)
	}
}

// routine starts a function whose comment is the loop it equals.
func routine(s isa, name, signature string, loop ...string) {
	TEXT(name+s.name, NOSPLIT, "func"+signature)
	lines := []string{name + s.name + ":", ""}
	for _, l := range loop {
		lines = append(lines, "\t"+strings.TrimRight(l, " "))
	}
	Doc(lines...)
	Pragma("noescape")
}

// done ends a function without result.
func done() {
	VZEROUPPER()
	RET()
}

func dot(s isa) {
	routine(s, "dot", "(n int, a, b *float32) float32", "return Σi<n a[i]*b[i]")
	n, ptrs := Load(Param("n"), GP64()), pointers("a", "b")
	acc := s.accumulators(4)
	s.each("", n, ptrs, 4, func(x span) {
		v := x.load(0)
		w := x.load(1)
		VFMADD231PS(w, v, acc[x.slot])
	})
	giveBack(s.fold(s.merge(acc, VADDPS), VADDPS))
}

func sum(s isa) {
	routine(s, "sum", "(n int, x *float32) float32", "return Σi<n x[i]")
	n, ptrs := Load(Param("n"), GP64()), pointers("x")
	acc := s.accumulators(4)
	s.each("", n, ptrs, 4, func(x span) {
		VADDPS(x.load(0), acc[x.slot], acc[x.slot])
	})
	giveBack(s.fold(s.merge(acc, VADDPS), VADDPS))
}

// maximum keeps NaN: the machine's maximum returns its second source when either
// is NaN, so NaN is looked for on the side and laid over the result at the end.
func maximum(s isa) {
	routine(s, "max", "(n int, x *float32) float32", "return max over i<n of x[i], NaN if there is one, -Inf if n is 0")
	n, ptrs := Load(Param("n"), GP64()), pointers("x")
	giveBack(s.top("", n, ptrs, s.constants("minusInf").reg("minusInf")))
}

// top returns the maximum of stream 0 in lane 0.
func (s isa) top(prefix string, n reg.Register, ptrs []reg.Register, low reg.Register) reg.Register {
	acc := make([]reg.Register, 2)
	for i := range acc {
		acc[i] = s.vec()
		VMOVAPS(low, acc[i])
	}
	broken := s.newFlags()
	s.each(prefix, n, ptrs, 2, func(x span) {
		v := x.load(0)
		broken.note(v)
		x.replace(v, low)
		VMAXPS(v, acc[x.slot], acc[x.slot])
	})
	top := s.fold(s.merge(acc, VMAXPS), VMAXPS)
	nan := s.fold(broken.lanes(), VORPS)
	VORPS(nan, top, top)
	return top
}

// flags remembers in which lanes a NaN was seen.
type flags struct {
	s isa
	r reg.Register
}

func (s isa) newFlags() flags {
	if s.lanes == 16 {
		k := K()
		KXORW(k, k, k)
		return flags{s, k}
	}
	v := YMM()
	s.zero(v)
	return flags{s, v}
}

func (f flags) note(v reg.Register) {
	const unordered = 3
	if f.s.lanes == 16 {
		k := K()
		VCMPPS(Imm(unordered), v, v, k)
		KORW(k, f.r, f.r)
		return
	}
	seen := YMM()
	VCMPPS(Imm(unordered), v, v, seen)
	VORPS(seen, f.r, f.r)
}

// lanes returns all ones, which is a NaN, in each flagged lane and 0 elsewhere.
func (f flags) lanes() reg.Register {
	if f.s.lanes == 16 {
		v := ZMM()
		VPMOVM2D(f.r, v)
		return v
	}
	return f.r
}

func axpy(s isa) {
	routine(s, "axpy", "(n int, y *float32, alpha float32, x *float32)", "y[i] += alpha*x[i]")
	n, ptrs := Load(Param("n"), GP64()), pointers("y", "x")
	alpha := s.broadcast("alpha")
	s.each("", n, ptrs, 4, func(x span) {
		y := x.load(0)
		VFMADD231PS(x.load(1), alpha, y)
		x.store(0, y)
	})
	done()
}

func scale(s isa) {
	routine(s, "scale", "(n int, dst *float32, alpha float32, x *float32)", "dst[i] = alpha*x[i]")
	n, ptrs := Load(Param("n"), GP64()), pointers("dst", "x")
	alpha := s.broadcast("alpha")
	s.each("", n, ptrs, 4, func(x span) {
		v := x.load(1)
		VMULPS(v, alpha, v)
		x.store(0, v)
	})
	done()
}

func pairwise(s isa, name, sign string, op func(...Op)) {
	routine(s, name, "(n int, dst, a, b *float32)", "dst[i] = a[i] "+sign+" b[i]")
	n, ptrs := Load(Param("n"), GP64()), pointers("dst", "a", "b")
	s.each("", n, ptrs, 4, func(x span) {
		v := x.load(1)
		op(x.load(2), v, v)
		x.store(0, v)
	})
	done()
}

// accumulators returns so many vectors of zeros.
func (s isa) accumulators(count int) []reg.Register {
	acc := make([]reg.Register, count)
	for i := range acc {
		acc[i] = s.vec()
		s.zero(acc[i])
	}
	return acc
}

// merge combines accumulators into the first, as a tree.
func (s isa) merge(acc []reg.Register, op func(...Op)) reg.Register {
	for step := 1; step < len(acc); step *= 2 {
		for i := 0; i+step < len(acc); i += 2 * step {
			op(acc[i+step], acc[i], acc[i])
		}
	}
	return acc[0]
}
