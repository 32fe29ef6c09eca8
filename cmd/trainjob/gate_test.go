package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/registry"
)

// Whatever is wrong with a model, the gate refuses it with exit code 3 and what is
// served stays.
func TestGateRefuses(t *testing.T) {
	src, base := t.TempDir(), t.TempDir()
	writeLog(t, src, "a.ndjson", worldLog(t, 1))
	good := must(t, nightArgs(base, "--source", src)...).last(t)["version"].(string)
	weights := filepath.Join(base, good, registry.WeightsFile)
	data := []string{"--data", filepath.Join(src, "a.ndjson"), "--split", "temporal", "--min-item-count", "0", "--promote"}
	tests := []struct {
		name string
		args func(t *testing.T, reg string) []string
		says string
	}{
		{"worse model", func(_ *testing.T, reg string) []string {
			return nightArgs(reg, "--source", src, "--cold", "--epochs", "1", "--rate", "1e-9")
		}, "that of popularity"},
		{"below a floor", func(_ *testing.T, reg string) []string {
			return nightArgs(reg, "--source", src, "--min-ndcg", "0.99")
		}, "below the floor"},
		{"NaN among the weights", func(t *testing.T, reg string) []string {
			return append([]string{"publish", spoiled(t, weights, math.NaN()), "--registry", reg}, data...)
		}, "NaN"},
		{"infinite weight", func(t *testing.T, reg string) []string {
			return append([]string{"publish", spoiled(t, weights, math.Inf(1)), "--registry", reg}, data...)
		}, "+Inf"},
		{"a folder without its last file", func(t *testing.T, reg string) []string {
			return []string{"promote", halfCopied(t, reg, func(dir string) error { return os.Remove(filepath.Join(dir, registry.WeightsFile)) }), "--registry", reg}
		}, "incomplete"},
		{"a file that was copied in part", func(t *testing.T, reg string) []string {
			return []string{"promote", halfCopied(t, reg, func(dir string) error { return os.Truncate(filepath.Join(dir, registry.WeightsFile), 1000) }), "--registry", reg}
		}, "1000 bytes"},
		{"a version of NaN", func(t *testing.T, reg string) []string {
			return []string{"promote", republished(t, reg, spoiled(t, weights, math.NaN())), "--registry", reg}
		}, "NaN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg := copyOf(t, base)
			o := trainjob(t, tt.args(t, reg)...)
			if o.code != exitRefused || !strings.Contains(o.errors, "refused by the quality gate") || !strings.Contains(o.errors, tt.says) {
				t.Errorf("exit code %d, want %d with %q\n%s", o.code, exitRefused, tt.says, o.errors)
			}
			if o.out != "" && o.last(t)["promoted"] != false {
				t.Errorf("the summary says promoted: %s", o.out)
			}
			if current := strings.TrimSpace(readFile(t, filepath.Join(reg, "current"))); current != good {
				t.Errorf("current is %s, want %s", current, good)
			}
		})
	}
}

// spoiled is a copy of a weights file with one number replaced.
func spoiled(t *testing.T, weights string, by float64) string {
	t.Helper()
	b := []byte(readFile(t, weights))
	binary.LittleEndian.PutUint32(b[len(b)-400:], math.Float32bits(float32(by)))
	path := filepath.Join(t.TempDir(), "spoiled.safetensors")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// halfCopied publishes the current version once more and spoils its folder.
func halfCopied(t *testing.T, reg string, spoil func(dir string) error) string {
	t.Helper()
	version := republished(t, reg, "")
	if err := spoil(filepath.Join(reg, version)); err != nil {
		t.Fatal(err)
	}
	return version
}

// republished publishes the current version again, with other weights if named.
func republished(t *testing.T, reg, weights string) string {
	t.Helper()
	r, err := registry.Open(reg)
	if err != nil {
		t.Fatal(err)
	}
	current, err := r.Current()
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Load(current)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for name := range v.Manifest.Files {
		from := filepath.Join(v.Dir(), name)
		if name == registry.WeightsFile && weights != "" {
			from = weights
		}
		if err := os.WriteFile(filepath.Join(d.Dir(), name), []byte(readFile(t, from)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := v.Manifest
	m.Night = ""
	version, err := d.Publish(m)
	if err != nil {
		t.Fatal(err)
	}
	return version
}
