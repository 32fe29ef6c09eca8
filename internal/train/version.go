package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"seqrec/internal/baseline"
	"seqrec/internal/eval"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
)

// Kinds of models in a manifest.
const (
	KindSequence = "seqmodel"
	KindBaseline = "baseline"
)

// Model is what all models can do that can be judged and published.
type Model interface {
	Items() int
	NewRanker() features.Ranker
	Describe() string
}

// Published is a version of the registry, ready to be judged.
type Published struct {
	Version string
	Name    string
	Plan    Plan
	Model   Model      // the first stage
	Second  *TwoStages // both stages; nil when the version has one
	Vocab   *features.Vocab
	Counts  []int64 // training events of each item
	Hash    string  // of the test targets it was judged on
	// TrainedTo is a time after which it has learned from no event; zero when the
	// data had no times.
	TrainedTo time.Time // of the first stage
	// SecondTo is that of the second stage; zero when the version has none, too.
	SecondTo time.Time
	// Training tells how it was trained; zero for a baseline.
	Training TrainingFigures
}

// Served is what the service answers with: both stages, unless there is one or
// the other has nothing to say.
func (p *Published) Served() Model {
	if p.Second != nil && p.Second.Blend > 0 {
		return p.Second
	}
	return p.Model
}

// Whole is the version with all its stages, those too that have nothing to say.
func (p *Published) Whole() Model {
	if p.Second != nil {
		return p.Second
	}
	return p.Model
}

// TrainingFigures are what a manifest keeps of a run.
type TrainingFigures struct {
	Epochs          int     `json:"epochs"`
	BestEpoch       int     `json:"best_epoch"`
	SecondsPerEpoch float64 `json:"seconds_per_epoch"`
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// Open verifies and loads a version, both stages where it has two; name may be "current" or "latest".
func Open(reg *registry.Registry, name string) (*Published, error) {
	version, err := reg.Resolve(name)
	if err != nil {
		return nil, err
	}
	v, err := reg.Load(version)
	if err != nil {
		return nil, err
	}
	p := &Published{Version: version, Name: v.Manifest.Name, Hash: v.Manifest.TargetHash, TrainedTo: v.Manifest.Data.TrainTo, SecondTo: secondTo(&v.Manifest)}
	if p.TrainedTo.IsZero() { // published before this was kept
		p.TrainedTo = v.Manifest.Data.To
	}
	if len(v.Manifest.Config) > 0 {
		if err := json.Unmarshal(v.Manifest.Config, &p.Plan); err != nil {
			return nil, fmt.Errorf("open version %s: config: %w", version, err)
		}
	}
	var kept struct {
		Training TrainingFigures `json:"training"`
	}
	if len(v.Manifest.Metrics) > 0 {
		if err := json.Unmarshal(v.Manifest.Metrics, &kept); err != nil {
			return nil, fmt.Errorf("open version %s: metrics: %w", version, err)
		}
	}
	p.Training = kept.Training
	if err := p.load(v); err != nil {
		return nil, fmt.Errorf("open version %s: %w", version, err)
	}
	return p, nil
}

func (p *Published) load(v *registry.Version) (err error) {
	if p.Model, err = openModel(v); err != nil {
		return err
	}
	if p.Second, err = openSecond(v, p.Model); err != nil {
		return err
	}
	if err := readFile(v, registry.VocabFile, func(r io.Reader) error {
		p.Vocab, err = features.ReadVocab(r)
		return err
	}); err != nil {
		return err
	}
	if err := readFile(v, registry.PopularFile, func(r io.Reader) error {
		p.Counts, err = features.ReadCounts(r)
		return err
	}); err != nil {
		return err
	}
	if n := p.Model.Items(); p.Vocab.Len() != n || len(p.Counts) != n {
		return fmt.Errorf("the model has %d items, the vocabulary %d, the counts %d", n, p.Vocab.Len(), len(p.Counts))
	}
	return nil
}

func openModel(v *registry.Version) (m Model, err error) {
	f, err := v.Open(registry.WeightsFile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := v.Size(registry.WeightsFile)
	switch v.Manifest.Kind {
	case KindSequence:
		return seqmodel.Load(f, size)
	case KindBaseline:
		return baseline.Load(f, size)
	}
	return nil, fmt.Errorf("models of kind %q are unknown to this program", v.Manifest.Kind)
}

func readFile(v *registry.Version, name string, read func(io.Reader) error) (err error) {
	f, err := v.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// publication is what becomes a version folder.
type publication struct {
	manifest registry.Manifest
	weights  func(io.Writer) error
	vocab    *features.Vocab
	counts   []int64
	items    []features.Item // in order of the vocabulary; may be empty
	report   *eval.Report
	golden   []features.Golden
	origin   *Origin // nil when nothing is known of it
}

// publish writes a version and gives its name.
func (p *publication) publish(reg *registry.Registry) (version string, err error) {
	d, err := reg.Begin()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Abort()) }() // does nothing once published
	p.report.Version = d.Version()
	files := []part{
		{registry.WeightsFile, p.weights},
		{registry.VocabFile, func(w io.Writer) error { return features.WriteVocab(w, p.vocab) }},
		{registry.PopularFile, func(w io.Writer) error { return features.WriteCounts(w, p.counts) }},
		{registry.ReportHTMLFile, p.report.WriteHTML},
		{registry.ReportJSONFile, p.report.WriteJSON},
	}
	if len(p.items) > 0 {
		files = append(files, part{registry.ItemsFile, func(w io.Writer) error { return features.WriteItems(w, p.items) }})
	}
	if len(p.golden) > 0 {
		files = append(files, part{registry.GoldenFile, writeGolden(p.golden)})
	}
	if p.origin != nil && p.origin.Erased != nil {
		files = append(files, part{registry.ErasuresFile, p.origin.Erased.write})
	}
	for _, f := range files {
		if err := create(d, f); err != nil {
			return "", fmt.Errorf("publish %s: %w", f.name, err)
		}
	}
	return d.Publish(p.manifest)
}

func create(d *registry.Draft, f part) (err error) {
	w, err := d.Create(f.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return f.write(w)
}
