package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose turns eight table rows into eight columns of a panel, eight values of
// each row at a time. Half-rows are put together on loading, which leaves two
// shuffles for each vector. It serves AVX-512 as well: wider shuffles are slower
// on some machines and no faster on others.
func transpose() {
	TEXT("transposeRows", NOSPLIT, "func(dst, src *float32, ld, rows, groups int)")
	Doc(
		"transposeRows writes rows (1 to 8) of 8*groups values as columns of lines 32 wide.",
		"Missing rows repeat the last.",
		"",
		"\tfor c < 8*groups, r < 8:",
		"\t\tdst[c*32+r] = src[min(r, rows-1)*ld+c]",
	)
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride := bytesOf("ld")
	left, groups := Load(Param("rows"), GP64()), Load(Param("groups"), GP64())
	var row [8]reg.GPVirtual
	row[0] = GP64()
	MOVQ(src, row[0])
	none := GP64()
	XORQ(none, none)
	for r := 1; r < 8; r++ {
		row[r] = GP64()
		CMPQ(left, Imm(uint64(r)))
		CMOVQLE(none, stride)
		LEAQ(Mem{Base: row[r-1], Index: stride, Scale: 1}, row[r])
	}
	Label("group")
	for half := range 2 {
		transposeHalf(dst, row, half)
	}
	for r := range 8 {
		ADDQ(Imm(32), row[r])
	}
	ADDQ(I32(8*32*4), dst)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// transposeHalf writes four lines: the left or right four values of each row.
func transposeHalf(dst reg.Register, row [8]reg.GPVirtual, half int) {
	var pair [4]reg.VecVirtual // row r beside row r+4
	for r := range 4 {
		pair[r] = YMM()
		VMOVUPS(Mem{Base: row[r], Disp: 16 * half}, pair[r].AsX())
		VINSERTF128(Imm(1), Mem{Base: row[r+4], Disp: 16 * half}, pair[r], pair[r])
	}
	lo01, hi01, lo23, hi23 := YMM(), YMM(), YMM(), YMM()
	VUNPCKLPS(pair[1], pair[0], lo01)
	VUNPCKHPS(pair[1], pair[0], hi01)
	VUNPCKLPS(pair[3], pair[2], lo23)
	VUNPCKHPS(pair[3], pair[2], hi23)
	for line, from := range [4]struct {
		a, b reg.Register
		pick uint64
	}{{lo01, lo23, 0x44}, {lo01, lo23, 0xee}, {hi01, hi23, 0x44}, {hi01, hi23, 0xee}} {
		out := YMM()
		VSHUFPS(Imm(from.pick), from.b, from.a, out)
		VMOVUPS(out, Mem{Base: dst, Disp: (4*half + line) * 32 * 4})
	}
}
