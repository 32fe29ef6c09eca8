package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.safetensors")

// goldenTensors is what testdata/golden.safetensors holds; tools/safetensors_check.py
// compares the file with the same values. The order is not sorted on purpose.
func goldenTensors() ([]Tensor, map[string]string) {
	return []Tensor{
		{Name: "scale", Shape: nil, Data: []float32{float32(math.Inf(1))}},
		{Name: "block.0.weight", Shape: []int{2, 3}, Data: []float32{0, 1, 2, 3, 4, 5}},
		{Name: "empty", Shape: []int{0, 4}, Data: nil},
		{Name: "block.0.bias", Shape: []int{3}, Data: []float32{0.5, -1.25, 3e-39}},
	}, map[string]string{"seqrec.config": `{"width":3,"note":"<ä>"}`}
}

func mustWrite(t testing.TB, tensors []Tensor, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustOpen(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGolden holds the bytes written to those of the first version, which also
// shows that old files stay readable: the file is never rewritten by a release.
func TestGolden(t *testing.T) {
	tensors, metadata := goldenTensors()
	got := mustWrite(t, tensors, metadata)
	path := filepath.Join("testdata", "golden.safetensors")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Write gives\n%q\nthe golden file is\n%q", got, want)
	}
	f := mustOpen(t, want)
	if f.Metadata["seqrec.config"] != metadata["seqrec.config"] || len(f.Metadata) != 1 {
		t.Errorf("metadata %v", f.Metadata)
	}
	if names := f.Names(); !slices.Equal(names, []string{"block.0.bias", "block.0.weight", "empty", "scale"}) {
		t.Errorf("names %v", names)
	}
	for _, w := range tensors {
		data, shape, err := f.Tensor(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(data, w.Data) || !slices.Equal(shape, w.Shape) {
			t.Errorf("%s: got %v %v, want %v %v", w.Name, shape, data, w.Shape, w.Data)
		}
	}
}

// TestPythonFile reads a file that the reference implementation wrote
// (tools/safetensors_check.py).
func TestPythonFile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "python.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, data)
	if f.Metadata["from"] != "python" {
		t.Errorf("metadata %v", f.Metadata)
	}
	if got, shape, err := f.Tensor("f32"); err != nil || !slices.Equal(got, []float32{-1, -0.5, 0, 0.5, 1}) || !slices.Equal(shape, []int{5}) {
		t.Errorf("f32: %v %v %v", got, shape, err)
	}
	for name, want := range map[string][]int64{"i32": {-7, 8}, "i64": {-1 << 40, 1 << 40}, "u8": {0, 255}} {
		raw, err := f.Raw(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := raw.Int64s(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v %v, want %v", name, got, err, want)
		}
		if _, err := raw.Float64s(); err == nil {
			t.Errorf("%s decoded as floating point", name)
		}
	}
	raw, err := f.Raw("f64")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := raw.Float64s(); err != nil || !slices.Equal(got, []float64{1e300, -2.5}) {
		t.Errorf("f64: %v %v", got, err)
	}
	if _, err := raw.Int64s(); err == nil {
		t.Error("f64 decoded as whole numbers")
	}
	if _, _, err := f.Tensor("f16"); err == nil || !strings.Contains(err.Error(), "F16") {
		t.Errorf("f16 as float32: %v", err)
	}
	if raw, err := f.Raw("f16"); err != nil || len(raw.Data) != 2 {
		t.Errorf("f16 raw: %v %v", raw, err)
	}
}

// TestRoundTrip writes random tensors and wants the same bits back, NaN included.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var tensors []Tensor
		for i := range rng.IntN(6) {
			shape := []int{rng.IntN(4), rng.IntN(4) + 1, rng.IntN(600)}[:rng.IntN(4)]
			n, _ := elements(shape)
			data := make([]float32, n)
			for j := range data {
				data[j] = math.Float32frombits(rng.Uint32())
			}
			tensors = append(tensors, Tensor{Name: strings.Repeat("x", i), Shape: shape, Data: data})
		}
		f := mustOpen(t, mustWrite(t, tensors, nil))
		if len(f.Names()) != len(tensors) {
			t.Fatalf("wrote %d tensors, read %v", len(tensors), f.Names())
		}
		for _, w := range tensors {
			got := make([]float32, len(w.Data))
			if err := f.ReadInto(w.Name, got, w.Shape...); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(floatBytes(got), floatBytes(w.Data)) {
				t.Fatalf("%q came back changed", w.Name)
			}
		}
	}
}

// TestSwapped holds the portable paths, which a little-endian machine never
// takes by itself, to the direct ones.
func TestSwapped(t *testing.T) {
	data := make([]float32, 3000)
	for i := range data {
		data[i] = float32(i) * 0.1
	}
	var swapped bytes.Buffer
	if err := writeSwapped(&swapped, data); err != nil {
		t.Fatal(err)
	}
	for i, v := range data {
		if got := binary.LittleEndian.Uint32(swapped.Bytes()[4*i:]); got != math.Float32bits(v) {
			t.Fatalf("value %d written as %x", i, got)
		}
	}
	got := make([]float32, len(data))
	decodeFloats(got, swapped.Bytes())
	if !slices.Equal(got, data) {
		t.Error("decodeFloats differs")
	}
	if littleEndian() && !bytes.Equal(floatBytes(data), swapped.Bytes()) {
		t.Error("memory differs from file order on a machine said to be little-endian")
	}
}

func TestWriteRefuses(t *testing.T) {
	ok := Tensor{Name: "a", Shape: []int{1}, Data: []float32{1}}
	for name, c := range map[string]struct {
		tensors  []Tensor
		metadata map[string]string
		want     string
	}{
		"same name":       {[]Tensor{ok, ok}, nil, "twice"},
		"metadata's name": {[]Tensor{{Name: "__metadata__"}}, nil, "not a name"},
		"bad name":        {[]Tensor{{Name: "\xff", Data: []float32{1}}}, nil, "UTF-8"},
		"bad metadata":    {nil, map[string]string{"a": "\xff"}, "UTF-8"},
		"shape and data":  {[]Tensor{{Name: "a", Shape: []int{2}, Data: []float32{1}}}, nil, "shape"},
		"negative shape":  {[]Tensor{{Name: "a", Shape: []int{-1, -1}, Data: []float32{1}}}, nil, "shape"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			err := Write(&b, c.tensors, c.metadata)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if b.Len() != 0 {
				t.Errorf("%d bytes were written before the refusal", b.Len())
			}
		})
	}
}

// failAfter fails once n bytes have been written.
type failAfter struct{ n int }

var errFull = errors.New("disk full")

func (f *failAfter) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteReportsErrors(t *testing.T) {
	tensors, metadata := goldenTensors()
	total := len(mustWrite(t, tensors, metadata))
	for n := range total {
		if err := Write(&failAfter{n}, tensors, metadata); !errors.Is(err, errFull) {
			t.Fatalf("a writer that fails after %d of %d bytes: %v", n, total, err)
		}
	}
}

// file builds a file from a header and a number of data bytes.
func file(head string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	b = append(b, head...)
	return append(b, make([]byte, data)...)
}

// TestCorruptions is the table of what a reader refuses.
func TestCorruptions(t *testing.T) {
	const a = `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	mustOpen(t, file(a, 8)) // the uncorrupted form
	mustOpen(t, file(a+"  ", 8))
	replace := func(old, new string) []byte {
		s := strings.Replace(a, old, new, 1)
		if s == a {
			t.Fatalf("nothing to replace: %q", old)
		}
		return file(s, 8)
	}
	length := func(n uint64) []byte {
		b := file(a, 8)
		binary.LittleEndian.PutUint64(b, n)
		return b
	}
	two := func(x, y string) string {
		return `{"a":{"dtype":"F32","shape":[2],"data_offsets":` + x + `},"b":{"dtype":"F32","shape":[2],"data_offsets":` + y + `}}`
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty file":               {nil, "too few"},
		"length cut":               {file(a, 8)[:7], "too few"},
		"header cut":               {file(a, 8)[:20], "the header says"},
		"no header":                {length(0), "begin"},
		"header longer than file":  {length(1000), "the header says"},
		"header huge":              {length(MaxHeader + 1), "longer than"},
		"header length all ones":   {length(math.MaxUint64), "longer than"},
		"header length a byte off": {length(uint64(len(a)) - 1), "ends early"},
		"header eats data":         {length(uint64(len(a)) + 1), "goes on"},
		"data cut":                 {file(a, 7), "end of the file"},
		"data missing":             {file(a, 0), "end of the file"},
		"trailing byte":            {file(a, 9), "1 bytes after the last"},
		"data without tensors":     {file(`{}`, 1), "1 bytes after the last"},
		"leading space":            {file(" "+a, 8), "begin"},
		"second document":          {file(a+"{}", 8), "goes on"},
		"padded with zeros":        {file(a+"\x00", 8), "goes on"},
		"not UTF-8":                {replace(`"a"`, "\"\xff\""), "UTF-8"},
		"not JSON":                 {file("{hello}", 0), "invalid"},
		"comma at the end":         {replace(`}}`, `},}`), ""},
		"comma in an array":        {replace(`[2]`, `[2,]`), ""},
		"array of tensors":         {file(`[1]`, 0), "begin"},
		"tensor not an object":     {file(`{"a":[]}`, 0), "belongs"},
		"tensor null":              {file(`{"a":null}`, 0), "belongs"},
		"name twice":               {file(strings.Replace(two("[0,8]", "[8,16]"), `"b"`, `"a"`, 1), 16), "twice"},
		"name twice, escaped":      {file(strings.Replace(two("[0,8]", "[8,16]"), `"b"`, `"\u0061"`, 1), 16), "twice"},
		"field twice":              {replace(`"shape":[2]`, `"shape":[2],"shape":[2]`), "twice"},
		"metadata twice":           {file(`{"__metadata__":{},"__metadata__":{}}`, 0), "twice"},
		"metadata key twice":       {file(`{"__metadata__":{"k":"1","k":"2"}}`, 0), "twice"},
		"metadata number":          {file(`{"__metadata__":{"k":1}}`, 0), "string"},
		"metadata array":           {file(`{"__metadata__":[]}`, 0), "belongs"},
		"unknown field":            {replace(`"dtype"`, `"x":1,"dtype"`), "unknown field"},
		"dtype missing":            {replace(`"dtype":"F32",`, ``), "missing"},
		"shape missing":            {replace(`"shape":[2],`, ``), "missing"},
		"offsets missing":          {replace(`,"data_offsets":[0,8]`, ``), "missing"},
		"unknown dtype":            {replace(`F32`, `F31`), "unknown dtype"},
		"dtype not a string":       {replace(`"F32"`, `32`), "string"},
		"wrong dtype size":         {replace(`F32`, `F64`), "takes 16 bytes"},
		"wrong shape":              {replace(`[2]`, `[3]`), "takes 12 bytes"},
		"shape not an array":       {replace(`[2]`, `2`), "belongs"},
		"shape of strings":         {replace(`[2]`, `["2"]`), "number"},
		"shape negative":           {replace(`[2]`, `[-2]`), "range"},
		"shape fraction":           {replace(`[2]`, `[2.0]`), "range"},
		"shape exponent":           {replace(`[2]`, `[2e0]`), "range"},
		"shape over 64 bits":       {replace(`[2]`, `[18446744073709551618]`), "range"},
		"shape product overflows":  {replace(`[2]`, `[4294967296,4294967296,2]`), "too large"},
		"shape bytes overflow":     {replace(`[2]`, `[4611686018427387904]`), "too large"},
		"shape overflows to zero":  {replace(`[2]`, `[9223372036854775807,9223372036854775807,0]`), "too large"},
		"offsets one":              {replace(`[0,8]`, `[0]`), "begin and an end"},
		"offsets three":            {replace(`[0,8]`, `[0,8,8]`), "begin and an end"},
		"offsets reversed":         {replace(`[0,8]`, `[8,0]`), "begin and an end"},
		"offsets negative":         {replace(`[0,8]`, `[-8,0]`), "range"},
		"offsets huge":             {replace(`[0,8]`, `[9223372036854775799,9223372036854775807]`), "belong to no tensor"},
		"offsets out of range":     {file(two("[0,8]", "[8,16]"), 8), "end of the file"},
		"overlap":                  {file(two("[0,8]", "[4,12]"), 12), "overlaps"},
		"same place":               {file(two("[0,8]", "[0,8]"), 8), "overlaps"},
		"hole":                     {file(two("[0,8]", "[12,20]"), 20), "belong to no tensor"},
		"hole at the start":        {file(two("[8,16]", "[16,24]"), 24), "belong to no tensor"},
		"deep nesting":             {file(`{"a":`+strings.Repeat("[", 100_000), 0), "belongs"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Open(bytes.NewReader(c.data), int64(len(c.data)))
			if f != nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an ErrFormat with %q", err, c.want)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	tensors, metadata := goldenTensors()
	data := mustWrite(t, tensors, metadata)
	f := mustOpen(t, data)
	if _, _, err := f.Tensor("absent"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("absent tensor: %v", err)
	}
	if _, err := f.Raw("absent"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("absent raw tensor: %v", err)
	}
	if err := f.ReadInto("block.0.weight", make([]float32, 6), 3, 2); err == nil || !strings.Contains(err.Error(), "[2 3]") {
		t.Errorf("other shape: %v", err)
	}
	// A file cut after Open saw its size, and one that was shorter than said.
	short, err := Open(bytes.NewReader(data[:len(data)-4]), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := short.Tensor("scale"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut file: %v", err)
	}
	if _, err := Open(bytes.NewReader(data[:10]), int64(len(data))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut header: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a dst that is not the shape's size did not panic")
		}
	}()
	_ = f.ReadInto("scale", make([]float32, 2))
}

// FuzzOpen wants no panic, and of every accepted file that all tensors are
// readable and, together with the header, are exactly the file.
func FuzzOpen(f *testing.F) {
	tensors, metadata := goldenTensors()
	f.Add(mustWrite(f, tensors, metadata))
	f.Add(file(`{}`, 0))
	f.Add(file(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1))
	f.Add(file(`{"a":{"dtype":"I64","shape":[0,9],"data_offsets":[0,0]},"__metadata__":{"x":"y"}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("not a format error: %v", err)
			}
			return
		}
		total := 8 + int64(binary.LittleEndian.Uint64(data))
		for _, name := range file.Names() {
			raw, err := file.Raw(name)
			if err != nil {
				t.Fatal(err)
			}
			total += int64(len(raw.Data))
		}
		if total != int64(len(data)) {
			t.Fatalf("tensors and header are %d bytes of %d", total, len(data))
		}
	})
}
