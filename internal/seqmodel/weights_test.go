package seqmodel

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/safetensors"
)

func tiny(t testing.TB) Model {
	t.Helper()
	m, err := New(Config{Items: 5, Width: 4, Length: 3, Blocks: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func saved(t testing.TB, m Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Save(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rewrite saves a tiny model with its tensors and metadata changed.
func rewrite(t *testing.T, change func(list []safetensors.Tensor, meta map[string]string) []safetensors.Tensor) []byte {
	t.Helper()
	good := saved(t, tiny(t))
	f, err := safetensors.Open(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	var list []safetensors.Tensor
	for _, name := range f.Names() {
		data, shape, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, safetensors.Tensor{Name: name, Shape: shape, Data: data})
	}
	meta := map[string]string{configKey: f.Metadata[configKey]}
	list = change(list, meta)
	var b bytes.Buffer
	if err := safetensors.Write(&b, list, meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadRefuses(t *testing.T) {
	type tensors = []safetensors.Tensor
	config := func(old, new string) func(tensors, map[string]string) tensors {
		return func(list tensors, meta map[string]string) tensors {
			if !strings.Contains(meta[configKey], old) {
				t.Fatalf("%q is not in %s", old, meta[configKey])
			}
			meta[configKey] = strings.Replace(meta[configKey], old, new, 1)
			return list
		}
	}
	for _, c := range []struct {
		name, want string
		change     func(tensors, map[string]string) tensors
	}{
		{"no config", "not a seqrec model", func(l tensors, m map[string]string) tensors { delete(m, configKey); return l }},
		{"config is not JSON", "seqrec.config", func(l tensors, m map[string]string) tensors { m[configKey] = "{"; return l }},
		{"a switch of a newer program", "rotary", config(`{"model"`, `{"rotary":true,"model"`)},
		{"two configs", "more than one", func(l tensors, m map[string]string) tensors { m[configKey] += "{}"; return l }},
		{"unknown model", "unknown", config(`"sasrec"`, `"oracle"`)},
		{"unknown layout", "layout", config(`"pre-ln"`, `"upside-down"`)},
		{"heads do not divide", "heads", config(`"heads":1`, `"heads":3`)},
		{"huge catalogue", "parameters", config(`"items":5`, `"items":2000000000`)},
		{"large catalogue that the file does not hold", "asks for", config(`"items":5`, `"items":90000000`)},
		{"other catalogue", "shape", config(`"items":5`, `"items":6`)},
		{"negative length", "length", config(`"length":3`, `"length":-3`)},
		{"long history that the file does not hold", "position has shape", config(`"length":3`, `"length":1048576`)},
		{"wide keys that the file does not hold", "attention.query.weight has shape", config(`"key_width":4`, `"key_width":16384`)},
		{"another block", "block.1", config(`"blocks":1`, `"blocks":2`)},
		{"a tensor missing", "no tensor", func(l tensors, _ map[string]string) tensors { return l[1:] }},
		{"a tensor too many", "unknown tensors", func(l tensors, _ map[string]string) tensors {
			return append(l, safetensors.Tensor{Name: "extra", Shape: []int{1}, Data: []float32{1}})
		}},
		{"NaN", "NaN", func(l tensors, _ map[string]string) tensors { l[2].Data[0] = float32(math.NaN()); return l }},
		{"infinity", "Inf", func(l tensors, _ map[string]string) tensors { l[2].Data[0] = float32(math.Inf(1)); return l }},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := rewrite(t, c.change)
			if _, err := Load(bytes.NewReader(file), int64(len(file))); err == nil {
				t.Error("accepted")
			} else if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
	good := saved(t, tiny(t))
	for cut := range good {
		if _, err := Load(bytes.NewReader(good[:cut]), int64(cut)); err == nil {
			t.Fatalf("a file cut at byte %d was accepted", cut)
		}
	}
}

func TestLoadStateRefuses(t *testing.T) {
	m := tiny(t)
	tr, err := NewTrainer(m, TrainConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var state bytes.Buffer
	if err := tr.SaveState(&state); err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{Items: 600, Width: 4, Length: 3, Blocks: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	tr2, err := NewTrainer(other, TrainConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr2.LoadState(bytes.NewReader(state.Bytes()), int64(state.Len())); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("the state of another model: %v", err)
	}
	weights := saved(t, m)
	if err := tr.LoadState(bytes.NewReader(weights), int64(len(weights))); err == nil {
		t.Error("weights were accepted as a state")
	}
	if err := tr.LoadState(bytes.NewReader(state.Bytes()), int64(state.Len())-4); err == nil {
		t.Error("a cut state was accepted")
	}
	n := m.Params().Len()
	for _, c := range []struct {
		name, step, want string
		m, v             float32
	}{
		{"no step", "", "step", 0, 0},
		{"negative step", "-1", "step", 0, 0},
		{"NaN moment", "1", "adam.m", float32(math.NaN()), 0},
		{"infinite moment", "1", "adam.v", 0, float32(math.Inf(1))},
		{"negative second moment", "1", "adam.v", 0, -1},
	} {
		first, second := make([]float32, n), make([]float32, n)
		first[1], second[1] = c.m, c.v
		var b bytes.Buffer
		if err := safetensors.Write(&b, []safetensors.Tensor{{Name: "adam.m", Shape: []int{n}, Data: first}, {Name: "adam.v", Shape: []int{n}, Data: second}},
			map[string]string{stepKey: c.step}); err != nil {
			t.Fatal(err)
		}
		if err := tr.LoadState(bytes.NewReader(b.Bytes()), int64(b.Len())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", c.name, err, c.want)
		}
		if now, _ := tr.adam.Moments(); now.V[1] != 0 || tr.Steps() != 0 {
			t.Errorf("%s: the refused state changed the trainer", c.name)
		}
	}
}

func FuzzLoadState(f *testing.F) {
	tr, err := NewTrainer(tiny(f), TrainConfig{Lanes: 1})
	if err != nil {
		f.Fatal(err)
	}
	var state bytes.Buffer
	if err := tr.SaveState(&state); err != nil {
		f.Fatal(err)
	}
	f.Add(state.Bytes())
	f.Add(state.Bytes()[:50])
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := tr.LoadState(bytes.NewReader(file), int64(len(file))); err == nil && tr.Steps() < 0 {
			t.Errorf("a state with step %d was accepted", tr.Steps())
		}
	})
}

// TestWhatIsSavedLoads: models whose config says much about tensors they do not
// have.
func TestWhatIsSavedLoads(t *testing.T) {
	for name, c := range map[string]Config{
		"long history without places":     {Items: 3, Width: 4, Blocks: 1, Length: 9000, Positions: NoPositions},
		"many blocks without projection":  {Items: 3, Width: 16, Blocks: 40, Length: 2},
		"narrow keys":                     {Items: 3, Width: 16, Blocks: 40, Length: 2, KeyWidth: 1},
		"keys wider than the model":       {Items: 3, Width: 2, Blocks: 1, Length: 2, KeyWidth: 64},
		"one item, one place, one number": {Items: 1, Width: 1, Blocks: 1, Length: 1},
	} {
		m, err := New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		file := saved(t, m)
		if _, err := Load(bytes.NewReader(file), int64(len(file))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfigBoundsMemory: what would not fit is refused before it is taken,
// whichever field asks for it.
func TestConfigBoundsMemory(t *testing.T) {
	for name, c := range map[string]Config{
		"items":     {Items: 1 << 30},
		"items max": {Items: math.MaxInt},
		"output":    {Items: 1 << 24, Width: 100, SeparateOutput: true},
		"length":    {Items: 1, Length: 1 << 20, Width: 1 << 14},
		"keys":      {Items: 1, Width: 1024, KeyWidth: 1 << 14, Blocks: 256},
		"hidden":    {Items: 1, Width: 4096, Hidden: 64, Blocks: 256},
	} {
		if err := c.WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), "parameters") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	good := saved(f, tiny(f))
	f.Add(good)
	f.Add(good[:40])
	f.Add(bytes.Replace(good, []byte(`\"items\":5`), []byte(`\"items\":9`), 1))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := Load(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if again := saved(t, m); len(again) == 0 {
			t.Error("an accepted file cannot be saved")
		}
	})
}

// TestBeta: gBCE's weight of the positive term, worked by hand from
// alpha = k/(n-1), beta = alpha*(t*(1-1/alpha) + 1/alpha).
func TestBeta(t *testing.T) {
	for _, c := range []struct {
		k, n int
		t    float64
		want float32
	}{{256, 3417, 0, 1}, {1, 101, 1, 0.01}, {10, 101, 0.5, 0.55}, {256, 1025, 0.75, 0.4375}, {300, 200, 1, 1}} {
		l := Loss{Kind: Generalised, Negatives: c.k, Calibration: new(c.t)}
		if got := l.Beta(c.n); math.Abs(float64(got-c.want)) > 1e-6 {
			t.Errorf("k %d, n %d, t %v: beta %v, want %v", c.k, c.n, c.t, got, c.want)
		}
	}
	if got := (Loss{Kind: BinaryCrossEntropy, Calibration: new(0.75)}).Beta(100); got != 1 {
		t.Errorf("plain BCE has beta %v", got)
	}
}

// TestNegativesAvoidTheHistory: plain BCE draws outside the user's whole
// training history, of which the window holds only the end, or, where that is
// not known, outside the target's sequence.
func TestNegativesAvoidTheHistory(t *testing.T) {
	histories := [][]int32{{0, 1, 2, 3, 4, 5, 0}, {6, 7, 8}, {9, 9, 10, 3}}
	for name, known := range map[string][][]int32{"whole history": histories, "sequence alone": nil} {
		t.Run(name, func(t *testing.T) {
			m, err := New(Config{Items: 12, Width: 4, Length: 3}, 1)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := NewTrainer(m, TrainConfig{Loss: Loss{Kind: BinaryCrossEntropy, Negatives: 20}, Lanes: 1, Histories: known})
			if err != nil {
				t.Fatal(err)
			}
			b := shiftedBatch(t, histories, 3)
			tr.gradients(b)
			l := tr.lanes[0]
			if len(l.rows) != 3+2+3 {
				t.Fatalf("%d targets", len(l.rows))
			}
			for i, row := range l.rows {
				seq := 0
				for row >= l.pack.offsets[seq+1] {
					seq++
				}
				avoid := append([]int32{l.targets[i]}, l.pack.items[l.pack.offsets[seq]:l.pack.offsets[seq+1]]...)
				if known != nil {
					avoid = histories[b.Users[l.packed[seq]]]
				}
				for _, item := range l.negs.list[i*20 : (i+1)*20] {
					if slices.Contains(avoid, item) {
						t.Fatalf("target %d: negative %d is among %v", l.targets[i], item, avoid)
					}
				}
			}
			if slices.ContainsFunc(l.negs.seen, func(w uint64) bool { return w != 0 }) {
				t.Error("marks are left for the next chunk")
			}
		})
	}
}

func TestConfigValidateNamesEveryFault(t *testing.T) {
	c := Config{Items: -1, Width: 10, Heads: 3, Layout: "x", Dropout: 1}.WithDefaults()
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"items", "heads", "layout", "dropout"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not named in: %v", word, err)
		}
	}
}

func TestTrainerRefuses(t *testing.T) {
	for name, c := range map[string]TrainConfig{
		"learning rate":    {LR: -1},
		"unknown loss":     {Loss: Loss{Kind: "hinge"}},
		"betas":            {Beta1: 1},
		"log q, uniform":   {Loss: Loss{Kind: SampledCrossEntropy, LogQ: true}},
		"no counts":        {Loss: Loss{Kind: SampledCrossEntropy, Popularity: 1}},
		"lanes":            {Lanes: -1},
		"many negatives":   {Loss: Loss{Kind: Generalised, Negatives: 1 << 20}},
		"negative decay":   {Decay: -1},
		"NaN rate":         {LR: float32(math.NaN())},
		"NaN calibration":  {Loss: Loss{Kind: Generalised, Calibration: new(math.NaN())}},
		"NaN popularity":   {Loss: Loss{Kind: SampledCrossEntropy, Popularity: math.NaN()}},
		"workers":          {Workers: -1},
		"bad calibration":  {Loss: Loss{Kind: Generalised, Calibration: new(2.0)}},
		"chunk":            {Chunk: -4},
		"clip":             {ClipNorm: -1},
		"popularity power": {Loss: Loss{Kind: SampledCrossEntropy, Popularity: -2}},
	} {
		if _, err := NewTrainer(tiny(t), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestDivergenceKeepsTheWeights: a step that is not finite is refused whole.
func TestDivergenceKeepsTheWeights(t *testing.T) {
	m := tiny(t)
	tr, err := NewTrainer(m, TrainConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m.Params().List()[0].Val.V[0] = float32(math.Inf(1))
	before := saved(t, m)
	if _, err := tr.Step(shiftedBatch(t, [][]int32{{0, 1, 2}}, 3)); err == nil {
		t.Error("an infinite weight trained on")
	}
	if !bytes.Equal(before, saved(t, m)) || tr.Steps() != 0 {
		t.Error("the refused step changed something")
	}
}

// TestLargeCatalogueIsExact: the 8-bit first pass of a loaded model changes
// nothing in the answer.
func TestLargeCatalogueIsExact(t *testing.T) {
	m, err := New(Config{Items: quickItems + 5, Width: 16, Length: 4, Blocks: 1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	file := saved(t, m)
	loaded, err := Load(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if loaded.quick().Len() != m.Items() || m.quick().Len() != 0 {
		t.Fatalf("first pass over %d rows when loaded, %d when new", loaded.quick().Len(), m.quick().Len())
	}
	q := []features.Query{{History: []int32{1, 9, 30_000}, K: 100, Blocked: make([]uint64, (m.Items()+63)/64)}}
	q[0].Blocked[3] = ^uint64(0)
	want, got := make([][]kernel.Scored, 1), make([][]kernel.Scored, 1)
	m.NewRanker().Rank(want, q)
	loaded.NewRanker().Rank(got, q)
	if !slices.Equal(got[0], want[0]) {
		t.Errorf("with the first pass %v, without %v", got[0][:5], want[0][:5])
	}
	if _, err := NewTrainer(loaded, TrainConfig{Lanes: 1}); err != nil || loaded.quick().Len() != 0 {
		t.Errorf("training kept the 8-bit twin (error %v)", err)
	}
}
