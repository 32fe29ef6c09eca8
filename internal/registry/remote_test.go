package registry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"seqrec/internal/bucket"
)

// What the bucket holds can be listed, promoted and rolled back to from a machine that has none of it.
func TestRemote(t *testing.T) {
	for kind, name := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			writer, _ := mirrored(t, name)
			_, fresh := mirrored(t, name)
			if infos, err := fresh.List(t.Context()); err != nil || len(infos) > 0 {
				t.Fatalf("an empty bucket: %v, %v", infos, err)
			}
			var versions []string
			for i := range 4 {
				versions = append(versions, publishIn(t, writer, fmt.Sprint("weights ", i)))
				if i < 3 {
					if err := writer.Promote(versions[i]); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := []string{"", "current", "rollback", ""} // newest first
			infos, err := fresh.List(t.Context())
			if err != nil || len(infos) != len(versions) {
				t.Fatalf("%v, %v; want 4 versions", infos, err)
			}
			for i, info := range infos {
				if version := versions[3-i]; info.Version != version || info.state("") != want[i] || info.Fault != nil || info.Manifest.Items != 1 || info.Bytes == 0 {
					t.Errorf("line %d: %v, %+v; want %s %q", i, info, info.Manifest, version, want[i])
				}
			}
			// Each of these is another machine.
			for _, step := range []struct{ name, want string }{{"latest", versions[3]}, {versions[0], versions[0]}, {"current", versions[0]}} {
				reg, m := mirrored(t, name)
				got, err := m.Resolve(t.Context(), step.name)
				if err != nil || got != step.want {
					t.Fatalf("%s is %s, %v; want %s", step.name, got, err, step.want)
				}
				if err := m.Pull(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := reg.Promote(got); err != nil {
					t.Fatal(err)
				}
			}
			for _, want := range []string{versions[3], versions[2], versions[1], versions[0]} {
				reg, m := mirrored(t, name)
				if err := m.Pull(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, err := m.Rollback(t.Context()); err != nil || got != want {
					t.Fatalf("rolled back to %s, %v; want %s", got, err, want)
				}
				mirrorHas(t, reg, want)
			}
			_, m := mirrored(t, name)
			if err := m.Pull(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Rollback(t.Context()); !errors.Is(err, ErrNotFound) {
				t.Errorf("rolled back behind the first: %v", err)
			}
		})
	}
}

// What is damaged in the bucket is listed with its fault, is never promoted, and rolling back passes over it.
func TestRemoteDamaged(t *testing.T) {
	place := t.TempDir()
	b, err := bucket.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	writer, _ := mirrored(t, place)
	var versions []string
	for i := range 5 {
		versions = append(versions, publishIn(t, writer, fmt.Sprint("weights ", i)))
		if err := writer.Promote(versions[i]); err != nil {
			t.Fatal(err)
		}
	}
	damage := map[string]struct {
		file, text string
		remove     bool
		listed     error
		resolved   error
	}{
		versions[1]: {file: manifestFile, text: "{", listed: ErrCorrupt, resolved: ErrCorrupt},
		versions[2]: {file: WeightsFile, remove: true, listed: ErrIncomplete, resolved: ErrIncomplete},
		versions[3]: {file: WeightsFile, text: "weights 9", resolved: ErrCorrupt}, // of the same length
	}
	for version, d := range damage {
		if d.remove {
			err = os.Remove(filepath.Join(place, version, d.file))
		} else {
			err = b.Write(t.Context(), version+"/"+d.file, []byte(d.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Write(t.Context(), "notes/readme.txt", []byte("not a version")); err != nil {
		t.Fatal(err)
	}
	reg, m := mirrored(t, place)
	infos, err := m.List(t.Context())
	if err != nil || len(infos) != len(versions) {
		t.Fatalf("%v, %v", infos, err)
	}
	for _, info := range infos {
		if want := damage[info.Version].listed; !errors.Is(info.Fault, want) {
			t.Errorf("%s is listed with %v, want %v", info.Version, info.Fault, want)
		}
	}
	for version, d := range damage {
		if _, err := m.Resolve(t.Context(), version); !errors.Is(err, d.resolved) {
			t.Errorf("%s: %v, want %v", version, err, d.resolved)
		}
	}
	for _, unknown := range []string{"01JC3V9Z6J2T5W8Q4X7N1M0KRE", "notes", "../x", ""} {
		if _, err := m.Resolve(t.Context(), unknown); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v, want %v", unknown, err, ErrNotFound)
		}
	}
	if err := m.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Rollback(t.Context()); err != nil || got != versions[0] {
		t.Errorf("rolled back to %s, %v; want %s", got, err, versions[0])
	}
	mirrorHas(t, reg, versions[0])

	// A history that cannot be read is none, and the next promotion writes one.
	if err := b.Write(t.Context(), historyFile, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	_, other := mirrored(t, place)
	if err := other.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := writer.Promote(versions[4]); err != nil {
		t.Fatal(err)
	}
	if _, past, err := m.course(t.Context()); err != nil || len(past) == 0 {
		t.Errorf("history %v, %v", past, err)
	}
}
