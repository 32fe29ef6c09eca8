package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Sections of a checkpoint of this package.
const (
	sectionProgress = "progress" // JSON
	sectionWeights  = "weights"  // as Learner.SaveWeights
	sectionState    = "state"    // as Learner.SaveState
	sectionBest     = "best"     // weights of the best epoch; missing before the first
)

// save writes a checkpoint, if the run keeps one.
func (l *loop) save() error {
	if l.opt.Checkpoint == "" {
		return nil
	}
	parts := []part{
		{sectionProgress, func(w io.Writer) error { return json.NewEncoder(w).Encode(&l.state) }},
		{sectionWeights, l.learner.SaveWeights},
		{sectionState, l.learner.SaveState},
	}
	if l.best != nil {
		parts = append(parts, part{sectionBest, func(w io.Writer) error {
			_, err := w.Write(l.best)
			return err
		}})
	}
	if err := writeCheckpoint(l.opt.Checkpoint, parts); err != nil {
		return err
	}
	l.saved = l.now()
	l.tell(Saved)
	return nil
}

// restore goes on from the checkpoint; without one it returns false.
func (l *loop) restore(net Network) (bool, error) {
	f, err := os.Open(l.opt.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	if err := l.restoreFrom(net, f, info.Size()); err != nil {
		return false, fmt.Errorf("resume %s: %w", l.opt.Checkpoint, err)
	}
	return true, nil
}

func (l *loop) restoreFrom(net Network, r io.ReaderAt, size int64) error {
	c, err := openCheckpoint(r, size)
	if err != nil {
		return err
	}
	s, err := readProgress(c, l.opt, l.sampler.Batches())
	if err != nil {
		return err
	}
	weights, err := c.section(sectionWeights)
	if err != nil {
		return err
	}
	state, err := c.section(sectionState)
	if err != nil {
		return err
	}
	if s.Best > 0 {
		best, err := c.section(sectionBest)
		if err != nil {
			return err
		}
		if l.best, err = io.ReadAll(best); err != nil {
			return err
		}
	}
	if l.learner, err = net.Load(weights, weights.Size()); err != nil {
		return err
	}
	if err := l.learner.LoadState(state, state.Size()); err != nil {
		return err
	}
	l.state = *s
	return nil
}

func readProgress(c *checkpoint, opt Options, batches int) (*progress, error) {
	var s progress
	if err := c.progress(&s); err != nil {
		return nil, err
	}
	if err := sameRun(s.Identity, s.CPU, opt.Identity, opt.CPU); err != nil {
		return nil, err
	}
	if s.Epoch < 1 || s.Batch < 0 || s.Batch > batches || s.Step < 0 || s.Best > len(s.Epochs) || s.Epoch != len(s.Epochs)+1 {
		return nil, fmt.Errorf("%w: epoch %d, batch %d of %d, step %d, %d past epochs", ErrCheckpoint, s.Epoch, s.Batch, batches, s.Step, len(s.Epochs))
	}
	s.Why = "" // a run that ended may go on with more epochs or patience
	return &s, nil
}

// progress reads where a run stands.
func (c *checkpoint) progress(into any) error {
	r, err := c.section(sectionProgress)
	if err != nil {
		return err
	}
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return fmt.Errorf("%w: progress: %w", ErrCheckpoint, err)
	}
	return nil
}

// sameRun reports that a checkpoint was made by another run, or with another
// instruction set.
func sameRun(identity, cpu, wantIdentity, wantCPU string) error {
	if identity != wantIdentity {
		return fmt.Errorf("%w: it was made with settings or data %q, this run has %q", ErrOtherRun, identity, wantIdentity)
	}
	if cpu != wantCPU {
		return fmt.Errorf("%w: checkpoint made with %s, this run uses %s; set SEQREC_CPU=%s", ErrOtherCPU, cpu, wantCPU, cpu)
	}
	return nil
}
