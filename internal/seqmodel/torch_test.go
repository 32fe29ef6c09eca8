package seqmodel

import (
	"os"
	"path/filepath"
	"testing"

	"seqrec/internal/features"
)

// TestTorchParity loads weights that Python's safetensors library wrote and
// holds scores, loss and gradients against PyTorch in float64
// (tools/torch_parity/make_fixture.py).
func TestTorchParity(t *testing.T) {
	for _, layout := range []string{"original", "pre-ln"} {
		t.Run(layout, func(t *testing.T) {
			var want struct {
				Histories [][]int32
				Scores    [][]float64
				Loss      float64
				Gradients map[string][]float64
			}
			readJSON(t, filepath.Join("testdata", "torch_"+layout+".json"), &want)
			m := loadFile(t, filepath.Join("testdata", "torch_"+layout+".safetensors"))
			scores := make([]float32, m.Items())
			r := m.NewRanker()
			for i, h := range want.Histories {
				r.Score(scores, []features.Query{{History: h}})
				compareFloats(t, "scores", widen(scores), want.Scores[i], 1e-5)
			}
			tr, err := NewTrainer(m, TrainConfig{})
			if err != nil {
				t.Fatal(err)
			}
			b := shiftedBatch(t, want.Histories, m.Config().Length)
			compareFloats(t, "loss", []float64{tr.gradients(b)}, []float64{want.Loss}, 1e-5)
			for _, p := range m.Params().List() {
				compareFloats(t, "gradient of "+p.Name, widen(tr.grads[0].Of(p).V), want.Gradients[p.Name], 1e-5)
			}
		})
	}
}

func loadFile(t *testing.T, path string) Model {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func shiftedBatch(t *testing.T, histories [][]int32, length int) *features.Batch {
	t.Helper()
	s, err := features.NewSampler(histories, nil, features.SamplerOptions{Length: length, BatchSize: len(histories)})
	if err != nil {
		t.Fatal(err)
	}
	s.Epoch(0)
	var b features.Batch
	if !s.Next(&b) {
		t.Fatal("no batch")
	}
	return &b
}
