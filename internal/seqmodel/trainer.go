package seqmodel

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/tensor"
)

// TrainConfig is how a model learns. The zero value of a field means the
// default that WithDefaults fills in.
type TrainConfig struct {
	Loss     Loss    `json:"loss"`
	LR       float32 `json:"lr"`        // Adam's step size; default 1e-3
	Beta1    float32 `json:"beta1"`     // default 0.9
	Beta2    float32 `json:"beta2"`     // default 0.98, as SASRec
	Epsilon  float32 `json:"epsilon"`   // default 1e-8
	Decay    float32 `json:"decay"`     // decoupled weight decay of matrices; 0 for none
	ClipNorm float32 `json:"clip_norm"` // longest gradient allowed; 0 for no limit
	Seed     uint64  `json:"seed"`      // of dropout and negatives
	// Lanes is how many gradient sums a step keeps. It fixes the order of
	// additions, so it is part of the result; cores beyond it stay idle.
	// Default 4.
	Lanes int `json:"lanes"`
	// Chunk is about how many tokens run through the network at once; it bounds
	// memory and keeps activations in cache. It is part of the result as well.
	// Default 1024.
	Chunk int `json:"chunk"`
	// Workers is how many goroutines share the lanes; default: the cores. It
	// never changes the result.
	Workers int `json:"-"`
	// Counts are the training events of each item, for popularity negatives.
	Counts []int64 `json:"-"`
	// Histories are the whole training histories that Batch.Users names, which BCE
	// draws its negatives outside of; they are kept, not copied. Without them, or
	// without Batch.Users, it is the target and the inputs of its sequence that are
	// avoided. Other losses do not look at them.
	Histories [][]int32 `json:"-"`
}

// WithDefaults fills in what is zero.
func (c TrainConfig) WithDefaults() TrainConfig {
	c.Loss = c.Loss.WithDefaults()
	setDefault(&c.LR, 1e-3)
	setDefault(&c.Beta1, 0.9)
	setDefault(&c.Beta2, 0.98)
	setDefault(&c.Epsilon, 1e-8)
	setDefault(&c.Lanes, 4)
	setDefault(&c.Chunk, 1024)
	setDefault(&c.Workers, runtime.GOMAXPROCS(0))
	return c
}

// Validate reports settings that make no sense.
func (c TrainConfig) Validate() error {
	if err := c.Loss.Validate(); err != nil {
		return err
	}
	switch {
	case !(c.LR > 0) || c.LR > 10:
		return fmt.Errorf("learning rate is %v, want above 0 and at most 10", c.LR)
	case !(c.Beta1 >= 0 && c.Beta1 < 1 && c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("Adam betas are %v and %v, want 0 to below 1", c.Beta1, c.Beta2)
	case !(c.Epsilon > 0):
		return fmt.Errorf("Adam epsilon is %v, want above 0", c.Epsilon)
	case !(c.Decay >= 0 && c.Decay < 1):
		return fmt.Errorf("weight decay is %v, want 0 to below 1", c.Decay)
	case !(c.ClipNorm >= 0):
		return fmt.Errorf("gradient clip is %v, want 0 (none) or more", c.ClipNorm)
	case c.Lanes < 1 || c.Lanes > 256:
		return fmt.Errorf("lanes is %d, want 1 to 256", c.Lanes)
	case c.Chunk < 1:
		return fmt.Errorf("chunk is %d, want at least 1 token", c.Chunk)
	case c.Workers < 1:
		return fmt.Errorf("workers is %d, want at least 1", c.Workers)
	}
	return nil
}

// Trainer makes optimiser steps on a model. One goroutine uses it.
type Trainer struct {
	model Model
	c     TrainConfig
	adam  *tensor.AdamState
	lanes []*lane
	grads []*tensor.Gradients
	draw  *negatives
	order []int32
	run   func(worker, i int) // made once, so that a step makes no closure
	batch *features.Batch
	scale float32
}

// lane is one fixed share of every batch with a tape and gradients of its own.
type lane struct {
	tape    *tensor.Tape
	pack    *packer
	in      input
	seqs    []int32 // sequences of this step
	packed  []int32 // those of the chunk at hand, as they lie in pack
	tokens  int
	chunks  uint64
	loss    float64
	targets []int32
	rows    []int32
	source  []int32 // position of each target in the batch
	negs    negativeScratch
}

// NewTrainer prepares training from the model's present weights.
func NewTrainer(m Model, c TrainConfig) (*Trainer, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("training config: %w", err)
	}
	dev := m.Params().Device()
	draw, err := newNegatives(c, dev, m.Items())
	if err != nil {
		return nil, fmt.Errorf("training config: %w", err)
	}
	*m.quick() = kernel.Int8Table{} // its twin is about to change
	t := &Trainer{model: m, c: c, adam: tensor.NewAdamState(m.Params()), draw: draw}
	for range c.Lanes {
		g := tensor.NewGradients(m.Params())
		t.grads = append(t.grads, g)
		t.lanes = append(t.lanes, &lane{tape: tensor.NewLearningTape(dev, g), pack: newPacker(m.Config())})
	}
	t.run = func(_, i int) { t.runLane(i) }
	return t, nil
}

// Config is the complete configuration in use.
func (t *Trainer) Config() TrainConfig { return t.c }

// Steps is how many steps have been made, earlier runs included.
func (t *Trainer) Steps() int { return t.adam.Step }

// SetLR changes the learning rate from the next step on, for schedules.
func (t *Trainer) SetLR(lr float32) { t.c.LR = lr }

// ErrDiverged says that a loss or gradient was not finite.
var ErrDiverged = errors.New("training diverged")

// Step learns from one batch and returns its mean loss over targets. A loss or
// gradient that is not finite gives ErrDiverged, and the weights stay as they
// were.
func (t *Trainer) Step(b *features.Batch) (float64, error) {
	loss := t.gradients(b)
	err := t.update(loss)
	for _, g := range t.grads {
		g.Clear()
	}
	return loss, err
}

// gradients leaves the gradient of the batch's mean loss in the first lane and
// returns that loss.
func (t *Trainer) gradients(b *features.Batch) float64 {
	targets := 0
	for _, p := range b.Targets {
		if p >= 0 {
			targets++
		}
	}
	t.batch, t.scale = b, 1/float32(max(targets, 1))
	t.deal(b)
	t.draw.step(uint64(t.adam.Step))
	kernel.Parallel(len(t.lanes), t.c.Workers, t.run)
	var loss float64
	for _, l := range t.lanes {
		loss += l.loss
	}
	tensor.Reduce(t.grads, t.c.Workers)
	return loss
}

func (t *Trainer) update(loss float64) error {
	sum := t.grads[0]
	norm := sum.Norm()
	if !finite(loss) || !finite(norm) {
		return fmt.Errorf("step %d: loss %v, gradient norm %v: %w; lower the learning rate or set clip_norm", t.adam.Step+1, loss, norm, ErrDiverged)
	}
	if clip := float64(t.c.ClipNorm); clip > 0 && norm > clip {
		t.model.Params().Device().Scale(sum.All(), float32(clip/norm), sum.All())
	}
	t.adam.Update(sum, kernel.AdamW{LR: t.c.LR, Beta1: t.c.Beta1, Beta2: t.c.Beta2, Eps: t.c.Epsilon, Decay: t.c.Decay}, t.c.Workers)
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// deal gives every sequence to a lane: longest first, to the lane with the
// fewest tokens so far. It depends on the batch alone.
func (t *Trainer) deal(b *features.Batch) {
	t.order = t.order[:0]
	for i := range len(b.Offsets) - 1 {
		t.order = append(t.order, int32(i))
	}
	size := func(i int32) int32 { return b.Offsets[i+1] - b.Offsets[i] }
	slices.SortStableFunc(t.order, func(i, j int32) int { return cmp.Compare(size(j), size(i)) })
	for _, l := range t.lanes {
		l.seqs, l.tokens, l.chunks, l.loss = l.seqs[:0], 0, 0, 0
	}
	for _, i := range t.order {
		l := t.lanes[0]
		for _, other := range t.lanes[1:] {
			if other.tokens < l.tokens {
				l = other
			}
		}
		l.seqs = append(l.seqs, i)
		l.tokens += int(size(i))
	}
}

// runLane cuts the lane's sequences into chunks and learns from each.
func (t *Trainer) runLane(i int) {
	l, b := t.lanes[i], t.batch
	for lo := 0; lo < len(l.seqs); {
		l.pack.reset()
		l.targets, l.rows, l.source, l.packed = l.targets[:0], l.rows[:0], l.source[:0], l.packed[:0]
		lastOnly := true
		for ; lo < len(l.seqs) && (len(l.pack.items) == 0 || len(l.pack.items) < t.c.Chunk); lo++ {
			s := l.seqs[lo]
			lastOnly = l.add(b, s) && lastOnly
		}
		stream := mix(t.c.Seed, uint64(t.adam.Step), uint64(i), l.chunks)
		l.chunks++
		t.learn(l, stream, lastOnly)
	}
}

// add packs sequence s of the batch, and says whether its only target is at the
// end.
func (l *lane) add(b *features.Batch, s int32) (lastOnly bool) {
	hi := int(b.Offsets[s+1])
	lo := max(int(b.Offsets[s]), hi-l.pack.length)
	base := len(l.pack.items)
	if lo == hi {
		return true
	}
	l.pack.add(b.Items[lo:hi])
	l.packed = append(l.packed, s)
	lastOnly = true
	for j := lo; j < hi; j++ {
		if p := b.Targets[j]; p >= 0 {
			l.targets = append(l.targets, p)
			l.rows = append(l.rows, int32(base+j-lo))
			l.source = append(l.source, int32(j))
			lastOnly = lastOnly && j == hi-1
		}
	}
	return lastOnly && b.Targets[hi-1] >= 0
}

// learn runs one chunk forward and backward.
func (t *Trainer) learn(l *lane, stream uint64, lastOnly bool) {
	if len(l.targets) == 0 {
		return
	}
	tape := l.tape
	tape.Reset(stream)
	dev := tape.Device()
	l.in = l.pack.input(dev, lastOnly)
	h := t.model.forward(tape, &l.in)
	if len(l.targets) != h.Rows {
		h = tape.Rows(h, dev.Index(l.rows))
	}
	loss := lossInput{states: h, targets: dev.Index(l.targets), scale: t.scale}
	t.draw.fill(dev, l, t.batch, &loss)
	l.loss += t.c.Loss.apply(tape, t.model, loss)
	tape.Backward()
}

// mix makes one number of a seed and counters (the finaliser of SplitMix64,
// Steele et al. 2014, once a word).
func mix(words ...uint64) uint64 {
	var x uint64
	for _, w := range words {
		x += w + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}
