package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// constantValues are the numbers that routines need in every lane, as bits.
var constantValues = map[string]uint32{
	"minusInf": math.Float32bits(float32(math.Inf(-1))),
	"one":      math.Float32bits(1),
	"signOff":  0x7fffffff,

	// exp: x = n ln 2 + r, exp(r) by the polynomial of the Cephes library's expf.
	"expLow":  math.Float32bits(-104), // exp is below half the least float32
	"expHigh": math.Float32bits(89),   // exp overflows
	"log2e":   math.Float32bits(math.Log2E),
	"ln2High": math.Float32bits(0.693359375),
	"ln2Low":  math.Float32bits(-2.12194440e-4),
	"exp0":    math.Float32bits(1.9875691500e-4),
	"exp1":    math.Float32bits(1.3981999507e-3),
	"exp2":    math.Float32bits(8.3334519073e-3),
	"exp3":    math.Float32bits(4.1665795894e-2),
	"exp4":    math.Float32bits(1.6666665459e-1),
	"exp5":    math.Float32bits(5.0000001201e-1),
	"bias":    127, // of the exponent

	// The normal distribution: Abramowitz and Stegun 7.1.26 for erfc, its
	// coefficients halved, with the root of 2 taken into p.
	"cdfP":    math.Float32bits(0.3275911 / math.Sqrt2),
	"cdf1":    math.Float32bits(0.254829592 / 2),
	"cdf2":    math.Float32bits(-0.284496736 / 2),
	"cdf3":    math.Float32bits(1.421413741 / 2),
	"cdf4":    math.Float32bits(-1.453152027 / 2),
	"cdf5":    math.Float32bits(1.061405429 / 2),
	"minus05": math.Float32bits(-0.5),
	"pdf":     math.Float32bits(0.39894228040143267794), // 1/sqrt(2 pi)

	// Dropout's hash.
	"hash1":  0x7feb352d,
	"hash2":  0x846ca68b,
	"step8":  8,
	"step16": 16,
}

// constantData says where the constants of this group lie.
var constantData = map[string]Mem{}

// constantsData writes constants, each in 16 lanes.
func constantsData(names ...string) {
	for _, name := range names {
		at := GLOBL("const_"+name, RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(constantValues[name]))
		}
		constantData[name] = at
	}
}

// countData writes the numbers 0 to 15.
func countData() {
	at := GLOBL("const_count", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(i)))
	}
	constantData["count"] = at
}
