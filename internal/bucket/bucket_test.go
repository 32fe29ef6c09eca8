package bucket

import (
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// places are a bucket of each kind; that of S3 is reached by its real client over a real connection.
func places(t *testing.T) map[string]string {
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
		"path": t.TempDir(),
		"file": "file://" + filepath.ToSlash(t.TempDir()),
		"s3":   "s3://models/some/prefix?region=eu-central-1&use_path_style=true&endpoint=" + server.URL,
	}
}

func TestBucket(t *testing.T) {
	for kind, name := range places(t) {
		t.Run(kind, func(t *testing.T) {
			b, err := Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte("from a file"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(b.Write(t.Context(), "a/two", []byte("2")), b.Write(t.Context(), "a/two", []byte("two")),
				b.Store(t.Context(), "a/one", file), b.Write(t.Context(), "a/.hidden", nil), b.Write(t.Context(), "b", nil)); err != nil {
				t.Fatal(err)
			}
			if names, err := b.List(t.Context(), "a/"); err != nil || !slices.Equal(names, []string{"a/one", "a/two"}) {
				t.Errorf("list %v, %v", names, err)
			}
			if data, err := b.Read(t.Context(), "a/two", 3); err != nil || string(data) != "two" {
				t.Errorf("read %q, %v", data, err)
			}
			if _, err := b.Read(t.Context(), "a/two", 2); !errors.Is(err, ErrTooLong) || !strings.Contains(err.Error(), "more than 2 bytes") {
				t.Errorf("read beyond the limit: %v", err)
			}
			if _, err := b.Read(t.Context(), "none", 2); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "region=") {
				t.Errorf("read what is not there: %v", err)
			}
			if err := b.Create(t.Context(), "c", []byte("first")); err != nil {
				t.Fatal(err)
			}
			if err := b.Create(t.Context(), "c", []byte("second")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("created what is there: %v", err)
			}
			if data, err := b.Read(t.Context(), "c", 10); err != nil || string(data) != "first" {
				t.Errorf("after creating twice: %q, %v", data, err)
			}
			if err := errors.Join(b.Remove(t.Context(), "c"), b.Remove(t.Context(), "c"), b.Create(t.Context(), "c", nil)); err != nil {
				t.Errorf("removed twice and created: %v", err)
			}
			to := filepath.Join(t.TempDir(), "fetched")
			if err := b.Fetch(t.Context(), "a/one", to); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(to); err != nil || string(data) != "from a file" {
				t.Errorf("fetched %q, %v", data, err)
			}
			if err := b.Fetch(t.Context(), "none", to+"2"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("fetch what is not there: %v", err)
			}
			if _, err := os.Stat(to + "2"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a fetch that failed left a file: %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, says := range map[string]string{
		"ftp://host/dir": "want file or s3", "file://dir": "three slashes", filepath.Join(t.TempDir(), "none"): "none", "s3://": "open s3:",
	} {
		if _, err := Open(t.Context(), name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one saying %q", name, err, says)
		}
	}
}
