package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/eval"
	"seqrec/internal/registry"
)

// ErrRunning says that another night works on the same registry or in the same
// folder.
var ErrRunning = errors.New("another night is running")

// nightFormat is the version of the state file.
const nightFormat = 1

// nightState is what a night leaves behind after each step, for the run that goes
// on with it. Training keeps a checkpoint of its own beside it.
type nightState struct {
	Format   int        `json:"format"`
	Night    string     `json:"night"`    // names this night
	Identity string     `json:"identity"` // of settings, sources and erasures
	Begun    time.Time  `json:"begun"`
	Warm     string     `json:"warm,omitempty"`     // version whose weights training begins with
	Gathered *Gathering `json:"gathered,omitempty"` // nil before that step is done
	Version  string     `json:"version,omitempty"`  // published; "" before that step is done
}

// save writes the state aside, syncs it and renames it into place.
func (n *nightly) save() error {
	text, err := json.MarshalIndent(&n.state, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the state of the night: %w", err)
	}
	path := n.path(nightStateFile)
	f, err := os.CreateTemp(filepath.Dir(path), nightStateFile+".tmp-*")
	if err != nil {
		return fmt.Errorf("keep the state of the night: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the state of the night: %w", err), os.Remove(f.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

// readNight reads a state; nil when there is none. It also removes what a killed
// writer left.
func readNight(path string) (*nightState, error) {
	if err := sweep(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the night: %w", err)
	}
	var s nightState
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if s.Format != nightFormat || s.Night == "" || s.Identity == "" || s.Begun.IsZero() {
		return nil, fmt.Errorf("read %s: it is not a state of format %d", path, nightFormat)
	}
	return &s, nil
}

// lockNights takes the locks of a registry and a working folder, which it makes
// where missing. The system releases them when the process ends, however it ends.
func lockNights(registry, work string) (unlock func() error, err error) {
	var held []*os.File
	unlock = func() error {
		var faults []error
		for _, f := range held {
			faults = append(faults, f.Close())
		}
		return errors.Join(faults...)
	}
	for _, dir := range []string{registry, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("lock the night: %w", err), unlock())
		}
		f, err := lockNight(filepath.Join(dir, "night.lock"))
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		held = append(held, f)
		if same, err := sameFolder(registry, work); err == nil && same {
			break
		}
	}
	return unlock, nil
}

// holdNights takes the lock of a registry in a bucket.
func holdNights(ctx context.Context, opt NightlyOptions) (held context.Context, release func(), err error) {
	lease := opt.Lease
	lease.Now, lease.Say = opt.Now, opt.Say
	held, release, err = opt.Registry.HoldNights(ctx, lease)
	if errors.Is(err, registry.ErrLocked) {
		err = fmt.Errorf("%w: %w", ErrRunning, err)
	}
	return held, release, err
}

// withLoss adds to the error of a night that it lost its lock, if it did and the error does not say so.
func withLoss(held context.Context, err error) error {
	if cause := context.Cause(held); err != nil && errors.Is(cause, registry.ErrLost) && !errors.Is(err, registry.ErrLost) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func sameFolder(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y), err
}

// lockNight takes one lock and writes our process number into it.
func lockNight(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the night: %w", err)
	}
	if err := tryLock(f); errors.Is(err, ErrRunning) {
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // without it the error says less
		return nil, errors.Join(fmt.Errorf("%w: process %s holds %s; wait for it or end it", ErrRunning, strings.TrimSpace(string(pid)), path), f.Close())
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// hashOfFile is the SHA-256 of a file.
func hashOfFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// summaryOf is what a manifest still tells of the night that published it.
func summaryOf(m *registry.Manifest) (*Summary, error) {
	var kept struct {
		NDCG10   eval.Interval   `json:"ndcg@10"`
		HR10     eval.Interval   `json:"hr@10"`
		MRR      eval.Interval   `json:"mrr"`
		Gate     *eval.Gate      `json:"gate"`
		Training TrainingFigures `json:"training"`
	}
	if err := json.Unmarshal(m.Metrics, &kept); err != nil {
		return nil, fmt.Errorf("version %s: metrics: %w", m.Version, err)
	}
	if kept.Gate == nil || !kept.Gate.Passed && len(kept.Gate.Faults) == 0 {
		return nil, fmt.Errorf("version %s: its manifest has no verdict of the gate", m.Version)
	}
	return &Summary{
		NDCG10: kept.NDCG10.Mean, HR10: kept.HR10.Mean, MRR: kept.MRR.Mean, Interval: kept.NDCG10, Gate: kept.Gate,
		Epochs: kept.Training.Epochs, BestEpoch: kept.Training.BestEpoch, SecondsPerEpoch: kept.Training.SecondsPerEpoch, TokensPerSecond: kept.Training.TokensPerSecond,
		Version: m.Version, Name: m.Name, Seed: m.Seed, Split: m.Split, Items: m.Items, TargetHash: m.TargetHash,
	}, nil
}

// secondOf is what the manifest of a version with two stages still tells of the
// second.
func secondOf(m *registry.Manifest) (*SecondSummary, error) {
	var kept struct {
		Second *SecondSummary `json:"second_stage"`
	}
	if err := json.Unmarshal(m.Metrics, &kept); err != nil {
		return nil, fmt.Errorf("version %s: metrics: %w", m.Version, err)
	}
	s := kept.Second
	if s == nil || s.First == "" || s.Gate == nil || !s.Gate.Passed && len(s.Gate.Faults) == 0 {
		return nil, fmt.Errorf("version %s: its manifest has no verdict of the gate on both stages", m.Version)
	}
	s.Version, s.Promoted = m.Version, false
	return s, nil
}
