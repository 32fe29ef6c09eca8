package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// span is one vector's worth of an element-wise loop: it reads and writes the
// streams at the current place, under a mask at the ragged end.
type span struct {
	s       isa
	ptrs    []reg.Register
	at      reg.Register // elements from the pointers
	disp    int          // bytes beyond that
	slot    int          // which of the unrolled spans this is
	partial bool         // some lanes lie past the end
	lanes   mask         // those that do not, if partial
}

// mem is the current place in stream i.
func (x span) mem(i int) Mem {
	return Mem{Base: x.ptrs[i], Index: x.at, Scale: 4, Disp: x.disp}
}

// load reads stream i; lanes past the end are 0.
func (x span) load(i int) reg.Register {
	v := x.s.vec()
	from := x.mem(i)
	if x.partial {
		x.lanes.load(from, v)
	} else {
		VMOVUPS(from, v)
	}
	return v
}

// store writes stream i; lanes past the end are left alone.
func (x span) store(i int, v reg.Register) {
	to := x.mem(i)
	if x.partial {
		x.lanes.store(v, to)
	} else {
		VMOVUPS(v, to)
	}
}

// clean zeroes the lanes of v past the end.
func (x span) clean(v reg.Register) {
	if !x.partial {
		return
	}
	if x.s.lanes == 16 {
		VMOVAPS_Z(v, x.lanes.r, v)
		return
	}
	VANDPS(v, x.lanes.r, v)
}

// replace sets the lanes of v past the end to those of other.
func (x span) replace(v, other reg.Register) {
	if !x.partial {
		return
	}
	if x.s.lanes == 16 {
		VBLENDMPS(v, other, x.lanes.r, v)
		return
	}
	VBLENDVPS(x.lanes.r, v, other, v)
}

// each walks n elements of the streams: unroll spans at a time, then one, then the
// rest under a mask. The pointers and n stay. Labels begin with prefix.
func (s isa) each(prefix string, n reg.Register, ptrs []reg.Register, unroll int, body func(x span)) {
	at, left := GP64(), GP64()
	XORQ(at, at)
	MOVQ(n, left)
	walk := func(label string, spans int) {
		SUBQ(Imm(uint64(spans*s.lanes)), left)
		JLT(LabelRef(prefix + label + "end"))
		Label(prefix + label)
		for u := range spans {
			body(span{s: s, ptrs: ptrs, at: at, disp: u * s.bytes(), slot: u})
		}
		ADDQ(Imm(uint64(spans*s.lanes)), at)
		SUBQ(Imm(uint64(spans*s.lanes)), left)
		JGE(LabelRef(prefix + label))
		Label(prefix + label + "end")
		ADDQ(Imm(uint64(spans*s.lanes)), left)
	}
	if unroll > 1 {
		walk("many", unroll)
	}
	walk("one", 1)
	TESTQ(left, left)
	JEQ(LabelRef(prefix + "done"))
	body(span{s: s, ptrs: ptrs, at: at, partial: true, lanes: s.firstLanes(left, nil)})
	Label(prefix + "done")
}

// pointers loads pointer parameters.
func pointers(names ...string) []reg.Register {
	var ptrs []reg.Register
	for _, name := range names {
		ptrs = append(ptrs, Load(Param(name), GP64()))
	}
	return ptrs
}

// broadcast fills a vector with a float32 parameter.
func (s isa) broadcast(param string) reg.Register {
	addr, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	v := s.vec()
	VBROADCASTSS(addr.Addr, v)
	return v
}

// fold adds (or takes the maximum of) all lanes of v; the result is in lane 0.
func (s isa) fold(v reg.Register, op func(...Op)) reg.Register {
	vec := v.(reg.VecVirtual)
	half := XMM()
	if s.lanes == 16 {
		upper, lower := YMM(), YMM()
		VEXTRACTF64X4(Imm(1), vec.AsZ(), upper)
		op(upper, vec.AsY(), lower)
		vec = lower
	}
	if s.lanes == 16 {
		VEXTRACTF32X4(Imm(1), vec.AsY(), half) // reaches registers above 15
	} else {
		VEXTRACTF128(Imm(1), vec.AsY(), half)
	}
	op(half, vec.AsX(), half)
	other := XMM()
	VPERMILPS(Imm(0x4e), half, other)
	op(other, half, half)
	VPERMILPS(Imm(0xb1), half, other)
	op(other, half, half)
	return half
}

// giveBack writes lane 0 to the result and returns.
func giveBack(v reg.Register) {
	result(0, v)
	done()
}

// result writes lane 0 to a result.
func result(index int, v reg.Register) {
	addr, err := ReturnIndex(index).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(v, addr.Addr)
}

// constants are float32 or int32 values that a routine needs in every lane. They
// sit in registers under AVX-512, which has plenty, and stay in memory under AVX2.
type constants struct {
	s    isa
	held map[string]Op
}

// constants makes the named constants of constantValues ready for use.
func (s isa) constants(names ...string) constants {
	c := constants{s, map[string]Op{}}
	for _, name := range names {
		at, ok := constantData[name]
		if !ok {
			panic("no constant " + name)
		}
		c.held[name] = at
		if s.lanes == 16 {
			v := ZMM()
			VMOVUPS(at, v)
			c.held[name] = v
		}
	}
	return c
}

// get returns an operand that may be a register or memory.
func (c constants) get(name string) Op {
	v, ok := c.held[name]
	if !ok {
		panic("constant " + name + " was not asked for")
	}
	return v
}

// reg returns a register that holds the constant; the caller must not change it.
func (c constants) reg(name string) reg.Register {
	if v, ok := c.get(name).(reg.Register); ok {
		return v
	}
	v := c.s.vec()
	VMOVUPS(c.get(name), v)
	return v
}
