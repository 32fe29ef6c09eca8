//go:build amd64 && !purego

package kernelbench

// fmaLoop runs the register loop of an instruction set for about a tenth of a
// millisecond and returns how many operations that was; 0 if there is none.
func fmaLoop(path string) float64 {
	const n, chains, perLane = 20_000, 12, 2
	switch path {
	case "avx512":
		fmaLoopAVX512(n)
		return n * chains * perLane * 16
	case "avx2":
		fmaLoopAVX2(n)
		return n * chains * perLane * 8
	}
	return 0
}
