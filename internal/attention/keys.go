package attention

import (
	"fmt"
	"math"
	"slices"

	"seqrec/internal/kernel"
)

// Format is how a table of keys holds its values.
type Format uint8

// The formats, with the bytes of a value.
const (
	F32  Format = iota // 4: as given
	BF16               // 2: the upper half of a float32, rounded to nearest even
	Int8               // 1: whole numbers from -127 to 127, times one float32 a key
)

var formatNames = [...]string{"f32", "bf16", "int8"}

// String returns the name that ParseFormat reads.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("format %d", uint8(f))
}

// ParseFormat reads the name of a format: f32, bf16 or int8.
func ParseFormat(name string) (Format, error) {
	i := slices.Index(formatNames[:], name)
	if i < 0 {
		return 0, fmt.Errorf("read format of keys: %q is none of %v", name, formatNames)
	}
	return Format(i), nil
}

// Keys is a table of search keys that grows at its end: n rows of so many values, in
// the panels that kernel.Search reads. Appending a key costs O(width), taken over
// many. Any number of goroutines may read while none appends.
//
// A key with a NaN is never found. An infinity is kept by F32 and BF16 and goes by
// the rules of IEEE 754; Int8 cannot hold one, and such a key is never found either.
type Keys struct {
	format Format
	width  int
	n      int
	panels int
	f32    []float32 // one of these three, [ceil(n/PanelWidth)][width][PanelWidth]
	bf16   []uint16
	int8   []int8
	scale  []float32 // Int8: the step of each key's values
	norms  []float32 // by kernel.CommonKeys keys: a bound on their lengths
	row    []float32 // the key being added, as the table holds it
}

var (
	_ kernel.KeyPanels = (*Keys)(nil)
	_ kernel.KeyNorms  = (*Keys)(nil)
)

// NewKeys makes an empty table of keys with width values each.
func NewKeys(width int, f Format) *Keys {
	if width < 0 || int(f) >= len(formatNames) {
		panic("attention: no such table of keys")
	}
	return &Keys{format: f, width: width}
}

// Rows returns the number of keys.
func (k *Keys) Rows() int { return k.n }

// Width returns the number of values in each.
func (k *Keys) Width() int { return k.width }

// Format returns how they are held.
func (k *Keys) Format() Format { return k.format }

// Bytes returns how much memory the table takes.
func (k *Keys) Bytes() int {
	return 4*(cap(k.f32)+cap(k.scale)+cap(k.norms)+cap(k.row)) + 2*cap(k.bf16) + cap(k.int8)
}

// Append adds one key.
func (k *Keys) Append(key []float32) {
	k.put(k.n, key)
}

// put sets key i, one that is not there yet. Between it and the last there may be
// some that were never set.
func (k *Keys) put(i int, key []float32) {
	if len(key) != k.width {
		panic("attention: key of another width")
	}
	for k.panels <= i/kernel.PanelWidth {
		k.addPanel()
		k.panels++
	}
	k.n = max(k.n, i+1)
	at := k.place(i)
	switch k.format {
	case F32:
		for p, v := range key {
			k.f32[at+p*kernel.PanelWidth] = v
		}
	case BF16:
		for p, v := range key {
			k.bf16[at+p*kernel.PanelWidth] = toBF16(v)
		}
	case Int8:
		k.scale[i] = quantise(k.int8[at:], key)
	}
	k.row = resize(k.row, k.width)
	k.Row(k.row, i)
	norm := &k.norms[i/kernel.CommonKeys]
	*norm = max(*norm, kernel.Norm(k.row)) // a NaN stays one
}

// Norms implements kernel.KeyNorms.
func (k *Keys) Norms() []float32 { return k.norms }

// addPanel makes room for PanelWidth more keys.
func (k *Keys) addPanel() {
	k.norms = append(k.norms, make([]float32, kernel.PanelWidth/kernel.CommonKeys)...)
	size := k.width * kernel.PanelWidth
	switch k.format {
	case F32:
		k.f32 = append(k.f32, make([]float32, size)...)
	case BF16:
		k.bf16 = append(k.bf16, make([]uint16, size)...)
	case Int8:
		k.int8 = append(k.int8, make([]int8, size)...)
		k.scale = append(k.scale, make([]float32, kernel.PanelWidth)...)
	}
}

// place returns where the first value of key i lies.
func (k *Keys) place(i int) int {
	return i/kernel.PanelWidth*k.width*kernel.PanelWidth + i%kernel.PanelWidth
}

// Row writes key i, as the table holds it, to dst.
func (k *Keys) Row(dst []float32, i int) {
	if i < 0 || i >= k.n || len(dst) != k.width {
		panic("attention: no such key")
	}
	at := k.place(i)
	for p := range dst {
		switch place := at + p*kernel.PanelWidth; k.format {
		case F32:
			dst[p] = k.f32[place]
		case BF16:
			dst[p] = fromBF16(k.bf16[place])
		case Int8:
			dst[p] = float32(k.int8[place]) * k.scale[i]
		}
	}
}

// Lend implements kernel.KeyPanels.
func (k *Keys) Lend(lo, hi int, scratch []float32) []float32 {
	from := k.place(lo)
	size := (hi - lo + kernel.PanelWidth - 1) / kernel.PanelWidth * kernel.PanelWidth * k.width
	switch k.format {
	case BF16:
		scratch = scratch[:size]
		for i, v := range k.bf16[from : from+size] {
			scratch[i] = fromBF16(v)
		}
		return scratch
	case Int8:
		scratch = scratch[:size]
		for p := 0; p < size; p += kernel.PanelWidth {
			panel := lo + p/(k.width*kernel.PanelWidth)*kernel.PanelWidth
			scale := k.scale[panel:][:kernel.PanelWidth]
			line := scratch[p:][:kernel.PanelWidth]
			for i, v := range k.int8[from+p:][:kernel.PanelWidth] {
				line[i] = float32(v) * scale[i]
			}
		}
		return scratch
	}
	return k.f32[from : from+size]
}

// toBF16 rounds to nearest even; a NaN stays one.
func toBF16(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 1
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func fromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// quantise writes a key's values, PanelWidth apart, and returns their step: NaN for
// a key that 8 bits cannot hold.
func quantise(dst []int8, key []float32) (step float32) {
	top := float32(0)
	for _, v := range key {
		if v != v || math.IsInf(float64(v), 0) {
			return float32(math.NaN())
		}
		top = max(top, v, -v)
	}
	step = top / 127
	if step == 0 {
		return 0
	}
	for p, v := range key {
		whole := math.Round(float64(v) / float64(step))
		dst[p*kernel.PanelWidth] = int8(max(-127, min(127, whole)))
	}
	return step
}
