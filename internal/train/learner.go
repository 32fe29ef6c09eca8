package train

import (
	"io"

	"seqrec/internal/features"
	"seqrec/internal/seqmodel"
)

// Network makes models together with what trains them.
type Network interface {
	// New starts from fresh weights.
	New() (Learner, error)
	// Load starts from weights that Learner.SaveWeights wrote.
	Load(weights io.ReaderAt, size int64) (Learner, error)
}

// Learner is a model that is being trained. Step and the savers are called by
// one goroutine; rankers are only used between steps.
type Learner interface {
	// Step learns from a batch and returns its mean loss. Its error says that
	// training cannot go on; it wraps seqmodel.ErrDiverged when loss or gradients
	// are not numbers.
	Step(b *features.Batch) (float64, error)
	SetLR(rate float32)
	NewRanker() features.Ranker
	SaveWeights(w io.Writer) error
	// SaveState writes what a resumed run needs beyond the weights.
	SaveState(w io.Writer) error
	LoadState(r io.ReaderAt, size int64) error
}

// Sequence is the Network of seqmodel.
type Sequence struct {
	Model seqmodel.Config
	Train seqmodel.TrainConfig
	Seed  uint64 // of the first weights
	Start *Start // laid over the first weights; nil leaves them
}

var _ Network = Sequence{}

// New implements Network.
func (s Sequence) New() (Learner, error) {
	m, err := seqmodel.New(s.Model, s.Seed)
	if err != nil {
		return nil, err
	}
	if s.Start != nil {
		if _, err := seqmodel.Transfer(m, s.Start.Model, s.Start.From); err != nil {
			return nil, err
		}
	}
	return s.learner(m)
}

// Load implements Network.
func (s Sequence) Load(weights io.ReaderAt, size int64) (Learner, error) {
	m, err := seqmodel.Load(weights, size)
	if err != nil {
		return nil, err
	}
	return s.learner(m)
}

func (s Sequence) learner(m seqmodel.Model) (Learner, error) {
	t, err := seqmodel.NewTrainer(m, s.Train)
	if err != nil {
		return nil, err
	}
	return &sequenceLearner{Trainer: t, model: m}, nil
}

type sequenceLearner struct {
	*seqmodel.Trainer
	model seqmodel.Model
}

func (l *sequenceLearner) NewRanker() features.Ranker    { return l.model.NewRanker() }
func (l *sequenceLearner) SaveWeights(w io.Writer) error { return seqmodel.Save(w, l.model) }
