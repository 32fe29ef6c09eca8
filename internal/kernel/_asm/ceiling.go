package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// ceilingChains is how many independent sums the loop keeps: more than any
// machine's multipliers times their latency.
const ceilingChains = 12

// ceiling multiplies and adds in registers only: no kernel can be faster.
func ceiling() {
	for _, s := range []isa{avx2, avx512} {
		TEXT("fmaLoop"+s.name, NOSPLIT, "func(n int)")
		Doc(fmt.Sprintf("fmaLoop%s does n rounds of %d fused multiply-adds of %d lanes, in registers only.", s.name, ceilingChains, s.lanes))
		n := Load(Param("n"), GP64())
		acc := s.accumulators(ceilingChains)
		x := s.vec()
		s.zero(x)
		Label("round")
		for _, a := range acc {
			VFMADD231PS(x, x, a)
		}
		DECQ(n)
		JNZ(operand.LabelRef("round"))
		VZEROUPPER()
		RET()
	}
}
