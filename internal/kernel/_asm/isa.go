package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is one instruction set: how wide its vectors are and which registers hold
// them. The routines are written once against it.
type isa struct {
	name  string // suffix of the Go names
	lanes int    // float32 values in a vector
	regs  int    // vector registers
}

var (
	avx2   = isa{"AVX2", 8, 16}
	avx512 = isa{"AVX512", 16, 32}
)

// bytes is the size of a vector.
func (s isa) bytes() int { return 4 * s.lanes }

// at returns the i-th physical vector register.
func (s isa) at(i int) reg.VecPhysical {
	if s.lanes == 16 {
		return [...]reg.VecPhysical{
			reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
			reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
			reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
			reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
		}[i]
	}
	return [...]reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}[i]
}

// vec returns a fresh vector register for the allocator to place.
func (s isa) vec() reg.VecVirtual {
	if s.lanes == 16 {
		return ZMM()
	}
	return YMM()
}

// zero clears a vector.
func (s isa) zero(v reg.Register) {
	if s.lanes == 16 {
		VPXORD(v, v, v)
		return
	}
	VXORPS(v, v, v)
}

// mask selects the first so many lanes of a vector: an opmask register under
// AVX-512, a vector of all-ones lanes under AVX2.
type mask struct {
	s isa
	r reg.Register
}

// maskTable is eight lanes of ones, then eight of zeros.
var maskTable Mem

func maskData() {
	maskTable = GLOBL("laneMask", RODATA|NOPTR)
	for i := range 16 {
		v := U32(0)
		if i < 8 {
			v = 0xffffffff
		}
		DATA(4*i, v)
	}
}

// firstLanes makes the mask of the first n lanes, 0 <= n <= lanes. An AVX2 mask
// goes to hold, which may be nil to let the allocator choose.
func (s isa) firstLanes(n reg.Register, hold reg.Register) mask {
	if s.lanes == 16 {
		ones := GP64()
		MOVQ(I64(-1), ones)
		BZHIQ(n, ones, ones)
		k := K()
		KMOVD(ones.As32(), k)
		return mask{s, k}
	}
	if hold == nil {
		hold = YMM()
	}
	base, skip := GP64(), GP64()
	MOVQ(I32(8), skip)
	SUBQ(n, skip)
	LEAQ(maskTable, base)
	VMOVDQU(Mem{Base: base, Index: skip, Scale: 4}, hold)
	return mask{s, hold}
}

// load reads the masked lanes and zeroes the others.
func (m mask) load(from Mem, to reg.Register) {
	if m.s.lanes == 16 {
		VMOVUPS_Z(from, m.r, to)
		return
	}
	VMASKMOVPS(from, m.r, to)
}

// store writes the masked lanes.
func (m mask) store(from reg.Register, to Mem) {
	if m.s.lanes == 16 {
		VMOVUPS(from, m.r, to)
		return
	}
	VMASKMOVPS(from, m.r, to)
}

// bytesOf loads an int parameter that counts floats and turns it into bytes.
func bytesOf(param string) reg.GPVirtual {
	r := Load(Param(param), GP64()).(reg.GPVirtual)
	SHLQ(Imm(2), r)
	return r
}
