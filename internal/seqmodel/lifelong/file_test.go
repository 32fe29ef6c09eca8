package lifelong_test

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"seqrec/internal/safetensors"
	"seqrec/internal/seqmodel"
	"seqrec/internal/seqmodel/lifelong"
)

// saved is a small model as a file, taken apart.
func saved(t testing.TB) (whole []byte, tensors []safetensors.Tensor, config map[string]any) {
	t.Helper()
	c := members()["dare"]
	m := make30(t, c, 1)
	var file bytes.Buffer
	if err := m.Save(&file); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Names() {
		data, dims, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, Shape: dims, Data: data})
	}
	if err := json.Unmarshal([]byte(f.Metadata["seqrec.lifelong"]), &config); err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), tensors, config
}

func written(t testing.TB, tensors []safetensors.Tensor, metadata map[string]string) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := safetensors.Write(&file, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestLoadRefuses damages a file in every way that a reader must notice, and
// checks that the error says what is wrong.
func TestLoadRefuses(t *testing.T) {
	_, tensors, _ := saved(t)
	find := func(list []safetensors.Tensor, name string) *safetensors.Tensor {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
		t.Fatalf("no tensor %s", name)
		return nil
	}
	for name, c := range map[string]struct {
		config func(c map[string]any)
		change func(list []safetensors.Tensor) []safetensors.Tensor
		want   string
	}{
		"table of the wrong width": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			x := find(l, "attend.item")
			x.Shape, x.Data = []int{30, 5}, x.Data[:150]
			return l
		}, want: "attend.item has shape [30 5], the config asks for [30 6]"},
		"table missing": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			return slices.DeleteFunc(l, func(x safetensors.Tensor) bool { return x.Name == "represent.gap" })
		}, want: "no tensor represent.gap"},
		"table too many": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			return append(l, safetensors.Tensor{Name: "x", Shape: []int{1}, Data: []float32{1}})
		}, want: "unknown tensors [x]"},
		"not a number": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			find(l, "main.0.weight").Data[3] = float32(math.NaN())
			return l
		}, want: "main.0.weight: element 3 is NaN"},
		"infinite": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			find(l, "attend.position").Data[0] = float32(math.Inf(1))
			return l
		}, want: "attend.position: element 0"},
		"negative variance": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			find(l, "main.running.variance").Data[1] = -1
			return l
		}, want: "main.running.variance: element 1 is -1"},
		"category beyond the table": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			find(l, "item.category").Data[2] = 4
			return l
		}, want: "item 2 has category 4"},
		"half a category": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			find(l, "item.category").Data[2] = 0.5
			return l
		}, want: "item 2 has category 0.5"},
		"no categories": {change: func(l []safetensors.Tensor) []safetensors.Tensor {
			return slices.DeleteFunc(l, func(x safetensors.Tensor) bool { return x.Name == "item.category" })
		}, want: "no tensor item.category"},
		"unknown model":     {config: func(c map[string]any) { c["model"] = "x" }, want: `model "x" is unknown`},
		"unknown switch":    {config: func(c map[string]any) { c["new_switch"] = true }, want: "new_switch"},
		"no items":          {config: func(c map[string]any) { c["items"] = 0 }, want: "items is 0"},
		"negative width":    {config: func(c map[string]any) { c["width"] = -6 }, want: "width is -6"},
		"too many items":    {config: func(c map[string]any) { c["items"] = math.MaxInt32 }, want: "parameters"},
		"no position":       {config: func(c map[string]any) { c["positions"] = 0 }, want: "positions is 0"},
		"tables of no data": {config: func(c map[string]any) { c["kinds"] = 0 }, want: "has shape"},
		"gigabytes for each history": {config: func(c map[string]any) {
			c["model"], c["attention_width"], c["width"], c["bits"], c["tau"] = "sdim", 4096, 4096, 252, 12
		}, want: "the sums of a history take"},
		"another model's switch": {config: func(c map[string]any) { c["model"] = "twin"; c["attention_width"] = 3 },
			want: "attention_width is 3"},
	} {
		t.Run(name, func(t *testing.T) {
			_, list, config := saved(t)
			if c.change != nil {
				list = c.change(list)
			}
			if c.config != nil {
				c.config(config)
			}
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			file := written(t, list, map[string]string{"seqrec.lifelong": string(text)})
			_, err = lifelong.Load(bytes.NewReader(file), int64(len(file)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	plain := written(t, tensors, map[string]string{"seqrec.config": "{}"})
	if _, err := lifelong.Load(bytes.NewReader(plain), int64(len(plain))); err == nil || !strings.Contains(err.Error(), "not a lifelong model") {
		t.Errorf("a sequence model was taken: %v", err)
	}
	if _, err := seqmodel.Load(bytes.NewReader(written(t, tensors, map[string]string{"seqrec.lifelong": "{}"})), 10); err == nil {
		t.Error("a lifelong model was taken for a sequence model")
	}
}

// FuzzLoad: whatever the bytes, an error or a model that answers.
func FuzzLoad(f *testing.F) {
	whole, _, _ := saved(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := lifelong.Load(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		s, st, h := m.NewScorer(), m.NewState(), lifelong.History{Items: []int32{0, -1, 0}}
		s.Score(make([]float32, 1), h, []int32{0}, 0)
		st.Append(h)
		s.ScoreState(make([]float32, 1), st, []int32{0}, 0)
		s.ExplainState(st, 0).Moments(0, 10)
	})
}
