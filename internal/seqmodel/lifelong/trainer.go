package lifelong

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"

	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel"
	"seqrec/internal/tensor"
)

// Example is one history with candidates of which the first was chosen and the
// others were not.
type Example struct {
	History    History
	Candidates []int32
	At         int64 // Unix milliseconds of the choice, 0 when unknown
}

// TrainConfig is how a model learns. The zero value of a field means the default
// that WithDefaults fills in: the settings of the authors of DARE.
type TrainConfig struct {
	LR        float32 `json:"lr"`        // Adam's step size; default 0.01
	Beta1     float32 `json:"beta1"`     // default 0.9
	Beta2     float32 `json:"beta2"`     // default 0.999
	Epsilon   float32 `json:"epsilon"`   // default 1e-8
	L2        float32 `json:"l2"`        // times the sum of squares of all weights but tables and biases; default 1e-6
	Auxiliary float32 `json:"auxiliary"` // weight of the auxiliary loss; default 1
	Seed      uint64  `json:"seed"`
	// Lanes is how many shares a batch is cut into, each with gradients and
	// batch norms of its own: the moments are those of a share, as in "ghost"
	// batch normalisation (Hoffer et al. 2017), so lanes are part of the result.
	// Default 2.
	Lanes int `json:"lanes"`
	// Workers is how many goroutines share the lanes; default: the cores. It
	// never changes the result.
	Workers int `json:"-"`
}

// WithDefaults fills in what is zero.
func (c TrainConfig) WithDefaults() TrainConfig {
	setDefault(&c.LR, 0.01)
	setDefault(&c.Beta1, 0.9)
	setDefault(&c.Beta2, 0.999)
	setDefault(&c.Epsilon, 1e-8)
	setDefault(&c.L2, 1e-6)
	setDefault(&c.Auxiliary, 1)
	setDefault(&c.Lanes, 2)
	setDefault(&c.Workers, runtime.GOMAXPROCS(0))
	return c
}

// Validate reports settings that make no sense.
func (c TrainConfig) Validate() error {
	switch {
	case !(c.LR > 0) || c.LR > 10:
		return fmt.Errorf("learning rate is %v, want above 0 and at most 10", c.LR)
	case !(c.Beta1 >= 0 && c.Beta1 < 1 && c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("Adam betas are %v and %v, want 0 to below 1", c.Beta1, c.Beta2)
	case !(c.Epsilon > 0):
		return fmt.Errorf("Adam epsilon is %v, want above 0", c.Epsilon)
	case !(c.L2 >= 0 && c.L2 < 1):
		return fmt.Errorf("l2 is %v, want 0 to below 1", c.L2)
	case !(c.Auxiliary >= 0 && c.Auxiliary <= 100):
		return fmt.Errorf("weight of the auxiliary loss is %v, want 0 to 100", c.Auxiliary)
	case c.Lanes < 1 || c.Lanes > 64:
		return fmt.Errorf("lanes is %d, want 1 to 64", c.Lanes)
	case c.Workers < 1:
		return fmt.Errorf("workers is %d, want at least 1", c.Workers)
	}
	return nil
}

// momentum is the share of a step's moments in the running ones.
const momentum = 0.1

// Trainer makes optimiser steps on a model. One goroutine uses it.
type Trainer struct {
	model *Model
	c     TrainConfig
	adam  *tensor.AdamState
	lanes []*lane
	grads []*tensor.Gradients
	order []int32
	batch []Example
	scale float32
	run   func(worker, i int)
}

// lane is one fixed share of every batch with a tape and gradients of its own.
type lane struct {
	tape     *tensor.Tape
	in       input
	examples []int32
	tokens   int
	labels   []int32
	loss     float64
	groups   clusterer
}

// NewTrainer prepares training from the model's present weights.
func NewTrainer(m *Model, c TrainConfig) (*Trainer, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("lifelong training config: %w", err)
	}
	t := &Trainer{model: m, c: c, adam: tensor.NewAdamState(m.params)}
	for range c.Lanes {
		g := tensor.NewGradients(m.params)
		t.grads = append(t.grads, g)
		t.lanes = append(t.lanes, &lane{tape: tensor.NewLearningTape(m.params.Device(), g), in: input{config: m.config}})
	}
	t.run = func(_, i int) { t.runLane(t.lanes[i]) }
	return t, nil
}

// Config is the complete configuration in use.
func (t *Trainer) Config() TrainConfig { return t.c }

// Steps is how many steps have been made.
func (t *Trainer) Steps() int { return t.adam.Step }

// SaveState writes what a resumed training needs beyond the weights.
func (t *Trainer) SaveState(w io.Writer) error { return seqmodel.SaveAdam(w, t.model.params, t.adam) }

// LoadState continues from a state that SaveState wrote for the same model.
func (t *Trainer) LoadState(r io.ReaderAt, size int64) error {
	return seqmodel.LoadAdam(r, size, t.model.params, t.adam)
}

// Step learns from one batch and returns its mean loss over candidates: main
// and auxiliary cross-entropy, without the penalty on squares. A loss or
// gradient that is not finite gives seqmodel.ErrDiverged, and the weights stay
// as they were.
func (t *Trainer) Step(batch []Example) (float64, error) {
	rows := 0
	for i := range batch {
		rows += len(batch[i].Candidates)
	}
	t.batch, t.scale = batch, 1/float32(max(rows, 1))
	t.deal()
	kernel.Parallel(len(t.lanes), t.c.Workers, t.run)
	var loss float64
	for _, l := range t.lanes {
		loss += l.loss
	}
	tensor.Reduce(t.grads, t.c.Workers)
	err := t.update(loss)
	for _, g := range t.grads {
		g.Clear()
	}
	return loss, err
}

func (t *Trainer) update(loss float64) error {
	sum, dev := t.grads[0], t.model.params.Device()
	for _, q := range t.model.regular {
		dev.Axpy(sum.Of(q), 2*t.c.L2, q.Val)
	}
	if norm := sum.Norm(); !finite(loss) || !finite(norm) {
		return fmt.Errorf("step %d: loss %v, gradient norm %v: %w; lower the learning rate", t.adam.Step+1, loss, norm, seqmodel.ErrDiverged)
	}
	t.adam.Update(sum, kernel.AdamW{LR: t.c.LR, Beta1: t.c.Beta1, Beta2: t.c.Beta2, Eps: t.c.Epsilon}, t.c.Workers)
	t.follow(t.model.main, 0)
	if t.model.aux != nil {
		t.follow(t.model.aux, 1)
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// follow moves the running moments of a head, whose batch norm ran as number
// which in every lane, towards the mean over lanes.
func (t *Trainer) follow(h *head, which int) {
	dev, rows := t.model.params.Device(), 0
	for _, l := range t.lanes {
		rows += len(l.labels)
	}
	if rows == 0 {
		return
	}
	dev.Scale(h.mean.Val, 1-momentum, h.mean.Val)
	dev.Scale(h.variance.Val, 1-momentum, h.variance.Val)
	for _, l := range t.lanes {
		n := float32(len(l.labels))
		if n == 0 {
			continue
		}
		share := momentum * n / float32(rows)
		unbiased := n / max(n-1, 1)
		dev.Axpy(h.mean.Val, share, l.in.moments[which].Mean)
		dev.Axpy(h.variance.Val, share*unbiased, l.in.moments[which].Variance)
	}
}

// deal gives every example to a lane: longest first, to the lane with the fewest
// events so far. It depends on the batch alone.
func (t *Trainer) deal() {
	t.order = t.order[:0]
	for i := range t.batch {
		t.order = append(t.order, int32(i))
	}
	size := func(i int32) int { return t.batch[i].History.Len() + len(t.batch[i].Candidates) }
	slices.SortStableFunc(t.order, func(i, j int32) int { return cmp.Compare(size(j), size(i)) })
	for _, l := range t.lanes {
		l.examples, l.tokens = l.examples[:0], 0
	}
	for _, i := range t.order {
		l := t.lanes[0]
		for _, other := range t.lanes[1:] {
			if other.tokens < l.tokens {
				l = other
			}
		}
		l.examples = append(l.examples, i)
		l.tokens += size(i)
	}
}

// runLane runs the lane's share forward and backward.
func (t *Trainer) runLane(l *lane) {
	l.in.reset()
	l.labels, l.loss = l.labels[:0], 0
	for _, i := range l.examples {
		e := &t.batch[i]
		t.model.pack(&l.in, &l.groups, e.History.newest(t.model.config.Length), e.Candidates, e.At)
		for j := range e.Candidates {
			l.labels = append(l.labels, label(j))
		}
	}
	if len(l.labels) == 0 {
		return
	}
	l.tape.Reset(0)
	main, aux := t.model.forward(l.tape, &l.in)
	labels := l.tape.Device().Index(l.labels)
	l.loss = t.model.main.loss(l.tape, main, labels, t.scale)
	if aux != nil {
		l.loss += t.model.aux.loss(l.tape, aux, labels, t.scale*t.c.Auxiliary)
	}
	l.tape.Backward()
}

// label is the class of candidate j.
func label(j int) int32 {
	if j == 0 {
		return 1
	}
	return 0
}

// pack adds one sequence to an input, clustered where the model wants that.
func (m *Model) pack(in *input, groups *clusterer, h History, candidates []int32, at int64) {
	if m.config.Model == "twin-v2" {
		groups.run(h, m.represent.item.Val.V, m.config.Width, m.config.Cluster)
		in.addClusters(m.categories, h, groups, candidates, at)
		return
	}
	in.add(m.categories, h, candidates, at)
}
