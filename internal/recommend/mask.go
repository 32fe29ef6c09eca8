package recommend

import (
	"math"

	"seqrec/internal/kernel"
)

// A mask is a bitmap over item numbers; a set bit never leaves. One word holds
// 64 items. It is the only place where it is decided what may be answered, and
// every rung ranks under it.

func maskWords(items int) int { return (items + 63) / 64 }

func block(mask []uint64, item int32) { mask[item>>6] |= 1 << (item & 63) }

func unblock(mask []uint64, item int32) { mask[item>>6] &^= 1 << (item & 63) }

func blocked(mask []uint64, item int32) bool { return mask[item>>6]>>(item&63)&1 != 0 }

// allowOnly sets dst to mask with everything blocked that is not a candidate.
// dst and mask have the same length.
func allowOnly(dst, mask []uint64, candidates []int32) {
	for i := range dst {
		dst[i] = ^uint64(0)
	}
	for _, c := range candidates {
		if !blocked(mask, c) {
			unblock(dst, c)
		}
	}
}

func norm(x []float32) float32 { return float32(math.Sqrt(float64(kernel.Dot(x, x)))) }
