package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"seqrec/internal/safetensors"
)

// MetadataKey is the key of the safetensors metadata that tells a baseline file
// from others; its value is JSON with the kind and the options.
const MetadataKey = "seqrec.baseline"

// ErrNotBaseline says that a safetensors file holds something else.
var ErrNotBaseline = errors.New("not a baseline file")

// most is how many items, events or sessions a file may name: every whole
// number up to it is exact in a float32.
const most = 1 << 24

// header is the JSON under MetadataKey.
type header struct {
	Kind    Kind    `json:"kind"`
	Options Options `json:"options,omitzero"`
}

// Save writes the model as one safetensors file. All tensors are vectors:
// "counts" (one per item) for every kind; for Transition "next.length" (one per
// item), "next.item" and "next.count" (row after row); for VMISKNN
// "session.length" and "session.item" (newest session first).
func (m *Model) Save(w io.Writer) error {
	if m.Items() > most {
		return fmt.Errorf("save %s: %d items are more than the file can number", m.kind, m.Items())
	}
	meta, err := json.Marshal(header{m.kind, m.opt})
	if err != nil {
		return fmt.Errorf("save %s: %w", m.kind, err)
	}
	tensors := []safetensors.Tensor{vector("counts", m.counts)}
	if m.next != nil {
		tensors = append(tensors, vector("next.length", lengths(m.next.offset)),
			vector("next.item", floats(m.next.item)), vector("next.count", m.next.count))
	}
	if m.knn != nil {
		tensors = append(tensors, vector("session.length", lengths(m.knn.offset)),
			vector("session.item", floats(m.knn.items)))
	}
	if err := safetensors.Write(w, tensors, map[string]string{MetadataKey: string(meta)}); err != nil {
		return fmt.Errorf("save %s: %w", m.kind, err)
	}
	return nil
}

func vector(name string, data []float32) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: []int{len(data)}, Data: data}
}

// lengths turns n+1 offsets into n lengths.
func lengths(offset []int) []float32 {
	out := make([]float32, len(offset)-1)
	for i := range out {
		out[i] = float32(offset[i+1] - offset[i])
	}
	return out
}

func floats(list []int32) []float32 {
	out := make([]float32, len(list))
	for i, x := range list {
		out[i] = float32(x)
	}
	return out
}

// Load reads what Save wrote, checking every number. The error wraps
// ErrNotBaseline when the file has no baseline metadata.
func Load(r io.ReaderAt, size int64) (*Model, error) {
	f, err := safetensors.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("load baseline: %w", err)
	}
	meta, ok := f.Metadata[MetadataKey]
	if !ok {
		return nil, fmt.Errorf("load baseline: %w: no metadata %q", ErrNotBaseline, MetadataKey)
	}
	m, err := load(f, meta)
	if err != nil {
		return nil, fmt.Errorf("load baseline: %w", err)
	}
	return m, nil
}

func load(f *safetensors.File, meta string) (*Model, error) {
	var h header
	if err := json.Unmarshal([]byte(meta), &h); err != nil {
		return nil, fmt.Errorf("metadata %s: %w", MetadataKey, err)
	}
	counts, err := whole(f, "counts", math.MaxFloat32)
	if err != nil {
		return nil, err
	}
	if len(counts) == 0 || len(counts) > most {
		return nil, fmt.Errorf("%d items, want 1 to %d", len(counts), most)
	}
	m := &Model{kind: h.Kind, counts: counts, rest: backoff(counts)}
	switch h.Kind {
	case Popularity:
	case Transition:
		m.next, err = loadFollowers(f, len(counts))
	case VMISKNN:
		if err := h.Options.Validate(); err != nil {
			return nil, err
		}
		m.opt = h.Options
		m.knn, err = loadNeighbours(f, len(counts), m.opt.Sample)
	default:
		return nil, fmt.Errorf("unknown baseline %q", h.Kind)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func loadFollowers(f *safetensors.File, n int) (*followers, error) {
	offset, item, err := loadRows(f, "next.length", "next.item", n)
	if err != nil {
		return nil, err
	}
	if len(offset) != n+1 {
		return nil, fmt.Errorf("next.length has %d rows for %d items", len(offset)-1, n)
	}
	count, err := whole(f, "next.count", math.MaxFloat32)
	if err != nil {
		return nil, err
	}
	if len(count) != len(item) {
		return nil, fmt.Errorf("next.count has %d values for %d items", len(count), len(item))
	}
	return &followers{offset: offset, item: item, count: count}, nil
}

func loadNeighbours(f *safetensors.File, n, m int) (*neighbours, error) {
	offset, items, err := loadRows(f, "session.length", "session.item", n)
	if err != nil {
		return nil, err
	}
	x := &neighbours{offset: offset, items: items, sessions: len(offset) - 1}
	if err := x.checkDistinct(n); err != nil {
		return nil, err
	}
	x.index(n, m)
	return x, nil
}

// checkDistinct reports a session that holds an item twice.
func (x *neighbours) checkDistinct(n int) error {
	last := make([]int, n)
	for s := range x.sessions {
		for _, item := range x.items[x.offset[s]:x.offset[s+1]] {
			if last[item] == s+1 {
				return fmt.Errorf("session %d holds item %d twice", s, item)
			}
			last[item] = s + 1
		}
	}
	return nil
}

// loadRows reads rows of item numbers below n, given by their lengths.
func loadRows(f *safetensors.File, lengthName, itemName string, n int) (offset []int, items []int32, err error) {
	length, err := whole(f, lengthName, most)
	if err != nil {
		return nil, nil, err
	}
	values, err := whole(f, itemName, float32(n-1))
	if err != nil {
		return nil, nil, err
	}
	offset = make([]int, len(length)+1)
	for i, l := range length {
		offset[i+1] = offset[i] + int(l)
	}
	if offset[len(length)] != len(values) {
		return nil, nil, fmt.Errorf("%s adds up to %d but %s has %d values", lengthName, offset[len(length)], itemName, len(values))
	}
	items = make([]int32, len(values))
	for i, v := range values {
		items[i] = int32(v)
	}
	return offset, items, nil
}

// whole reads a vector of whole numbers from 0 to top.
func whole(f *safetensors.File, name string, top float32) ([]float32, error) {
	data, shape, err := f.Tensor(name)
	if err != nil {
		return nil, err
	}
	if len(shape) != 1 {
		return nil, fmt.Errorf("tensor %s has %d dimensions, want 1", name, len(shape))
	}
	for i, v := range data {
		if !(v >= 0 && v <= top) || v != float32(math.Trunc(float64(v))) {
			return nil, fmt.Errorf("tensor %s: value %d is %g, want a whole number from 0 to %g", name, i, v, top)
		}
	}
	return data, nil
}
