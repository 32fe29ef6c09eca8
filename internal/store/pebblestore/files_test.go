package pebblestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// TestDamagedFiles damages each kind of file of a store. Opening or reading must say so; what is read must be right.
func TestDamagedFiles(t *testing.T) {
	damages := map[string]func([]byte) []byte{
		"emptied": func([]byte) []byte { return nil },
		"halved":  func(b []byte) []byte { return b[:len(b)/2] },
		"flipped": func(b []byte) []byte {
			// In the middle of the first third: a log that is damaged up to its end is like one that was cut there.
			for i := len(b) / 6; i < len(b)/3; i += 97 {
				b[i] ^= 0x55
			}
			return b
		},
	}
	events := history("u", 9000)
	for _, kind := range []string{"*.sst", "MANIFEST-*", "marker.manifest.*", "*.log"} {
		for name, damage := range damages {
			if strings.HasPrefix(kind, "marker") && name != "emptied" {
				continue // these files are empty; their name is what they say
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				dir := filledStore(t)
				damageFile(t, filepath.Join(dir, kind), damage)
				got, err := openAndRead(dir)
				if kind == "*.log" && name != "flipped" {
					// A log that ends early is what a crash leaves; nothing but its end may be missing.
					if err != nil || len(got) < 1500 || !slices.Equal(got, events[:len(got)]) {
						t.Fatalf("read %d events, %v; want the first ones", len(got), err)
					}
					return
				}
				if err == nil && !slices.Equal(got, events) {
					t.Fatalf("read %d events without an error, want %d or an error", len(got), len(events))
				}
				if err == nil && kind == "*.sst" {
					t.Error("a damaged table was read without an error")
				}
				if err != nil && name == "flipped" && !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("error %v is not marked as corruption", err)
				}
			})
		}
	}
}

// filledStore makes a closed store with the older half of a history in tables and the newer half in the log.
func filledStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir, Options{})
	events := history("u", 9000)
	mustAppend(t, s, events[:1500])
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(events[1500:], 100) {
		mustAppend(t, s, part)
	}
	mustClose(t, s)
	return dir
}

func damageFile(t *testing.T, pattern string, damage func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	for _, file := range files {
		if strings.Contains(pattern, "marker") {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openAndRead(dir string) (events []event.Event, err error) {
	s, err := Open(dir, Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Recent(context.Background(), "u", 1<<20)
}
