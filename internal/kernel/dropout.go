package kernel

import "math"

// Dropout keeps each value with probability 1-p and divides what it keeps by
// 1-p; the rest becomes 0. Whether element i is kept depends only on seed and
// the counter offset+i, so the mask is never stored: calling Dropout on the
// gradient with the same seed and offset is the backward pass. Every
// instruction set gives the same bits. y may be x. p must lie in [0,1).
//
// The mask is a hash of the counter's low 32 bits under two 32-bit keys, which
// are drawn (by the SplitMix64 finaliser) from the seed and the counter's high
// 32 bits. The hash is C. Wellons' lowbias32 with the second key added between
// its rounds, so that two seeds do not give permutations of one sequence.
//
//	h = (offset+i) ^ key0; h ^= h>>16; h *= 0x7feb352d; h ^= h>>15
//	h += key1;             h *= 0x846ca68b; h ^= h>>16
//	y[i] = h >= p*2³² ? x[i] * (1/(1-p)) : 0
func Dropout(y, x []float32, p float32, seed uint64, offset uint64) {
	checkSame(len(y), len(x))
	if !(p >= 0 && p < 1) {
		panic(badRate)
	}
	threshold := uint32(min(float64(p)*(1<<32), math.MaxUint32))
	factor := float32(1 / (1 - float64(p)))
	for len(x) > 0 {
		n := len(x)
		if room := 1<<32 - uint64(uint32(offset)); uint64(n) > room {
			n = int(room)
		}
		key := mix64(seed + 0x9e3779b97f4a7c15*(offset>>32+1))
		dropout(y[:n], x[:n], factor, threshold, uint32(offset), uint32(key), uint32(key>>32))
		y, x, offset = y[n:], x[n:], offset+uint64(n)
	}
}

// mix64 is the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func dropoutGeneric(y, x []float32, factor float32, threshold, counter, key0, key1 uint32) {
	x = x[:len(y)]
	for i := range y {
		h := (counter + uint32(i)) ^ key0
		h = (h ^ h>>16) * 0x7feb352d
		h = (h ^ h>>15) + key1
		h *= 0x846ca68b
		h ^= h >> 16
		if h >= threshold {
			y[i] = x[i] * factor
		} else {
			y[i] = 0
		}
	}
}
