package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func search() {
	maskData()
	lanes := laneData()
	scoreTile()
	prospects()
	passing(lanes)
	passingEntries(lanes)
	countAtLeast()
	gatherSum()
}

// What package kernel lays out.
const (
	searchRows   = 6
	panelBytes   = 4 * 32
	searchStride = 4 * (512 + 16) // from one query's scores to the next's
)

// scoreTile multiplies six queries with the halves of panels that are listed,
// sixteen keys at a time, as gemmTile does. Unrolling the lines of a panel gains
// nothing, nor does it to compare the scores with their bars before they are
// written: there is too often one that passes, and no telling where.
func scoreTile() {
	s := avx2
	routine(s, "scoreTile", "(n int, halves *int32, d int, queries, keys, bias, shares *float32, classes *int32, scores *float32)",
		"for i < n, r < 6, j < 16, u = 16*halves[i]+j:",
		"\tscores[r*528+16*i+j] = shares[classes[u/8]*6+r] + Σp<d queries[p*6+r]*keys[(u/32*d+p)*32+u%32] + bias[u]",
		"n and d are at least 1.")
	n, d := Load(Param("n"), GP64()), Load(Param("d"), GP64())
	ptrs := pointers("halves", "queries", "keys", "bias", "shares", "classes", "scores")
	halves, queries, keys, bias, shares, classes, scores := ptrs[0], ptrs[1], ptrs[2], ptrs[3], ptrs[4], ptrs[5], ptrs[6]
	acc := func(r, v int) reg.Register { return s.at(2*r + v) }
	line := []reg.Register{s.at(2 * searchRows), s.at(2*searchRows + 1)}
	value := s.at(2*searchRows + 2)
	Label("half")
	half, key, q, left := GP64(), GP64(), GP64(), GP64()
	MOVLQSX(Mem{Base: halves}, half)
	for v := range line {
		MOVLQSX(Mem{Base: classes, Index: half, Scale: 8, Disp: 4 * v}, q)
		IMUL3Q(Imm(4*searchRows), q, q)
		for r := range searchRows {
			VBROADCASTSS(Mem{Base: shares, Index: q, Scale: 1, Disp: 4 * r}, acc(r, v))
		}
	}
	MOVQ(half, key) // half/2 panels on, and half a line more where it is odd
	SHRQ(Imm(1), key)
	IMULQ(d, key)
	SHLQ(Imm(1), key)
	MOVQ(half, q)
	ANDQ(Imm(1), q)
	ADDQ(q, key)
	SHLQ(Imm(6), key)
	ADDQ(keys, key)
	MOVQ(queries, q)
	MOVQ(d, left)
	Label("step")
	for v := range line {
		VMOVUPS(Mem{Base: key, Disp: v * s.bytes()}, line[v])
	}
	for r := range searchRows {
		VBROADCASTSS(Mem{Base: q, Disp: 4 * r}, value)
		for v := range line {
			VFMADD231PS(line[v], value, acc(r, v))
		}
	}
	ADDQ(Imm(4*searchRows), q)
	SUBQ(I32(-panelBytes), key)
	DECQ(left)
	JNZ(LabelRef("step"))
	SHLQ(Imm(4), half)
	for v := range line {
		VMOVUPS(Mem{Base: bias, Index: half, Scale: 4, Disp: v * s.bytes()}, line[v])
		for r := range searchRows {
			VADDPS(line[v], acc(r, v), acc(r, v))
			VMOVUPS(acc(r, v), Mem{Base: scores, Disp: r*searchStride + v*s.bytes()})
		}
	}
	ADDQ(Imm(4), halves)
	ADDQ(Imm(panelBytes/2), scores)
	DECQ(n)
	JNZ(LabelRef("half"))
	done()
}

// prospects takes six queries for eight.
func prospects() {
	s := avx2
	routine(s, "prospects", "(halves int, reach, bars, shares *float32, classes *int32, norms, peaks *float32, list *int32) int",
		"for h < halves, r < 6, b = 2*h, 2*h+1:",
		"\tif any shares[classes[b]*6+r] + reach[r]*norms[b] + peaks[b] is not below bars[r] { list h }",
		"return how many are listed",
		"halves is at least 1. Reach and bars have eight values, and behind shares are two more.")
	halves, ptrs := Load(Param("halves"), GP64()), pointers("shares", "classes", "norms", "peaks", "list", "reach", "bars")
	shares, classes, norms, peaks, list := ptrs[0], ptrs[1], ptrs[2], ptrs[3], ptrs[4]
	reach, bars := s.vec(), s.vec()
	VMOVUPS(Mem{Base: ptrs[5]}, reach)
	VMOVUPS(Mem{Base: ptrs[6]}, bars)
	h, count, any := GP64(), GP64(), GP64()
	XORQ(h, h)
	XORQ(count, count)
	Label("half")
	var above [2]reg.VecVirtual
	for v := range above {
		class, of := GP64(), s.vec()
		above[v] = s.vec()
		MOVLQSX(Mem{Base: classes, Index: h, Scale: 8, Disp: 4 * v}, class)
		IMUL3Q(Imm(4*searchRows), class, class)
		VMOVUPS(Mem{Base: shares, Index: class, Scale: 1}, above[v])
		VBROADCASTSS(Mem{Base: norms, Index: h, Scale: 8, Disp: 4 * v}, of)
		VFMADD231PS(reach, of, above[v])
		VBROADCASTSS(Mem{Base: peaks, Index: h, Scale: 8, Disp: 4 * v}, of)
		VADDPS(of, above[v], above[v])
		VCMPPS(Imm(notBelow), bars, above[v], above[v])
	}
	VORPS(above[1], above[0], above[0])
	VMOVMSKPS(above[0], any.As32())
	MOVL(h.As32(), Mem{Base: list, Index: count, Scale: 4})
	ANDL(Imm(1<<searchRows-1), any.As32())
	NEGL(any.As32()) // sets the carry unless it is 0
	ADCQ(Imm(0), count)
	INCQ(h)
	CMPQ(h, halves)
	JLT(LabelRef("half"))
	Store(count, ReturnIndex(0))
	done()
}

// Predicates of comparisons: false and true for NaN.
const (
	greaterOrEqual = 0x1d
	notBelow       = 0x15
)

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

// passing writes eight values and eight numbers, wanted or not, and steps on by how
// many are wanted: there is no branch that cannot be foreseen.
func passing(lanes Mem) {
	s := avx2
	routine(s, "passing", "(n int, x *float32, add, bar float32, values *float32, numbers *int32) int",
		"count = 0; for i < n: if v = x[i]+add; v >= bar { values[count], numbers[count] = v, i; count++ }", "return count",
		"n is a positive multiple of 8; there is room for 8 more than pass. values may be x.")
	n, ptrs := Load(Param("n"), GP64()), pointers("x", "values", "numbers")
	x, values, numbers := ptrs[0], ptrs[1], ptrs[2]
	add, bar := s.broadcast("add"), s.broadcast("bar")
	table, total := GP64(), GP64()
	LEAQ(lanes, table)
	XORQ(total, total)
	base, eight := YMM(), YMM()
	VPXOR(base, base, base)
	VPCMPEQD(eight, eight, eight)
	VPSRLD(Imm(31), eight, eight)
	VPSLLD(Imm(3), eight, eight)
	Label("eight")
	v, compared, list := YMM(), YMM(), YMM()
	hit, count := GP64(), GP64()
	VADDPS(Mem{Base: x}, add, v)
	VCMPPS(Imm(greaterOrEqual), bar, v, compared)
	VMOVMSKPS(compared, hit.As32())
	POPCNTL(hit.As32(), count.As32())
	VPMOVZXBD(Mem{Base: table, Index: hit, Scale: 8}, list)
	VPERMPS(v, list, v)
	VPADDD(base, list, list)
	VMOVUPS(v, Mem{Base: values, Index: total, Scale: 4})
	VMOVDQU(list, Mem{Base: numbers, Index: total, Scale: 4})
	ADDQ(count, total)
	VPADDD(eight, base, base)
	ADDQ(Imm(32), x)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("eight"))
	Store(total, ReturnIndex(0))
	done()
}

// passingEntries is passing over the entries of one key after the other, eight at a
// time, of which those past the last do not count.
func passingEntries(lanes Mem) {
	s := avx2
	routine(s, "passingEntries", "(n int, scores *float32, keys, starts *int32, behind *float32, names *int32, bar float32, values *float32, named *int32, room int) (done, count int)",
		"count = 0",
		"for done < n:",
		"\tscore, from, to := scores[done], starts[keys[done]], starts[keys[done]+1]",
		"\tif count+to-from > room { break }",
		"\tfor from <= e < to: if v = score+behind[e]; v >= bar { values[count], named[count] = v, names[e]; count++ }",
		"\tdone++",
		"return done, count",
		"Each key has an entry. Behind and names, values and named have 8 more than are counted.")
	ptrs := pointers("scores", "keys", "starts", "behind", "names", "values", "named")
	scores, keys, starts, behind, names, values, named := ptrs[0], ptrs[1], ptrs[2], ptrs[3], ptrs[4], ptrs[5], ptrs[6]
	table, bar := GP64(), s.broadcast("bar")
	LEAQ(lanes, table)
	key, count := GP64(), GP64()
	XORQ(key, key)
	XORQ(count, count)
	Label("key")
	score, from, left, few := YMM(), GP64(), GP64(), GP64()
	MOVLQSX(Mem{Base: keys, Index: key, Scale: 4}, left)
	VBROADCASTSS(Mem{Base: scores, Index: key, Scale: 4}, score)
	MOVLQSX(Mem{Base: starts, Index: left, Scale: 4}, from)
	MOVLQSX(Mem{Base: starts, Index: left, Scale: 4, Disp: 4}, left)
	SUBQ(from, left)
	LEAQ(Mem{Base: count, Index: left, Scale: 1}, few)
	CMPQ(few, NewParamAddr("room", 72))
	JGT(LabelRef("over"))
	Label("eight")
	v, compared, list, kept := YMM(), YMM(), YMM(), YMM()
	hit := GP64()
	VADDPS(Mem{Base: behind, Index: from, Scale: 4}, score, v)
	VCMPPS(Imm(greaterOrEqual), bar, v, compared)
	VMOVMSKPS(compared, hit.As32())
	MOVL(U32(8), few.As32())
	CMPQ(left, few)
	CMOVQLT(left, few)
	BZHIQ(few, hit, hit)
	VPMOVZXBD(Mem{Base: table, Index: hit, Scale: 8}, list)
	POPCNTL(hit.As32(), hit.As32())
	VPERMPS(v, list, v)
	VPERMD(Mem{Base: names, Index: from, Scale: 4}, list, kept)
	VMOVUPS(v, Mem{Base: values, Index: count, Scale: 4})
	VMOVDQU(kept, Mem{Base: named, Index: count, Scale: 4})
	ADDQ(hit, count)
	ADDQ(Imm(8), from)
	SUBQ(Imm(8), left)
	JGT(LabelRef("eight"))
	INCQ(key)
	CMPQ(key, NewParamAddr("n", 0))
	JLT(LabelRef("key"))
	Label("over")
	Store(key, ReturnIndex(0))
	Store(count, ReturnIndex(1))
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

// gatherSum adds up weighted rows of a table, sixteen columns at a time, which stay
// in registers while it goes through the rows, two by two: a sum of its own for every
// other row halves the waiting for the last addition.
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
	at, row, weight := GP64(), GP64(), s.vec()
	load := func(next int) {
		MOVLQSX(Mem{Base: idx, Index: at, Scale: 4, Disp: 4 * next}, row)
		IMULQ(stride, row)
		VBROADCASTSS(Mem{Base: weights, Index: at, Scale: 4, Disp: 4 * next}, weight)
	}
	var sums [4]reg.VecVirtual
	for i := range sums {
		sums[i] = s.vec()
	}
	add := func(to []reg.VecVirtual) {
		for v, sum := range to {
			VFMADD231PS(Mem{Base: table, Index: row, Scale: 1, Disp: v * s.bytes()}, weight, sum)
		}
	}
	Label("strip")
	SUBQ(Imm(16), left)
	JLT(LabelRef("narrow"))
	for v := range 2 {
		VMOVUPS(Mem{Base: dst, Disp: v * s.bytes()}, sums[v])
		s.zero(sums[2+v])
	}
	XORQ(at, at)
	SUBQ(Imm(1), rows) // until the strip ends, the last row
	JZ(LabelRef("odd"))
	Label("pair")
	for next := range 2 {
		load(next)
		add(sums[2*next : 2*next+2])
	}
	ADDQ(Imm(2), at)
	CMPQ(at, rows)
	JLT(LabelRef("pair"))
	JGT(LabelRef("even"))
	Label("odd")
	load(0)
	add(sums[:2])
	Label("even")
	ADDQ(Imm(1), rows)
	for v := range 2 {
		VADDPS(sums[2+v], sums[v], sums[v])
		VMOVUPS(sums[v], Mem{Base: dst, Disp: v * s.bytes()})
	}
	ADDQ(Imm(64), dst)
	ADDQ(Imm(64), table)
	JMP(LabelRef("strip"))
	Label("narrow")
	ADDQ(Imm(16), left)
	JZ(LabelRef("over"))
	one := XMM()
	Label("column")
	VMOVSS(Mem{Base: dst}, one)
	XORQ(at, at)
	Label("single")
	load(0)
	VFMADD231SS(Mem{Base: table, Index: row, Scale: 1}, weight.AsX(), one)
	INCQ(at)
	CMPQ(at, rows)
	JLT(LabelRef("single"))
	VMOVSS(one, Mem{Base: dst})
	ADDQ(Imm(4), dst)
	ADDQ(Imm(4), table)
	DECQ(left)
	JNZ(LabelRef("column"))
	Label("over")
	done()
}
