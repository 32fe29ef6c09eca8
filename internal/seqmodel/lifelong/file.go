package lifelong

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"seqrec/internal/safetensors"
	"seqrec/internal/seqmodel"
)

// configKey is the metadata entry that holds the Config; it differs from that of
// a sequence model, so that neither is taken for the other.
const configKey = "seqrec.lifelong"

// categoryTensor holds the category code of each item. Codes are whole numbers
// far below 2^24, which float32 keeps exactly.
const categoryTensor = "item.category"

// Save writes the model as a safetensors file: one F32 tensor per parameter, the
// category code of each item, and the Config in the metadata.
func (m *Model) Save(w io.Writer) error {
	config, err := json.Marshal(m.config)
	if err != nil {
		return fmt.Errorf("write lifelong model: %w", err)
	}
	list := seqmodel.Tensors(m.params)
	if m.config.Categories > 0 {
		codes := make([]float32, len(m.categories))
		for i, c := range m.categories {
			codes[i] = float32(c)
		}
		list = append(list, safetensors.Tensor{Name: categoryTensor, Shape: []int{len(codes)}, Data: codes})
	}
	if err := safetensors.Write(w, list, map[string]string{configKey: string(config)}); err != nil {
		return fmt.Errorf("write lifelong model: %w", err)
	}
	return nil
}

// Load reads a model that Save wrote. A file that does not hold exactly the
// tensors its config asks for, with their shapes and finite values, is refused.
func Load(r io.ReaderAt, size int64) (*Model, error) {
	m, err := load(r, size)
	if err != nil {
		return nil, fmt.Errorf("read lifelong model: %w", err)
	}
	return m, nil
}

func load(r io.ReaderAt, size int64) (*Model, error) {
	f, err := safetensors.Open(r, size)
	if err != nil {
		return nil, err
	}
	text, ok := f.Metadata[configKey]
	if !ok {
		return nil, fmt.Errorf("no %q in the metadata: not a lifelong model", configKey)
	}
	var c Config
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields() // a switch that this program does not know would change the scores
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("%s: %w", configKey, err)
	}
	if d.More() {
		return nil, fmt.Errorf("%s: more than one JSON value", configKey)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	categories, err := readCategories(f, c)
	if err != nil {
		return nil, err
	}
	m, err := declare(c, categories)
	if err != nil {
		return nil, err
	}
	var beside []string
	if c.Categories > 0 {
		beside = append(beside, categoryTensor)
	}
	if err := seqmodel.ReadTensors(f, m.params, beside...); err != nil {
		return nil, err
	}
	return m, m.checkMoments()
}

// checkMoments refuses negative variances: their root would be NaN.
func (m *Model) checkMoments() error {
	for _, h := range []*head{m.main, m.aux} {
		if h == nil {
			continue
		}
		for i, v := range h.variance.Val.V {
			if v < 0 {
				return fmt.Errorf("%s: element %d is %v, want 0 or more", h.variance.Name, i, v)
			}
		}
	}
	return nil
}

func readCategories(f *safetensors.File, c Config) ([]int32, error) {
	if c.Categories == 0 {
		return nil, nil
	}
	info, ok := f.Info(categoryTensor)
	if !ok || len(info.Shape) != 1 || info.Shape[0] != c.Items {
		return nil, fmt.Errorf("no tensor %s with the category of each of the %d items", categoryTensor, c.Items)
	}
	data, _, err := f.Tensor(categoryTensor)
	if err != nil {
		return nil, err
	}
	codes := make([]int32, len(data))
	for i, x := range data {
		if !(x >= 0 && x < float32(c.Categories)) || x != float32(int32(x)) {
			return nil, fmt.Errorf("%s: item %d has category %v, want a whole number from 0 to %d", categoryTensor, i, x, c.Categories-1)
		}
		codes[i] = int32(x)
	}
	return codes, nil
}
