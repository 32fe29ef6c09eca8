// Package modeltest is the conformance suite of sequence models: what every
// model promises its trainer, its files and its users, run on any config by one
// row in a table.
package modeltest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel"
)

// Case is one model under test. Config.Items is set by the suite.
type Case struct {
	Name   string
	Config seqmodel.Config
	Train  seqmodel.TrainConfig
	// Floor is the hit rate at 1 that the model must reach on the cycle world
	// after Epochs; every answer can be known.
	Floor  float64
	Epochs int
}

// Run holds a model to every promise.
func Run(t *testing.T, c Case) {
	t.Run(c.Name, func(t *testing.T) {
		t.Run("learns the known answer", c.learns)
		t.Run("gradient reaches every parameter", c.reach)
		t.Run("batch equals single", c.batchEqualsSingle)
		t.Run("only the newest events count", c.newest)
		t.Run("an empty history leaves the bias", c.empty)
		t.Run("save and load give the same scores", c.saveLoad)
		t.Run("the future does not leak", c.causal)
		t.Run("masks and candidates", c.masks)
		t.Run("candidates score as the catalogue does", c.candidates)
		t.Run("resume is bit-equal", c.resume)
		t.Run("workers do not change the result", c.workers)
		t.Run("ranking allocates nothing", c.allocations)
	})
}

// The cycle world: places 0..worldPlaces-1 stand in a ring, and a history walks
// it one place forward or one back. Its first event, one of two signs, tells
// which. So the last item alone leaves two answers; only a model that reads the
// whole history knows.
const (
	worldPlaces = 22
	worldItems  = worldPlaces + 2
)

func world() (train [][]int32, queries []features.Query, answers []int32) {
	for u := range int32(240) {
		sign, step := u%2, int32(1)
		if sign == 1 {
			step = worldPlaces - 1
		}
		seq := []int32{worldPlaces + sign}
		for i := range 4 + u%5 {
			seq = append(seq, (u*7+i*step)%worldPlaces)
		}
		last := len(seq) - 1
		train = append(train, seq[:last])
		queries = append(queries, features.Query{History: seq[:last], K: 1})
		answers = append(answers, seq[last])
	}
	return train, queries, answers
}

func (c Case) model(t *testing.T) seqmodel.Model {
	t.Helper()
	config := c.Config
	config.Items = worldItems
	m, err := seqmodel.New(config, 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (c Case) sampler(t *testing.T, train [][]int32) *features.Sampler {
	t.Helper()
	s, err := features.NewSampler(train, nil, features.SamplerOptions{Length: c.Config.Length, BatchSize: 32, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fit trains for epochs from..to and returns the last mean loss.
func (c Case) fit(t *testing.T, tr *seqmodel.Trainer, s *features.Sampler, from, to int) (loss float64) {
	t.Helper()
	var b features.Batch
	for e := from; e < to; e++ {
		s.Epoch(e)
		for s.Next(&b) {
			var err error
			if loss, err = tr.Step(&b); err != nil {
				t.Fatal(err)
			}
		}
	}
	return loss
}

func (c Case) trainer(t *testing.T, m seqmodel.Model, workers int) *seqmodel.Trainer {
	t.Helper()
	config := c.Train
	config.Workers, config.Lanes, config.Chunk = workers, 3, 64
	config.Counts = make([]int64, worldItems)
	tr, err := seqmodel.NewTrainer(m, config)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (c Case) learns(t *testing.T) {
	train, queries, answers := world()
	m := c.model(t)
	c.fit(t, c.trainer(t, m, 2), c.sampler(t, train), 0, c.Epochs)
	got := make([][]kernel.Scored, len(queries))
	m.NewRanker().Rank(got, queries)
	hits := 0
	for i, list := range got {
		if len(list) == 1 && list[0].Item == answers[i] {
			hits++
		}
	}
	if rate := float64(hits) / float64(len(queries)); rate < c.Floor {
		t.Errorf("hit rate %.3f on a world whose answers are known, want %.2f", rate, c.Floor)
	}
}

func (c Case) reach(t *testing.T) {
	train, _, _ := world()
	m := c.model(t)
	before := snapshot(m)
	c.fit(t, c.trainer(t, m, 1), c.sampler(t, train), 0, 1)
	after := snapshot(m)
	for i, p := range m.Params().List() {
		if slices.Equal(before[i], after[i]) {
			t.Errorf("%s did not move in one epoch", p.Name)
		}
	}
}

func snapshot(m seqmodel.Model) (out [][]float32) {
	for _, p := range m.Params().List() {
		host := make([]float32, p.Val.Len())
		m.Params().Device().Download(host, p.Val)
		out = append(out, host)
	}
	return out
}

func equalWeights(t *testing.T, what string, a, b seqmodel.Model) {
	t.Helper()
	x, y := snapshot(a), snapshot(b)
	for i, p := range a.Params().List() {
		for j := range x[i] {
			if math.Float32bits(x[i][j]) != math.Float32bits(y[i][j]) {
				t.Fatalf("%s: %s[%d] is %v and %v", what, p.Name, j, x[i][j], y[i][j])
			}
		}
	}
}

// histories of every kind: empty, single, longer than the window.
func histories(length int) (out []features.Query) {
	for n := range 2*length + 3 {
		h := make([]int32, n)
		for i := range h {
			h[i] = int32((i*5 + n) % worldItems)
		}
		out = append(out, features.Query{History: h, K: 5})
	}
	return out
}

// batchEqualsSingle: who shares a batch changes no answer, to the bit.
func (c Case) batchEqualsSingle(t *testing.T) {
	m := c.model(t)
	queries := histories(m.Config().Length)
	for i := range queries {
		queries[i].K = worldItems
	}
	all := make([]float32, len(queries)*worldItems)
	m.NewRanker().Score(all, queries)
	ranked := make([][]kernel.Scored, len(queries))
	m.NewRanker().Rank(ranked, queries)
	one, alone := make([]float32, worldItems), make([][]kernel.Scored, 1)
	r := m.NewRanker()
	for i := range queries {
		what := fmt.Sprintf("history of %d", len(queries[i].History))
		r.Score(one, queries[i:i+1])
		equalBits(t, what, one, all[i*worldItems:(i+1)*worldItems])
		r.Rank(alone, queries[i:i+1])
		if !slices.Equal(alone[0], ranked[i]) {
			t.Errorf("%s: ranked alone %v, in a batch %v", what, alone[0], ranked[i])
		}
	}
}

func (c Case) saveLoad(t *testing.T) {
	m := c.model(t)
	var file bytes.Buffer
	if err := seqmodel.Save(&file, m); err != nil {
		t.Fatal(err)
	}
	back, err := seqmodel.Load(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	equalWeights(t, "after loading", m, back)
	queries := histories(m.Config().Length)
	want, got := make([]float32, len(queries)*worldItems), make([]float32, len(queries)*worldItems)
	m.NewRanker().Score(want, queries)
	back.NewRanker().Score(got, queries)
	equalBits(t, "scores after loading", got, want)
	if m.Config() != back.Config() {
		t.Errorf("config %+v came back as %+v", m.Config(), back.Config())
	}
}

// newest: events beyond the window change nothing, to the bit.
func (c Case) newest(t *testing.T) {
	m := c.model(t)
	length := m.Config().Length
	r := m.NewRanker()
	want, got := make([]float32, worldItems), make([]float32, worldItems)
	for _, q := range histories(length) {
		if extra := len(q.History) - length; extra > 0 {
			r.Score(got, []features.Query{q})
			r.Score(want, []features.Query{{History: q.History[extra:]}})
			equalBits(t, fmt.Sprintf("history of %d", len(q.History)), got, want)
		}
	}
}

// empty: without any event every item scores its bias, alone and between others.
func (c Case) empty(t *testing.T) {
	m := c.model(t)
	want := make([]float32, worldItems)
	for _, p := range m.Params().List() {
		if p.Name == "output_bias" {
			for i := range want {
				want[i] = float32(i%5) - 2
			}
			m.Params().Device().Upload(p.Val, want)
		}
	}
	queries := []features.Query{{}, {History: []int32{1, 2}}, {History: []int32{}}, {}, {History: []int32{3}}}
	got := make([]float32, len(queries)*worldItems)
	m.NewRanker().Score(got, queries)
	for i, q := range queries {
		if len(q.History) == 0 {
			equalBits(t, fmt.Sprintf("query %d", i), got[i*worldItems:(i+1)*worldItems], want)
		}
	}
	dst := make([][]kernel.Scored, 1)
	m.NewRanker().Rank(dst, []features.Query{{K: 3}})
	if len(dst[0]) != 3 {
		t.Errorf("%d items for an empty history, want 3", len(dst[0]))
	}
}

// causal changes all items after place i: the losses at places up to i must not
// change, to the bit. The trainer computes them all in one pass.
func (c Case) causal(t *testing.T) {
	m := c.model(t)
	items, answers := []int32{3, 1, 4, 5, 0}, []int32{1, 4, 2, 6, 7}
	loss := func(i int, later int32) float64 {
		c := c.Train
		c.Loss = seqmodel.Loss{} // full cross-entropy needs no draws
		tr, err := seqmodel.NewTrainer(m, c)
		if err != nil {
			t.Fatal(err)
		}
		tr.SetLR(0)
		b := features.Batch{Offsets: []int32{0, int32(len(items))}}
		for j := range items {
			item, target := items[j], answers[j]
			if j > i {
				item, target = later+int32(j), -1
			}
			b.Items, b.Targets = append(b.Items, item), append(b.Targets, target)
		}
		l, err := tr.Step(&b)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for i := range len(items) - 1 {
		if a, b := loss(i, 5), loss(i, 11); a != b {
			t.Errorf("the loss up to place %d is %v or %v, as the items after it change", i, a, b)
		}
	}
}

func (c Case) masks(t *testing.T) {
	m := c.model(t)
	blocked := []uint64{0b10110}
	q := []features.Query{
		{History: []int32{1, 2}, K: worldItems + 5, Blocked: blocked},
		{History: []int32{1, 2}, K: 10, Blocked: blocked, Candidates: []int32{7, 1, 3, 7, 9}},
		{History: []int32{1, 2}, K: 0},
		{History: nil, K: 3, Blocked: blocked},
		{History: []int32{4}, K: math.MaxInt},
		{History: []int32{4}, K: 3, Candidates: []int32{}},
	}
	got := make([][]kernel.Scored, len(q))
	m.NewRanker().Rank(got, q)
	for i, want := range []int{worldItems - 3, 3, 0, 3, worldItems, 0} {
		if len(got[i]) != want {
			t.Errorf("query %d: %d items, want %d", i, len(got[i]), want)
		}
		for j, s := range got[i] {
			if q[i].Blocked != nil && blocked[0]&(1<<s.Item) != 0 {
				t.Errorf("query %d: item %d is blocked", i, s.Item)
			}
			if j > 0 && (s.Score > got[i][j-1].Score || (s.Score == got[i][j-1].Score && s.Item < got[i][j-1].Item)) {
				t.Errorf("query %d: place %d is out of order", i, j)
			}
		}
	}
}

// candidates: naming every item gives the list of naming none, to the bit.
func (c Case) candidates(t *testing.T) {
	m := c.model(t)
	all := make([]int32, worldItems)
	for i := range all {
		all[i] = int32(worldItems - 1 - i)
	}
	history := []int32{2, 7, 1}
	got := make([][]kernel.Scored, 2)
	m.NewRanker().Rank(got, []features.Query{{History: history, K: worldItems}, {History: history, K: worldItems, Candidates: all}})
	if !slices.Equal(got[0], got[1]) {
		t.Errorf("the catalogue is ranked %v, all of it as candidates %v", got[0], got[1])
	}
}

func (c Case) resume(t *testing.T) {
	train, _, _ := world()
	whole := c.model(t)
	c.fit(t, c.trainer(t, whole, 1), c.sampler(t, train), 0, 3)

	first := c.model(t)
	tr := c.trainer(t, first, 1)
	c.fit(t, tr, c.sampler(t, train), 0, 1)
	var weights, state bytes.Buffer
	if err := seqmodel.Save(&weights, first); err != nil {
		t.Fatal(err)
	}
	if err := tr.SaveState(&state); err != nil {
		t.Fatal(err)
	}
	second, err := seqmodel.Load(bytes.NewReader(weights.Bytes()), int64(weights.Len()))
	if err != nil {
		t.Fatal(err)
	}
	again := c.trainer(t, second, 1)
	if err := again.LoadState(bytes.NewReader(state.Bytes()), int64(state.Len())); err != nil {
		t.Fatal(err)
	}
	c.fit(t, again, c.sampler(t, train), 1, 3)
	equalWeights(t, "resumed", whole, second)
}

func (c Case) workers(t *testing.T) {
	train, _, _ := world()
	one, four := c.model(t), c.model(t)
	c.fit(t, c.trainer(t, one, 1), c.sampler(t, train), 0, 2)
	c.fit(t, c.trainer(t, four, 4), c.sampler(t, train), 0, 2)
	equalWeights(t, "one worker against four", one, four)
}

func (c Case) allocations(t *testing.T) {
	m := c.model(t)
	r := m.NewRanker()
	q := []features.Query{{History: []int32{1, 2, 3, 4}, K: 5, Blocked: []uint64{1}}, {History: []int32{9}, K: 3, Candidates: []int32{1, 2}}}
	dst := make([][]kernel.Scored, len(q))
	run := func() { r.Rank(dst, q) }
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a call, want none", n)
	}
}

func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: score %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
