package registry

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/v1")

// zeros is a source of "random" bytes that never change.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestGolden publishes with time and chance held still, and wants the bytes of
// testdata/v1: a registry written by the first release, kept so that it stays readable.
func TestGolden(t *testing.T) {
	c := &clock{now: epoch}
	dir := t.TempDir()
	if *update {
		dir = filepath.Join("testdata", "v1")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	r := mustOpen(t, dir, Options{Now: c.Now, Entropy: zeros{}, TempAge: -1, disk: disk{noSync: true}})
	id := mustPublish(t, r, "weights of the first release")
	mustPromote(t, r, id)
	for _, name := range []string{currentFile, historyFile, id + "/" + manifestFile, id + "/" + checksumFile, id + "/" + WeightsFile, id + "/" + VocabFile} {
		got, err := os.ReadFile(r.path(name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is now\n%s\nwas\n%s", name, got, want)
		}
	}
}

func TestOldSampleStaysReadable(t *testing.T) {
	r := mustOpen(t, filepath.Join("testdata", "v1"), Options{disk: disk{noSync: true}})
	id, err := r.Current()
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	if m := v.Manifest; m.Kind != "seqmodel" || m.Items != 2 || m.Seed != 7 || !strings.Contains(string(m.Config), "width") || !m.Data.To.Equal(epoch) {
		t.Errorf("manifest %+v", m)
	}
	if faults, err := r.Check(); err != nil || len(faults) != 0 {
		t.Errorf("check: %v", errors.Join(err, faults.Err()))
	}
}
