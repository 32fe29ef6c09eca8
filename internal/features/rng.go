package features

import "math/bits"

// draw returns 64 well mixed bits for a seed and up to three counters: the
// finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) applied once per
// word. There is no state to save: a resumed run asks for the same counters and
// gets the same bits.
func draw(seed, a, b, c uint64) uint64 {
	x := mix(seed + 0x9e3779b97f4a7c15)
	x = mix(x ^ a + 0xd1b54a32d192ed03)
	x = mix(x ^ b + 0x8cb92ba72f3d8dd7)
	return mix(x ^ c + 0xaaaaaaaaaaaaaaab)
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below maps 64 random bits to 0..n-1. The bias is at most n/2^64, far below
// anything a training run could show.
func below(bits64 uint64, n int) int {
	hi, _ := bits.Mul64(bits64, uint64(n))
	return int(hi)
}

// unit maps 64 random bits to a float64 in the open interval (0, 1).
func unit(bits64 uint64) float64 {
	return (float64(bits64>>11) + 0.5) / (1 << 53)
}

// stream hands out consecutive draws for code that makes many in a row.
type stream struct{ seed, key, n uint64 }

func (s *stream) next() uint64 {
	s.n++
	return draw(s.seed, s.key, s.n, 0)
}

func (s *stream) intn(n int) int   { return below(s.next(), n) }
func (s *stream) float64() float64 { return unit(s.next()) }
