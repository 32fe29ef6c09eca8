package seqmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"seqrec/internal/safetensors"
	"seqrec/internal/tensor"
)

// ErrNotFinite says that a weights file holds NaN or an infinity.
var ErrNotFinite = errors.New("not a finite number")

// configKey is the metadata entry of a weights file that holds the Config.
const configKey = "seqrec.config"

// Save writes the model as a safetensors file: one F32 tensor per parameter
// (vectors have shape [n]) and the Config in the metadata.
func Save(w io.Writer, m Model) error {
	config, err := json.Marshal(m.Config())
	if err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	if err := safetensors.Write(w, Tensors(m.Params()), map[string]string{configKey: string(config)}); err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	return nil
}

// Tensors are all parameters as a safetensors file holds them.
func Tensors(params *tensor.Params) (list []safetensors.Tensor) {
	for _, p := range params.List() {
		data := make([]float32, p.Val.Len())
		params.Device().Download(data, p.Val)
		list = append(list, safetensors.Tensor{Name: p.Name, Shape: shape(p), Data: data})
	}
	return list
}

func shape(p *tensor.Param) []int {
	if !p.Decay {
		return []int{p.Val.Cols}
	}
	return []int{p.Val.Rows, p.Val.Cols}
}

// Load reads a model that Save (or another program, see docs/format/weights.md)
// wrote. A file that does not hold exactly the parameters its config asks for,
// with their shapes and finite values, is refused.
func Load(r io.ReaderAt, size int64) (Model, error) {
	f, err := safetensors.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	text, ok := f.Metadata[configKey]
	if !ok {
		return nil, fmt.Errorf("read weights: no %q in the metadata: not a seqrec model", configKey)
	}
	var c Config
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields() // a switch that this program does not know would change the scores
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("read weights: %s: %w", configKey, err)
	}
	if d.More() {
		return nil, fmt.Errorf("read weights: %s: more than one JSON value", configKey)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	m, err := declare(c)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	if err := ReadTensors(f, m.Params()); err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	index(m)
	return m, nil
}

// ReadTensors gives declared parameters memory and the values of a file. It
// refuses a file that does not hold exactly the tensors they ask for, and those
// named beside them, or holds values that are not finite.
func ReadTensors(f *safetensors.File, params *tensor.Params, beside ...string) error {
	if err := checkTensors(f, params, beside); err != nil {
		return err
	}
	params.Alloc()
	for _, p := range params.List() {
		data, _, err := f.Tensor(p.Name)
		if err != nil {
			return err
		}
		if err := checkFinite(p.Name, data); err != nil {
			return err
		}
		params.Device().Upload(p.Val, data)
	}
	return nil
}

// checkTensors looks at the names and shapes before any memory is taken for
// them: a config may promise far more than the file holds.
func checkTensors(f *safetensors.File, params *tensor.Params, beside []string) error {
	known := map[string]bool{}
	for _, name := range beside {
		known[name] = true
	}
	for _, p := range params.List() {
		known[p.Name] = true
		info, ok := f.Info(p.Name)
		if !ok {
			return fmt.Errorf("no tensor %s, which the config asks for", p.Name)
		}
		if !slices.Equal(info.Shape, shape(p)) {
			return fmt.Errorf("%s has shape %v, the config asks for %v", p.Name, info.Shape, shape(p))
		}
	}
	unknown := slices.DeleteFunc(f.Names(), func(name string) bool { return known[name] })
	if len(unknown) > 0 {
		return fmt.Errorf("unknown tensors %v", unknown)
	}
	return nil
}

func checkFinite(name string, data []float32) error {
	for i, x := range data {
		if !finite(float64(x)) {
			return fmt.Errorf("%s: element %d is %v: %w", name, i, x, ErrNotFinite)
		}
	}
	return nil
}

// stepKey is the metadata entry of a state file that holds the step counter.
const stepKey = "seqrec.step"

// SaveState writes what a resumed run needs beyond the weights: Adam's moments
// and the step counter.
func (t *Trainer) SaveState(w io.Writer) error { return SaveAdam(w, t.model.Params(), t.adam) }

// LoadState continues from a state that SaveState wrote for the same model.
func (t *Trainer) LoadState(r io.ReaderAt, size int64) error {
	return LoadAdam(r, size, t.model.Params(), t.adam)
}

// SaveAdam writes the moments and the step counter of an optimiser of p.
func SaveAdam(w io.Writer, p *tensor.Params, adam *tensor.AdamState) error {
	m, v := adam.Moments()
	dev := p.Device()
	list := make([]safetensors.Tensor, 2)
	for i, x := range []tensor.Mat{m, v} {
		data := make([]float32, x.Len())
		dev.Download(data, x)
		list[i] = safetensors.Tensor{Name: []string{"adam.m", "adam.v"}[i], Shape: []int{x.Len()}, Data: data}
	}
	if err := safetensors.Write(w, list, map[string]string{stepKey: strconv.Itoa(adam.Step)}); err != nil {
		return fmt.Errorf("write training state: %w", err)
	}
	return nil
}

// LoadAdam continues from what SaveAdam wrote for the same model. A state that does
// not fit, or holds what is no number, is refused and changes nothing.
func LoadAdam(r io.ReaderAt, size int64, p *tensor.Params, adam *tensor.AdamState) error {
	f, err := safetensors.Open(r, size)
	if err != nil {
		return fmt.Errorf("read training state: %w", err)
	}
	step, err := strconv.Atoi(f.Metadata[stepKey])
	if err != nil || step < 0 {
		return fmt.Errorf("read training state: step %q is not a number", f.Metadata[stepKey])
	}
	m, v := adam.Moments()
	moments := []tensor.Mat{m, v}
	hosts := make([][]float32, 2)
	for i, name := range []string{"adam.m", "adam.v"} {
		data, _, err := f.Tensor(name)
		if err != nil {
			return fmt.Errorf("read training state: %w", err)
		}
		if len(data) != moments[i].Len() {
			return fmt.Errorf("read training state: %s has %d floats, this model has %d: the state belongs to another model", name, len(data), moments[i].Len())
		}
		if err := checkFinite(name, data); err != nil {
			return fmt.Errorf("read training state: %w", err)
		}
		hosts[i] = data
	}
	if slices.ContainsFunc(hosts[1], func(x float32) bool { return x < 0 }) {
		return fmt.Errorf("read training state: adam.v holds negative squares")
	}
	for i, x := range moments {
		p.Device().Upload(x, hosts[i])
	}
	adam.Step = step
	return nil
}
