package seqmodel

import (
	"fmt"
	"slices"

	"seqrec/internal/tensor"
)

// LossKind names a training loss.
type LossKind string

// The losses. With h a state, p its target and s the scores of items:
const (
	// CrossEntropy is logsumexp(s) - s_p over the whole catalogue.
	CrossEntropy LossKind = "ce"
	// SampledCrossEntropy is the same over p and Negatives items that one batch
	// shares, uniform or by popularity; a negative that is p is masked.
	SampledCrossEntropy LossKind = "sampled"
	// BinaryCrossEntropy is softplus(-s_p) + sum softplus(s_n), divided by
	// Negatives+1, against uniform items outside the user's whole training history
	// (TrainConfig.Histories), as SASRec draws one.
	BinaryCrossEntropy LossKind = "bce"
	// Generalised is gBCE: the positive term weighs Beta(), which undoes the
	// overconfidence that sampling causes (Petrov & Macdonald 2023, eq. 9).
	Generalised LossKind = "gbce"
)

// Loss configures a training loss.
type Loss struct {
	Kind        LossKind `json:"kind"`
	Negatives   int      `json:"negatives,omitempty"`   // default 1 (bce), 256 (gbce), 1000 (sampled)
	Calibration *float64 `json:"calibration,omitempty"` // gBCE's t: at 0 every term weighs as in BCE, at 1 calibrated; nil is 0.75
	Popularity  float64  `json:"popularity,omitempty"`  // sampled: draw by (count+1)^Popularity; 0 is uniform
	LogQ        bool     `json:"log_q,omitempty"`       // sampled by popularity: take log q off each logit
}

// WithDefaults fills in what is zero or nil.
func (l Loss) WithDefaults() Loss {
	setDefault(&l.Kind, CrossEntropy)
	switch l.Kind {
	case BinaryCrossEntropy:
		setDefault(&l.Negatives, 1)
	case Generalised:
		setDefault(&l.Negatives, 256)
		setDefault(&l.Calibration, new(0.75))
	case SampledCrossEntropy:
		setDefault(&l.Negatives, 1000)
	}
	return l
}

// Validate reports settings that make no sense.
func (l Loss) Validate() error {
	kinds := []LossKind{CrossEntropy, SampledCrossEntropy, BinaryCrossEntropy, Generalised}
	if !slices.Contains(kinds, l.Kind) {
		return fmt.Errorf("loss %q is unknown, want one of %v", l.Kind, kinds)
	}
	if l.Kind != CrossEntropy && (l.Negatives < 1 || l.Negatives > 1<<16) {
		return fmt.Errorf("loss %s with %d negatives, want 1 to 65536", l.Kind, l.Negatives)
	}
	if t := l.Calibration; t != nil && !(*t >= 0 && *t <= 1) {
		return fmt.Errorf("loss calibration is %v, want 0 to 1", *t)
	}
	if !(l.Popularity >= 0 && l.Popularity <= 4) {
		return fmt.Errorf("loss popularity power is %v, want 0 (uniform) to 4", l.Popularity)
	}
	if l.LogQ && (l.Kind != SampledCrossEntropy || l.Popularity == 0) {
		return fmt.Errorf("log_q corrects popularity sampling: it needs the sampled loss with popularity above 0")
	}
	return nil
}

// Beta is the weight of the positive term of gBCE for a catalogue of n items:
// with alpha = Negatives/(n-1), Beta = alpha*(t*(1-1/alpha) + 1/alpha), which
// is 1 - t*(1-alpha). The loss must be complete, as WithDefaults makes it.
func (l Loss) Beta(n int) float32 {
	if l.Kind != Generalised || n < 2 {
		return 1
	}
	alpha := min(1, float64(l.Negatives)/float64(n-1))
	return float32(1 - *l.Calibration*(1-alpha))
}

// lossInput is one chunk as a loss sees it.
type lossInput struct {
	states    *tensor.Var
	targets   tensor.Index // one a state
	negatives tensor.Index // shared, or Negatives a state
	logQ      tensor.Mat
	scale     float32 // 1/targets of the whole batch
}

// apply runs the loss of model m on a chunk: it returns the chunk's share of
// the batch's mean loss and, on a learning tape, seeds the gradients.
func (l Loss) apply(t *tensor.Tape, m Model, in lossInput) float64 {
	table, bias := m.head()
	switch l.Kind {
	case CrossEntropy:
		return t.CrossEntropy(in.states, table, bias, in.targets, in.scale)
	case SampledCrossEntropy:
		return t.SampledCrossEntropy(in.states, table, bias, in.targets, in.negatives, in.logQ, in.scale)
	case BinaryCrossEntropy, Generalised:
		return t.BinaryCrossEntropy(in.states, table, bias, in.targets, in.negatives, l.Beta(m.Items()), in.scale/float32(l.Negatives+1))
	}
	panic("seqmodel: unknown loss " + string(l.Kind))
}
