package recommend

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"seqrec/internal/baseline"
	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
	"seqrec/internal/seqmodel/lifelong"
)

// FromRegistry gives the versions of a registry. Sequence models and baselines
// are loaded alike.
func FromRegistry(r *registry.Registry) Versions { return published{r} }

type published struct{ r *registry.Registry }

// The kinds of model a manifest may name.
const (
	kindSequence = "seqmodel"
	kindBaseline = "baseline"
)

// sequence tells how far back a sequence model looks.
type sequence struct {
	seqmodel.Model
	length int
}

// Window returns how many of the newest events the model reads.
func (s sequence) Window() int { return s.length }

// relative is an error of the registry without the folder's place on this
// machine, which is nobody's business outside.
type relative struct {
	error
	folder string
}

func (e relative) Error() string {
	return strings.ReplaceAll(e.error.Error(), e.folder+string(filepath.Separator), "")
}

func (e relative) Unwrap() error { return e.error }

// Load implements Source.
func (p published) Load(version string) (*Loaded, error) {
	l, err := p.load(version)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", ErrUnknownModel, err)
	case err != nil:
		return nil, relative{err, p.r.Dir()}
	}
	return l, nil
}

func (p published) load(version string) (*Loaded, error) {
	v, err := p.r.Load(version)
	if err != nil {
		return nil, err
	}
	l := &Loaded{Info: infoOf(&v.Manifest)}
	l.Info.Version = v.ID
	read := []struct {
		file     string
		optional bool
		fn       func(io.Reader) error
	}{
		{registry.VocabFile, false, func(in io.Reader) (err error) { l.Vocab, err = features.ReadVocab(in); return err }},
		{registry.PopularFile, true, func(in io.Reader) (err error) { l.Counts, err = features.ReadCounts(in); return err }},
		{registry.ItemsFile, true, func(in io.Reader) (err error) { l.Items, err = readItems(in); return err }},
		{registry.GoldenFile, true, func(in io.Reader) (err error) { l.Golden, err = features.ReadGolden(in); return err }},
	}
	for _, f := range read {
		if f.optional && !v.Has(f.file) {
			continue
		}
		if err := readFile(v, f.file, f.fn); err != nil {
			return nil, err
		}
	}
	if err := loadWeights(l, v); err != nil {
		return nil, err
	}
	if err := loadReranker(l, v); err != nil {
		return nil, err
	}
	return l, nil
}

func loadWeights(l *Loaded, v *registry.Version) error {
	file, err := v.Open(registry.WeightsFile)
	if err != nil {
		return fmt.Errorf("open weights: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	size := v.Size(registry.WeightsFile)
	switch v.Manifest.Kind {
	case kindSequence:
		m, err := seqmodel.Load(file, size)
		if err != nil {
			return fmt.Errorf("read weights: %w", err)
		}
		l.Model = sequence{m, m.Config().Length}
	case kindBaseline:
		m, err := baseline.Load(file, size)
		if err != nil {
			return fmt.Errorf("read weights: %w", err)
		}
		l.Model = m
	default:
		return fmt.Errorf("models of kind %q are not known to this program", v.Manifest.Kind)
	}
	return nil
}

// loadReranker loads the second stage of a version that has one.
func loadReranker(l *Loaded, v *registry.Version) error {
	if v.Manifest.Reranker == nil {
		return nil
	}
	file, err := v.Open(registry.RerankerFile)
	if err != nil {
		return fmt.Errorf("open reranker: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	m, err := lifelong.Load(file, v.Size(registry.RerankerFile))
	if err != nil {
		return fmt.Errorf("read reranker: %w", err)
	}
	l.Reranker, err = newReranker(m, v.Manifest.Reranker)
	return err
}

// readFile reads one whole file of a version.
func readFile(v *registry.Version, name string, fn func(io.Reader) error) error {
	file, err := v.Open(name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer file.Close() //nolint:errcheck // read only
	if err := fn(bufio.NewReader(file)); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// maxItemLine bounds a line of the items file, in bytes.
const maxItemLine = 1 << 20

// readItems reads lines of the form {"item":id,"title":...,"categories":[...]}.
// A line that is not of that form spoils the file: it was written by us.
func readItems(in io.Reader) ([]CatalogItem, error) {
	var items []CatalogItem
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxItemLine)
	for n := 1; lines.Scan(); n++ {
		var item features.Item
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if d := event.CheckID(item.ID); d != "" {
			return nil, fmt.Errorf("line %d: item %s", n, d)
		}
		items = append(items, CatalogItem{ID: event.ItemID(item.ID), Title: item.Title, Categories: item.Categories})
	}
	return items, lines.Err()
}

// List implements Source.
func (p published) List() ([]ModelInfo, error) {
	list, err := p.r.List()
	if err != nil {
		return nil, err
	}
	infos := make([]ModelInfo, len(list))
	for i, v := range list {
		infos[i] = infoOf(&v.Manifest)
		infos[i].Version, infos[i].Bytes = v.Version, v.Bytes
		if v.Fault != nil {
			infos[i].Problem = relative{v.Fault, p.r.Dir()}.Error()
		}
	}
	return infos, nil
}

func infoOf(m *registry.Manifest) ModelInfo {
	info := ModelInfo{
		Name: m.Name, Version: m.Version, Kind: m.Kind, Items: m.Items, Events: m.Data.Events, Users: m.Data.Users,
		Metrics: m.Metrics, Config: m.Config, Bytes: m.Bytes(),
	}
	if !m.Created.IsZero() {
		info.Created = m.Created.UTC().Format(time.RFC3339)
	}
	return info
}

// Current implements Source.
func (p published) Current() (string, error) {
	version, err := p.r.Current()
	if errors.Is(err, registry.ErrNoCurrent) {
		return "", nil
	}
	return version, err
}

// Promote implements Versions.
func (p published) Promote(version string) error {
	return unknownIfMissing(p.r.Promote(version))
}

// Past implements Versions.
func (p published) Past() ([]string, error) { return p.r.Past() }

// Rollback implements Versions.
func (p published) Rollback(from string) (string, error) {
	version, err := p.r.RollbackFrom(from)
	if errors.Is(err, registry.ErrMoved) {
		return "", fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return version, unknownIfMissing(err)
}

func unknownIfMissing(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrUnknownModel, err)
	}
	return err
}

// Watch implements Versions.
func (p published) Watch(ctx context.Context, every time.Duration, accept func(version string) error, fault func(error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	return p.r.Follow(ctx, ticker.C, accept, fault)
}
