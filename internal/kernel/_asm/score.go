package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func score() {
	maskData()
	for _, s := range []isa{avx2, avx512} {
		scoreRows(s)
		firstAtLeast(s)
	}
	roughAVX2()
	roughVNNI()
}

// scoreRows takes eight rows at a time and adds the lanes of their sums up by
// transposing them; the rows left over go one at a time. Both add in one order.
func scoreRows(s isa) {
	routine(s, "scoreRows", "(n, d int, dst, table *float32, ld int, q *float32)", "for i < n: dst[i] = Σj<d table[i*ld+j]*q[j]")
	n, d := Load(Param("n"), GP64()), Load(Param("d"), GP64())
	ptrs := pointers("dst", "table", "q")
	dst, table, q := ptrs[0], ptrs[1], ptrs[2]
	odd := map[int]reg.Register{1: bytesOf("ld")}
	for f := 3; f < 8; f += 2 {
		odd[f] = GP64()
		LEAQ(Mem{Base: odd[f-2], Index: odd[1], Scale: 2}, odd[f])
	}
	SUBQ(Imm(8), n)
	JLT(LabelRef("few"))
	Label("eight")
	s.dots(8, d, q, table, odd, func(acc []reg.Register) { VMOVUPS(s.foldEight(acc), Mem{Base: dst}) })
	ADDQ(Imm(32), dst)
	LEAQ(Mem{Base: table, Index: odd[1], Scale: 8}, table)
	SUBQ(Imm(8), n)
	JGE(LabelRef("eight"))
	Label("few")
	ADDQ(Imm(8), n)
	JEQ(LabelRef("end"))
	Label("single")
	s.dots(1, d, q, table, odd, func(acc []reg.Register) { VMOVSS(s.foldOne(acc[0]), Mem{Base: dst}) })
	ADDQ(Imm(4), dst)
	ADDQ(odd[1], table)
	DECQ(n)
	JNZ(LabelRef("single"))
	Label("end")
	done()
}

// dots sums the products of q with a number of rows, one accumulator for each.
func (s isa) dots(rows int, d, q, table reg.Register, odd map[int]reg.Register, use func(acc []reg.Register)) {
	acc := s.accumulators(rows)
	p, at := GP64(), GP64()
	MOVQ(table, p)
	MOVQ(q, at)
	left := GP64()
	MOVQ(d, left)
	row := func(r int) Mem {
		if r == 0 {
			return Mem{Base: p}
		}
		scale := r & -r
		return Mem{Base: p, Index: odd[r/scale], Scale: uint8(scale)}
	}
	label := fmt.Sprint("dots", rows)
	SUBQ(Imm(uint64(s.lanes)), left)
	JLT(LabelRef(label + "rest"))
	Label(label)
	value := s.vec()
	VMOVUPS(Mem{Base: at}, value)
	for r := range rows {
		if rows > 1 {
			PREFETCHT0(row(r).Offset(8192))
		}
		VFMADD231PS(row(r), value, acc[r])
	}
	ADDQ(Imm(uint64(s.bytes())), p)
	ADDQ(Imm(uint64(s.bytes())), at)
	SUBQ(Imm(uint64(s.lanes)), left)
	JGE(LabelRef(label))
	Label(label + "rest")
	ADDQ(Imm(uint64(s.lanes)), left)
	JEQ(LabelRef(label + "fold"))
	edge := s.firstLanes(left, nil)
	edge.load(Mem{Base: at}, value)
	for r := range rows {
		v := s.vec()
		edge.load(row(r), v)
		VFMADD231PS(v, value, acc[r])
	}
	Label(label + "fold")
	use(acc)
}

// halve adds the upper half of a 512-bit vector to the lower.
func (s isa) halve(v reg.Register) reg.Register {
	if s.lanes == 8 {
		return v
	}
	upper, lower := YMM(), YMM()
	VEXTRACTF64X4(Imm(1), v, upper)
	VADDPS(upper, v.(reg.VecVirtual).AsY(), lower)
	return lower
}

// foldEight returns the sums of eight vectors in one.
func (s isa) foldEight(acc []reg.Register) reg.Register {
	v := make([]reg.Register, 8)
	for i := range v {
		v[i] = s.halve(acc[i])
	}
	join := func(a, b reg.Register, low, high func(...Op)) reg.Register {
		x, y := YMM(), YMM()
		low(b, a, x)
		high(b, a, y)
		VADDPS(y, x, x)
		return x
	}
	var four [4]reg.Register
	for i := range four {
		four[i] = join(v[2*i], v[2*i+1], VUNPCKLPS, VUNPCKHPS) // (a0+a2, b0+b2, a1+a3, b1+b3)
	}
	lo := join(four[0], four[1], VUNPCKLPD, VUNPCKHPD)
	hi := join(four[2], four[3], VUNPCKLPD, VUNPCKHPD)
	x, y := YMM(), YMM()
	VPERM2F128(Imm(0x20), hi, lo, x)
	VPERM2F128(Imm(0x31), hi, lo, y)
	VADDPS(y, x, x)
	return x
}

// foldOne returns the sum of one vector, added in the order of foldEight.
func (s isa) foldOne(acc reg.Register) reg.Register {
	v := s.halve(acc).(reg.VecVirtual)
	t, x := YMM(), YMM()
	VPERMILPS(Imm(0x4e), v.AsY(), t)
	VADDPS(t, v.AsY(), x)
	VPERMILPS(Imm(0xb1), x, t)
	VADDPS(t, x, x)
	upper := XMM()
	VEXTRACTF128(Imm(1), x, upper)
	VADDPS(upper, x.AsX(), upper)
	return upper
}

func firstAtLeast(s isa) {
	routine(s, "firstAtLeast", "(n int, x *float32, bar float32) int", "for i < n: if x[i] >= bar { return i }", "return n")
	n, ptrs := Load(Param("n"), GP64()), pointers("x")
	bar := s.broadcast("bar")
	const unroll = 4
	place := GP64()
	s.each("", n, ptrs, unroll, func(x span) {
		v, hit := x.load(0), GP32()
		if s.lanes == 16 {
			k := K()
			VCMPPS(Imm(greaterOrEqual), bar, v, k)
			KMOVW(k, hit)
		} else {
			VCMPPS(Imm(greaterOrEqual), bar, v, v)
			VMOVMSKPS(v, hit)
		}
		if x.partial {
			left := GP64()
			MOVQ(n, left)
			SUBQ(x.at, left)
			BZHIL(left.As32(), hit, hit)
		}
		LEAQ(Mem{Base: x.at, Disp: x.slot * s.lanes}, place)
		TESTL(hit, hit)
		miss := LabelRef(fmt.Sprintf("miss%d", missCount))
		JEQ(miss)
		BSFL(hit, hit)
		ADDQ(hit.As64(), place)
		JMP(LabelRef("found"))
		Label(fmt.Sprintf("miss%d", missCount))
		missCount++
	})
	MOVQ(n, place)
	Label("found")
	Store(place, ReturnIndex(0))
	done()
}

var missCount int

// roughTail turns the integer sums of a block (or half of one) into bounds.
type roughTail struct {
	s                        isa
	scale, norm, rest        reg.Register // pointers, one float32 an item
	low, high                reg.Register // pointers to what is written
	shift, unit, alpha, beta reg.Register // vectors
}

func loadRough(s isa) (blocks, lines, items, q reg.Register, t roughTail) {
	blocks, lines = Load(Param("blocks"), GP64()), Load(Param("lines"), GP64())
	ptrs := pointers("items", "q", "scale", "norm", "rest", "low", "high")
	t = roughTail{s: s, scale: ptrs[2], norm: ptrs[3], rest: ptrs[4], low: ptrs[5], high: ptrs[6],
		shift: s.broadcast("shift"), unit: s.broadcast("unit"), alpha: s.broadcast("alpha"), beta: s.broadcast("beta")}
	return blocks, lines, ptrs[0], ptrs[1], t
}

func (t roughTail) write(total reg.Register, disp int) {
	VPSUBD(t.shift, total, total)
	VCVTDQ2PS(total, total)
	VMULPS(t.unit, total, total)
	VMULPS(Mem{Base: t.scale, Disp: disp}, total, total)
	slack, upper := t.s.vec(), t.s.vec()
	VMULPS(Mem{Base: t.norm, Disp: disp}, t.alpha, slack)
	VFMADD231PS(Mem{Base: t.rest, Disp: disp}, t.beta, slack)
	VADDPS(slack, total, upper)
	VSUBPS(slack, total, total)
	VMOVUPS(upper, Mem{Base: t.high, Disp: disp})
	VMOVUPS(total, Mem{Base: t.low, Disp: disp})
}

func (t roughTail) advance() {
	for _, p := range []reg.Register{t.scale, t.norm, t.rest, t.low, t.high} {
		ADDQ(Imm(64), p)
	}
}

const roughSignature = "(blocks, lines int, items *uint8, q *int8, scale, norm, rest, low, high *float32, shift int32, unit, alpha, beta float32)"

var roughLoop = []string{
	"for i < 16*blocks:",
	"\tdot = Σl<lines Σb<4 items[i/16][l][i%16][b]*q[4*l+b]",
	"\tmid = (dot - shift)*unit*scale[i]; slack = alpha*norm[i] + beta*rest[i]",
	"\tlow[i], high[i] = mid-slack, mid+slack",
	"lines is a positive multiple of 4.",
}

// roughVNNI multiplies bytes and adds them up in one instruction.
func roughVNNI() {
	s := avx512
	routine(isa{name: "VNNI"}, "roughScores", roughSignature, roughLoop...)
	blocks, lines, items, q, tail := loadRough(s)
	at, left := GP64(), GP64()
	Label("block")
	acc := s.accumulators(4)
	MOVQ(q, at)
	MOVQ(lines, left)
	Label("line")
	for i := range 4 {
		v := s.vec()
		VMOVDQU8(Mem{Base: items, Disp: 64 * i}, v)
		dotBytes(Mem{Base: at, Disp: 4 * i}, v, acc[i])
	}
	ADDQ(I32(256), items)
	ADDQ(Imm(16), at)
	SUBQ(Imm(4), left)
	JNZ(LabelRef("line"))
	tail.write(s.mergeInts(acc), 0)
	tail.advance()
	DECQ(blocks)
	JNZ(LabelRef("block"))
	done()
}

// dotBytes adds to each 32-bit lane of acc the products of its four unsigned bytes
// in items with the four signed bytes at q. The instruction is newer than this
// version of avo.
func dotBytes(q Mem, items, acc reg.Register) {
	Instruction(&ir.Instruction{
		Opcode:   "VPDPBUSD",
		Suffixes: []string{"BCST"},
		Operands: []Op{q, items, acc},
		Inputs:   []Op{q, items, acc},
		Outputs:  []Op{acc},
		ISA:      []string{"AVX512VNNI"},
	})
}

// roughAVX2 multiplies bytes to pairs of 16 bits, which saturate: the query keeps
// to seven bits.
func roughAVX2() {
	s := avx2
	routine(s, "roughScores", roughSignature, append(roughLoop, "Each q lies between -63 and 63.")...)
	blocks, lines, items, q, tail := loadRough(s)
	ones := s.vec()
	VPCMPEQD(ones, ones, ones)
	VPSRLW(Imm(15), ones, ones)
	at, left := GP64(), GP64()
	Label("block")
	acc := s.accumulators(4)
	MOVQ(q, at)
	MOVQ(lines, left)
	Label("line")
	for i := range 2 {
		value := s.vec()
		VPBROADCASTD(Mem{Base: at, Disp: 4 * i}, value)
		for half := range 2 {
			v := s.vec()
			VMOVDQU(Mem{Base: items, Disp: 64*i + 32*half}, v)
			VPMADDUBSW(value, v, v)
			VPMADDWD(ones, v, v)
			VPADDD(v, acc[2*half+i], acc[2*half+i])
		}
	}
	ADDQ(I32(128), items)
	ADDQ(Imm(8), at)
	SUBQ(Imm(2), left)
	JNZ(LabelRef("line"))
	tail.write(s.mergeInts(acc[:2]), 0)
	tail.write(s.mergeInts(acc[2:]), 32)
	tail.advance()
	DECQ(blocks)
	JNZ(LabelRef("block"))
	done()
}

func (s isa) mergeInts(acc []reg.Register) reg.Register {
	return s.merge(acc, func(ops ...Op) { VPADDD(ops...) })
}
