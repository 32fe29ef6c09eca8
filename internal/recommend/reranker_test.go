package recommend

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel/lifelong"
)

// smallDARE has fresh weights, large enough that scores differ.
func smallDARE(t testing.TB, items, kinds int) *lifelong.Model {
	t.Helper()
	m, err := lifelong.New(lifelong.Config{Items: items, Kinds: kinds, Width: 4, Length: 50, Select: 5, Hidden: [2]int{8, 4}, InitStd: 0.3, Gaps: true}, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// withReranker adds a second stage to a version.
func withReranker(t testing.TB, m *lifelong.Model, set registry.Reranker, harm func(file []byte) []byte) func(string, *registry.Manifest) {
	t.Helper()
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return func(dir string, manifest *registry.Manifest) {
		file := b.Bytes()
		if harm != nil {
			file = harm(file)
		}
		if err := os.WriteFile(filepath.Join(dir, registry.RerankerFile), file, 0o644); err != nil {
			t.Fatal(err)
		}
		manifest.Reranker = &set
	}
}

// TestRerankerFolders: a second stage that does not fit its version is refused, and
// the version with it.
func TestRerankerFolders(t *testing.T) {
	kinds := []string{"", "view", "buy"}
	cut := func(file []byte) []byte { return file[:len(file)-4] }
	wide := func(file []byte) []byte {
		return bytes.Replace(file, []byte(`\"width\":4`), []byte(`\"width\":8`), 1)
	}
	for name, c := range map[string]struct {
		model *lifelong.Model
		set   registry.Reranker
		harm  func([]byte) []byte
		says  string // "": it serves
	}{
		"fits":                    {smallDARE(t, worldItems, 3), registry.Reranker{Kinds: kinds, Blend: 0.5}, nil, ""},
		"without kinds":           {smallDARE(t, worldItems, 0), registry.Reranker{Blend: 0.5}, nil, ""},
		"blend of nothing":        {smallDARE(t, worldItems, 0), registry.Reranker{}, nil, ""},
		"other catalogue":         {smallDARE(t, worldItems+1, 0), registry.Reranker{Blend: 1}, nil, "the reranker has 131 items, the vocabulary 130"},
		"kinds unnamed":           {smallDARE(t, worldItems, 3), registry.Reranker{Blend: 1}, nil, "3 kinds of behaviour, the manifest names 0"},
		"kinds unlearned":         {smallDARE(t, worldItems, 0), registry.Reranker{Blend: 1, Kinds: kinds}, nil, "0 kinds of behaviour, the manifest names 3"},
		"cut":                     {smallDARE(t, worldItems, 0), registry.Reranker{Blend: 1}, cut, "read reranker"},
		"empty":                   {smallDARE(t, worldItems, 0), registry.Reranker{Blend: 1}, func([]byte) []byte { return nil }, "read reranker"},
		"tables of another width": {smallDARE(t, worldItems, 0), registry.Reranker{Blend: 1}, wide, "read reranker"},
	} {
		t.Run(name, func(t *testing.T) {
			reg, err := registry.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			version := publishModel(t, reg, kindSequence, withReranker(t, c.model, c.set, c.harm))
			s, err := New(Config{Workers: 2}, newMemStore(), FromRegistry(reg))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Promote(t.Context(), version)
			if c.says == "" {
				if err != nil || (s.current.Load().second != nil) != (c.set.Blend > 0) {
					t.Errorf("%v, second stage %v", err, s.current.Load().second)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
		})
	}
}

// TestRerankerLoaded: what a caller of Serve may get wrong.
func TestRerankerLoaded(t *testing.T) {
	for name, r := range map[string]*Reranker{
		"blend below zero": {Model: smallDARE(t, 10, 0), Blend: -1},
		"blend no number":  {Model: smallDARE(t, 10, 0), Blend: math.NaN()},
		"blend infinite":   {Model: smallDARE(t, 10, 0), Blend: math.Inf(1)},
		"catalogue":        {Model: smallDARE(t, 9, 0), Blend: 1},
		"kind code":        {Model: smallDARE(t, 10, 2), Blend: 1, Kinds: map[event.Kind]int32{"": 0, "view": 2}},
		"no numbers":       {Model: huge(t, 10), Blend: 1},
	} {
		s, err := New(Config{}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := load(newRing(10), "v1")
		l.Reranker = r
		if err := s.Serve(t.Context(), l); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// huge has weights so large that log odds overflow.
func huge(t testing.TB, items int) *lifelong.Model {
	t.Helper()
	m := smallDARE(t, items, 0)
	for _, p := range m.Params().List() {
		for i := range p.Val.V {
			p.Val.V[i] *= 1e30
		}
	}
	return m
}
