package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func gemm() {
	maskData()
	tile(avx2, 6)
	tile(avx512, 14)
	transpose()
}

// tile writes the product of a few rows of A and two vectors' width of B. The
// accumulators fill the registers: two for each row, two hold a line of B, the
// others a broadcast value of A. There is a body for each number of rows and for
// each of three widths: two whole vectors, one and a part, and a part of one.
//
// Measured on a Zen 4 core with 6400×64×64, everything in place: 14×32 and 6×16 both
// reach 0.96 of a register-only loop (118 GFLOP/s with either width), so AVX-512 is
// first choice for machines whose wider multipliers are really there.
func tile(s isa, most int) {
	TEXT("gemmTile"+s.name, NOSPLIT, "func(rows, cols, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, acc bool)")
	Doc(
		fmt.Sprintf("gemmTile%s multiplies rows (1 to %d) by cols (1 to %d); k is at least 1.", s.name, most, 2*s.lanes),
		"",
		"\tfor i < rows, j < cols:",
		"\t\tc[i*ldc+j] = (acc ? c[i*ldc+j] : 0) + Σp<k a[i*ars+p*acs]*b[p*ldb+j]",
	)
	Pragma("noescape")
	t := tileArgs{isa: s, most: most}
	rows := Load(Param("rows"), GP64())
	t.cols = Load(Param("cols"), GP64()).(reg.GPVirtual)
	t.k = Load(Param("k"), GP64()).(reg.GPVirtual)
	t.a = Load(Param("a"), GP64()).(reg.GPVirtual)
	t.b = Load(Param("b"), GP64()).(reg.GPVirtual)
	t.c = Load(Param("c"), GP64()).(reg.GPVirtual)
	t.ars, t.acs, t.ldb, t.ldc = bytesOf("ars"), bytesOf("acs"), bytesOf("ldb"), bytesOf("ldc")

	CMPQ(t.cols, Imm(uint64(s.lanes)))
	JLE(LabelRef("narrow"))
	CMPQ(t.cols, Imm(uint64(2*s.lanes)))
	JLT(LabelRef("ragged"))
	for _, width := range []string{"full", "ragged", "narrow"} {
		Label(width)
		for r := most; r > 1; r-- {
			CMPQ(rows, Imm(uint64(r)))
			JEQ(LabelRef(fmt.Sprint(width, r)))
		}
		for r := 1; r <= most; r++ {
			Label(fmt.Sprint(width, r))
			t.body(width, r)
		}
	}
}

type tileArgs struct {
	isa
	most               int
	cols, k            reg.GPVirtual
	a, b, c            reg.GPVirtual
	ars, acs, ldb, ldc reg.GPVirtual
}

// body multiplies a fixed number of rows.
func (t tileArgs) body(width string, rows int) {
	vecs := 2
	if width == "narrow" {
		vecs = 1
	}
	var edge mask
	if width != "full" {
		n := GP64()
		MOVQ(t.cols, n)
		if width == "ragged" {
			SUBQ(Imm(uint64(t.lanes)), n)
		}
		edge = t.firstLanes(n, t.at(t.regs-1))
	}
	// The last vector of a line is masked unless the width is full.
	load := func(from Mem, v int, to reg.Register) {
		if width != "full" && v == vecs-1 {
			edge.load(from, to)
		} else {
			VMOVUPS(from, to)
		}
	}
	acc := func(r, v int) reg.Register { return t.at(2*r + v) }
	line := func(v int) reg.Register { return t.at(2*t.most + v) }
	for r := range rows {
		for v := range vecs {
			t.zero(acc(r, v))
		}
	}
	row := t.rowAddress(rows)
	loop := fmt.Sprint(width, rows, "step")
	Label(loop)
	for v := range vecs {
		load(Mem{Base: t.b, Disp: v * t.bytes()}, v, line(v))
	}
	for r := range rows {
		value := t.at(2*t.most + 2)
		VBROADCASTSS(row(r), value)
		for v := range vecs {
			VFMADD231PS(line(v), value, acc(r, v))
		}
	}
	ADDQ(t.acs, t.a)
	ADDQ(t.ldb, t.b)
	DECQ(t.k)
	JNZ(LabelRef(loop))
	t.finish(width, rows, vecs, acc, load, edge)
}

// rowAddress returns where row r's value of A lies. One pointer moves along A;
// rows are reached through odd multiples of the stride and the scales 1 to 8.
func (t tileArgs) rowAddress(rows int) func(r int) Mem {
	odd := map[int]reg.Register{1: t.ars}
	for f := 3; f < rows; f += 2 {
		m := GP64()
		LEAQ(Mem{Base: odd[f-2], Index: t.ars, Scale: 2}, m)
		odd[f] = m
	}
	return func(r int) Mem {
		if r == 0 {
			return Mem{Base: t.a}
		}
		scale := r & -r
		return Mem{Base: t.a, Index: odd[r/scale], Scale: uint8(scale)}
	}
}

// finish writes the accumulators to C, adding what is there if acc is set.
func (t tileArgs) finish(width string, rows, vecs int, acc func(r, v int) reg.Register, load func(Mem, int, reg.Register), edge mask) {
	add := Load(Param("acc"), GP8())
	store := fmt.Sprint(width, rows, "store")
	TESTB(add, add)
	JEQ(LabelRef(store))
	from := GP64()
	MOVQ(t.c, from)
	for r := range rows {
		for v := range vecs {
			old := t.at(2*t.most + v)
			load(Mem{Base: from, Disp: v * t.bytes()}, v, old)
			VADDPS(old, acc(r, v), acc(r, v))
		}
		if r < rows-1 {
			ADDQ(t.ldc, from)
		}
	}
	Label(store)
	for r := range rows {
		for v := range vecs {
			to := Mem{Base: t.c, Disp: v * t.bytes()}
			if width != "full" && v == vecs-1 {
				edge.store(acc(r, v), to)
			} else {
				VMOVUPS(acc(r, v), to)
			}
		}
		if r < rows-1 {
			ADDQ(t.ldc, t.c)
		}
	}
	VZEROUPPER()
	RET()
}
