package registry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPruneBroken(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var v []string
	for _, w := range []string{"whole", "flipped", "without manifest", "newer", "current"} {
		v = append(v, mustPublish(t, r, w))
	}
	mustPromote(t, r, v[4])
	err := errors.Join(
		flip(filepath.Join(r.path(v[1]), WeightsFile)), // which only the hash tells
		os.Remove(filepath.Join(r.path(v[2]), manifestFile)),
		edit(r.path(v[3]), true, `"format_version": 1`, `"format_version": 99`),
		flip(filepath.Join(r.path(v[4]), WeightsFile)),
	)
	if err != nil {
		t.Fatal(err)
	}
	removed, err := r.PruneBroken()
	if err != nil || !slices.Equal(removed, []string{v[2], v[1]}) {
		t.Errorf("pruned %v (%v), want %v", removed, err, []string{v[2], v[1]})
	}
	if (Faults{unreadable("weights", os.ErrPermission)}).damage() {
		t.Error("what cannot be read is taken for lost")
	}
}
