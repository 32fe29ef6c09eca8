package registry

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"seqrec/internal/bucket"
)

// mirrored opens a mirror of a bucket in a folder of its own.
func mirrored(t *testing.T, name string) (*Registry, *Mirror) {
	t.Helper()
	b, err := bucket.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	reg, m, err := OpenMirror(b, filepath.Join(t.TempDir(), "mirror"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return reg, m
}

// publishIn publishes a small version.
func publishIn(t *testing.T, reg *Registry, weights string) string {
	t.Helper()
	d, err := reg.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{WeightsFile: weights, VocabFile: "\"a\"\n"} {
		if err := os.WriteFile(filepath.Join(d.Dir(), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	version, err := d.Publish(Manifest{Kind: "baseline", Items: 1})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func mirrorHas(t *testing.T, reg *Registry, want string) {
	t.Helper()
	got, err := reg.Current()
	if errors.Is(err, ErrNoCurrent) {
		err = nil
	}
	if err != nil || got != want {
		t.Errorf("current is %q, %v; want %q", got, err, want)
	}
	if want != "" {
		if _, err := reg.Load(want); err != nil {
			t.Error(err)
		}
	}
}

// buckets are a bucket of each kind, by URL.
func buckets(t *testing.T) map[string]string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("models"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "anybody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "nothing")
	return map[string]string{
		"folder": t.TempDir(),
		"s3":     "s3://models/night?region=eu-central-1&use_path_style=true&endpoint=" + server.URL,
	}
}

// What one machine publishes, promotes and rolls back, another one serves.
func TestMirror(t *testing.T) {
	for kind, name := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			writer, _ := mirrored(t, name)
			reader, m := mirrored(t, name)
			pull := func(want string) {
				t.Helper()
				if err := m.Pull(t.Context()); err != nil {
					t.Fatal(err)
				}
				mirrorHas(t, reader, want)
			}
			if err := m.Pull(t.Context()); !errors.Is(err, ErrNoCurrent) {
				t.Fatalf("an empty bucket: %v", err)
			}
			first := publishIn(t, writer, "first")
			if err := m.Pull(t.Context()); !errors.Is(err, ErrNoCurrent) {
				t.Fatalf("published, not promoted: %v", err)
			}
			if err := writer.Promote(first); err != nil {
				t.Fatal(err)
			}
			pull(first)
			second := publishIn(t, writer, "second")
			pull(first)
			if err := writer.Promote(second); err != nil {
				t.Fatal(err)
			}
			pull(second)
			if _, err := reader.Rollback(); err != nil { // its history is everybody's, as its current is
				t.Fatal(err)
			}
			again, m2 := mirrored(t, name)
			if err := m2.Pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			mirrorHas(t, again, first)
			pull(first)
		})
	}
}

// A bucket that holds less or other than was published changes nothing, and is
// taken once it is mended.
func TestMirrorRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(dir string) error // of the version in the bucket
		want  error
	}{
		{"no manifest", func(dir string) error { return os.Remove(filepath.Join(dir, manifestFile)) }, ErrIncomplete},
		{"no checksum", func(dir string) error { return os.Remove(filepath.Join(dir, checksumFile)) }, ErrIncomplete},
		{"a file is missing", func(dir string) error { return os.Remove(filepath.Join(dir, VocabFile)) }, ErrIncomplete},
		{"a file is cut short", func(dir string) error { return os.Truncate(filepath.Join(dir, WeightsFile), 3) }, ErrCorrupt},
		{"a file is another", func(dir string) error { return os.WriteFile(filepath.Join(dir, WeightsFile), []byte("sekond"), 0o644) }, ErrCorrupt},
		{"manifest is another", func(dir string) error { return os.WriteFile(filepath.Join(dir, manifestFile), []byte("{}"), 0o644) }, ErrCorrupt},
		{"newer format", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"format_version":99}`), 0o644)
		}, ErrNewerFormat},
		{"current names nothing", func(dir string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(dir), currentFile), []byte("../../etc\n"), 0o644)
		}, ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := t.TempDir()
			writer, _ := mirrored(t, name)
			reader, m := mirrored(t, name)
			first := publishIn(t, writer, "first")
			if err := errors.Join(writer.Promote(first), m.Pull(t.Context())); err != nil {
				t.Fatal(err)
			}
			second := publishIn(t, writer, "second")
			if err := writer.Promote(second); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(filepath.Join(name, second)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := m.Pull(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("pull: %v, want %v", err, tt.want)
				}
				mirrorHas(t, reader, first)
			}
			if names, _ := filepath.Glob(filepath.Join(reader.Dir(), tempPrefix+"*")); len(names) > 0 {
				t.Errorf("left behind: %v", names)
			}
			if err := os.RemoveAll(filepath.Join(name, second)); err != nil {
				t.Fatal(err)
			}
			if err := writer.Promote(second); err != nil { // stores what is missing again
				t.Fatal(err)
			}
			for range maxWait {
				if err := m.Pull(t.Context()); err == nil {
					break
				}
			}
			mirrorHas(t, reader, second)
		})
	}
}

// An upload that fails on its way shows nothing: current goes last.
func TestPushThatFailsShowsNothing(t *testing.T) {
	name := t.TempDir()
	writer, _ := mirrored(t, name)
	first := publishIn(t, writer, "first")
	if err := writer.Promote(first); err != nil {
		t.Fatal(err)
	}
	second := publishIn(t, writer, "second")
	// The weights, the last of the files, cannot be stored: a folder has their name.
	weights := filepath.Join(name, second, WeightsFile)
	if err := errors.Join(os.RemoveAll(filepath.Join(name, second)), os.MkdirAll(filepath.Join(weights, "x"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Promote(second); err == nil {
		t.Fatal("no error")
	}
	reader, m := mirrored(t, name)
	if err := m.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	mirrorHas(t, reader, first)
	if _, err := os.Stat(filepath.Join(name, second, manifestFile)); err == nil {
		t.Error("the manifest was stored before the files")
	}
}

// What another machine has promoted in the bucket is not overridden by who has not
// seen it.
func TestPromoteOverInBucket(t *testing.T) {
	for kind, name := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			here, _ := mirrored(t, name)
			there, m := mirrored(t, name)
			first := publishIn(t, here, "first")
			if err := here.PromoteOver("", first); err != nil { // nothing is in the bucket
				t.Fatal(err)
			}
			if err := m.Pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			theirs, ours := publishIn(t, there, "theirs"), publishIn(t, here, "ours")
			if err := there.PromoteOver(first, theirs); err != nil {
				t.Fatal(err)
			}
			if err := here.PromoteOver(first, ours); !errors.Is(err, ErrMoved) {
				t.Errorf("promoted over what it has not seen: %v", err)
			}
			mirrorHas(t, here, theirs)
			if err := here.PromoteOver(theirs, ours); err != nil {
				t.Error(err)
			}
			mirrorHas(t, here, ours)
			if !here.Mirrors() || newRegistry(t).Mirrors() {
				t.Error("it is not known which registry is in a bucket")
			}
		})
	}
}
