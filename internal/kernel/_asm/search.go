package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func search() {
	maskData()
	scoreTile()
	placesAtLeast()
	countAtLeast()
	countAbove()
	gatherSum()
}

// What package kernel lays out.
const (
	searchRows   = 6
	panelBytes   = 4 * 32
	searchStride = 4 * (512 + 16) // from one query's scores to the next's
)

// scoreTile multiplies six queries with whole panels, sixteen keys at a time, as
// gemmTile does. Unrolling the lines of a panel gains nothing.
func scoreTile() {
	s := avx2
	routine(s, "scoreTile", "(panels, d int, queries, keys, bias, scores *float32)",
		"for r < 6, u < 32*panels:",
		"\tscores[r*528+u] = Σp<d queries[p*6+r]*keys[(u/32*d+p)*32+u%32] + bias[u]",
		"panels and d are at least 1.")
	panels, d := Load(Param("panels"), GP64()), Load(Param("d"), GP64())
	ptrs := pointers("queries", "keys", "bias", "scores")
	queries, keys, bias, scores := ptrs[0], ptrs[1], ptrs[2], ptrs[3]
	size, q, left := GP64(), GP64(), GP64()
	MOVQ(d, size)
	SHLQ(Imm(7), size)
	acc := func(r, v int) reg.Register { return s.at(2*r + v) }
	line := []reg.Register{s.at(2 * searchRows), s.at(2*searchRows + 1)}
	value := s.at(2*searchRows + 2)
	Label("panel")
	for half := range 2 {
		at := half * panelBytes / 2
		for i := range 2 * searchRows {
			s.zero(s.at(i))
		}
		MOVQ(queries, q)
		MOVQ(d, left)
		step := fmt.Sprint("step", half)
		Label(step)
		for v := range line {
			VMOVUPS(Mem{Base: keys, Disp: at + v*s.bytes()}, line[v])
		}
		for r := range searchRows {
			VBROADCASTSS(Mem{Base: q, Disp: 4 * r}, value)
			for v := range line {
				VFMADD231PS(line[v], value, acc(r, v))
			}
		}
		ADDQ(Imm(4*searchRows), q)
		SUBQ(I32(-panelBytes), keys)
		DECQ(left)
		JNZ(LabelRef(step))
		if half == 0 {
			SUBQ(size, keys)
		}
		for v := range line {
			VMOVUPS(Mem{Base: bias, Disp: at + v*s.bytes()}, line[v])
			for r := range searchRows {
				VADDPS(line[v], acc(r, v), acc(r, v))
				VMOVUPS(acc(r, v), Mem{Base: scores, Disp: r*searchStride + at + v*s.bytes()})
			}
		}
	}
	SUBQ(I32(-panelBytes), bias)
	SUBQ(I32(-panelBytes), scores)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	done()
}

const greaterOrEqual = 0x1d // false for NaN

// laneData lists for each of the 256 masks which of its bits are set.
func laneData() Mem {
	at := GLOBL("setLanes", RODATA|NOPTR)
	for m := range 256 {
		place := 0
		for bit := range 8 {
			if m>>bit&1 == 1 {
				DATA(8*m+place, U8(uint8(bit)))
				place++
			}
		}
		for ; place < 8; place++ {
			DATA(8*m+place, U8(0))
		}
	}
	return at
}

// placesAtLeast writes eight places for eight values, wanted or not, and steps on by
// the number of the wanted: there is no branch that cannot be foreseen.
func placesAtLeast() {
	s := avx2
	lanes := laneData()
	routine(s, "placesAtLeast", "(n int, x *float32, bar float32, places *uint16) int",
		"count = 0; for i < n: if x[i] >= bar { places[count] = i; count++ }", "return count",
		"n is a positive multiple of 32; there is room for 8 places more than are found.")
	n, ptrs := Load(Param("n"), GP64()), pointers("x", "places")
	x, places := ptrs[0], ptrs[1]
	bar := s.broadcast("bar")
	table, start := GP64(), GP64()
	LEAQ(lanes, table)
	MOVQ(places, start)
	ones, step := XMM(), XMM()
	VPCMPEQW(ones, ones, ones)
	VPSRLW(Imm(15), ones, ones)
	VPSLLW(Imm(5), ones, step)
	VPSLLW(Imm(3), ones, ones) // eights now
	var bases [4]reg.VecVirtual
	for v := range bases {
		bases[v] = XMM()
		if v == 0 {
			VPXOR(bases[v], bases[v], bases[v])
		} else {
			VPADDW(ones, bases[v-1], bases[v])
		}
	}
	Label("panel")
	for v, base := range bases {
		hit, count, compared, list := GP64(), GP64(), s.vec(), XMM()
		VMOVUPS(Mem{Base: x, Disp: v * s.bytes()}, compared)
		VCMPPS(Imm(greaterOrEqual), bar, compared, compared)
		VMOVMSKPS(compared, hit.As32())
		POPCNTL(hit.As32(), count.As32())
		VPMOVZXBW(Mem{Base: table, Index: hit, Scale: 8}, list)
		VPADDW(base, list, list)
		VMOVDQU(list, Mem{Base: places})
		LEAQ(Mem{Base: places, Index: count, Scale: 2}, places)
		VPADDW(step, base, base)
	}
	SUBQ(I32(-panelBytes), x)
	SUBQ(Imm(32), n)
	JNZ(LabelRef("panel"))
	SUBQ(start, places)
	SHRQ(Imm(1), places)
	Store(places, ReturnIndex(0))
	done()
}

func countAtLeast() {
	s := avx2
	routine(s, "countAtLeast", "(n int, x *float32, bar float32) int", "count = 0; for i < n: if x[i] >= bar { count++ }", "return count")
	n, ptrs := Load(Param("n"), GP64()), pointers("x")
	bar, acc := s.broadcast("bar"), s.accumulators(4)
	s.each("", n, ptrs, 4, func(x span) {
		v := x.load(0)
		VCMPPS(Imm(greaterOrEqual), bar, v, v)
		x.clean(v)
		VPSUBD(v, acc[x.slot], acc[x.slot])
	})
	total := s.fold(s.mergeInts(acc), func(ops ...Op) { VPADDD(ops...) })
	count := GP64()
	VMOVD(total, count.As32())
	Store(count, ReturnIndex(0))
	done()
}

// countAbove compares each value with 32 others at a time.
func countAbove() {
	s := avx2
	routine(s, "countAbove", "(n int, above *int32, x *float32)",
		"for i < n: above[i] = 0; for j < n: if x[j] > x[i] { above[i]++ }",
		"n is at least 1; there is room for a multiple of 32 values.")
	n, ptrs := Load(Param("n"), GP64()), pointers("above", "x")
	above, x := ptrs[0], ptrs[1]
	from, at, left, rest := GP64(), GP64(), GP64(), GP64()
	MOVQ(x, from)
	MOVQ(n, rest)
	Label("block")
	var values, counts [4]reg.Register
	for v := range values {
		values[v], counts[v] = s.vec(), s.vec()
		VMOVUPS(Mem{Base: from, Disp: v * s.bytes()}, values[v])
		s.zero(counts[v])
	}
	MOVQ(x, at)
	MOVQ(n, left)
	other := s.vec()
	Label("other")
	VBROADCASTSS(Mem{Base: at}, other)
	for v := range values {
		const greater = 0x1e
		higher := s.vec()
		VCMPPS(Imm(greater), values[v], other, higher)
		VPSUBD(higher, counts[v], counts[v])
	}
	ADDQ(Imm(4), at)
	DECQ(left)
	JNZ(LabelRef("other"))
	for v := range counts {
		VMOVDQU(counts[v], Mem{Base: above, Disp: v * s.bytes()})
	}
	SUBQ(I32(-128), from)
	SUBQ(I32(-128), above)
	SUBQ(Imm(32), rest)
	JGT(LabelRef("block"))
	done()
}

// gatherSum adds up weighted rows of a table, sixteen columns at a time, which stay
// in registers while it goes through the rows.
func gatherSum() {
	s := avx2
	routine(s, "gatherSum", "(rows, cols int, dst, table *float32, idx *int32, weights *float32)",
		"for r < rows, c < cols: dst[c] += weights[r]*table[idx[r]*cols+c]")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	ptrs := pointers("dst", "table", "idx", "weights")
	dst, table, idx, weights := ptrs[0], ptrs[1], ptrs[2], ptrs[3]
	stride, left := GP64(), GP64()
	MOVQ(cols, stride)
	SHLQ(Imm(2), stride)
	MOVQ(cols, left)
	down := func(label string, add func(row reg.Register, weight reg.Register)) {
		from, at, n, row, weight := GP64(), GP64(), GP64(), GP64(), s.vec()
		MOVQ(idx, from)
		MOVQ(weights, at)
		MOVQ(rows, n)
		Label(label)
		MOVLQSX(Mem{Base: from}, row)
		IMULQ(stride, row)
		ADDQ(table, row)
		VBROADCASTSS(Mem{Base: at}, weight)
		add(row, weight)
		ADDQ(Imm(4), from)
		ADDQ(Imm(4), at)
		DECQ(n)
		JNZ(LabelRef(label))
	}
	Label("strip")
	SUBQ(Imm(16), left)
	JLT(LabelRef("narrow"))
	low, high := s.vec(), s.vec()
	VMOVUPS(Mem{Base: dst}, low)
	VMOVUPS(Mem{Base: dst, Disp: s.bytes()}, high)
	down("wide", func(row, weight reg.Register) {
		VFMADD231PS(Mem{Base: row}, weight, low)
		VFMADD231PS(Mem{Base: row, Disp: s.bytes()}, weight, high)
	})
	VMOVUPS(low, Mem{Base: dst})
	VMOVUPS(high, Mem{Base: dst, Disp: s.bytes()})
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), table)
	JMP(LabelRef("strip"))
	Label("narrow")
	ADDQ(Imm(16), left)
	JZ(LabelRef("over"))
	one := XMM()
	Label("column")
	VMOVSS(Mem{Base: dst}, one)
	down("single", func(row, weight reg.Register) {
		VFMADD231SS(Mem{Base: row}, weight.(reg.VecVirtual).AsX(), one)
	})
	VMOVSS(one, Mem{Base: dst})
	ADDQ(Imm(4), dst)
	ADDQ(Imm(4), table)
	DECQ(left)
	JNZ(LabelRef("column"))
	Label("over")
	done()
}
