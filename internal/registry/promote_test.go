package registry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPromoteAndRollback is a story of five nights.
func TestPromoteAndRollback(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var v []string
	for _, w := range []string{"w0", "w1", "w2", "w3"} {
		v = append(v, mustPublish(t, r, w))
	}
	rollback := func(want string) {
		t.Helper()
		if got, err := r.Rollback(); err != nil || got != want {
			t.Fatalf("rolled back to %q (%v), want %q", got, err, want)
		}
		wantCurrent(t, r, want)
	}
	mustPromote(t, r, v[0])
	mustPromote(t, r, v[1])
	mustPromote(t, r, v[1]) // again: nothing to remember
	mustPromote(t, r, v[2])
	rollback(v[1])
	rollback(v[0])
	if got, err := r.Rollback(); !errors.Is(err, ErrNotFound) {
		t.Fatalf("rolled back past the first: %q %v", got, err)
	}
	wantCurrent(t, r, v[0])
	// A promotion after a rollback forgets what was rolled back.
	mustPromote(t, r, v[3])
	rollback(v[0])
	mustPromote(t, r, v[1])
	mustPromote(t, r, v[2])
	mustPromote(t, r, v[1]) // back by hand, then forward: past is v2, v1, v0
	mustPromote(t, r, v[3])
	// Rolling back passes over what is gone or broken.
	if err := r.Remove(v[1]); err != nil {
		t.Fatal(err)
	}
	if err := flip(filepath.Join(r.path(v[2]), WeightsFile)); err != nil {
		t.Fatal(err)
	}
	rollback(v[0])
	// A lost or broken current is mended by rolling back: to what it was.
	if err := os.WriteFile(r.path(currentFile), []byte("???"), 0o644); err != nil {
		t.Fatal(err)
	}
	rollback(v[0])
	if err := os.Remove(r.path(currentFile)); err != nil {
		t.Fatal(err)
	}
	rollback(v[0])
	mustPromote(t, r, v[3])
}

// TestRollbackEnds promotes two versions in turn: rolling back must come to an end
// and not go round between them.
func TestRollbackEnds(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a, b := mustPublish(t, r, "a"), mustPublish(t, r, "b")
	for _, v := range []string{a, b, a, b} {
		mustPromote(t, r, v)
	}
	for _, want := range []string{a, b, a, ""} {
		if got, err := r.Rollback(); got != want || (err == nil) != (want != "") {
			t.Fatalf("rolled back to %q (%v), want %q", got, err, want)
		}
	}
	wantCurrent(t, r, a)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a, b := mustPublish(t, r, "a"), mustPublish(t, r, "b")
	mustPromote(t, r, a)
	line := a + " 2026-03-01T02:00:00Z\n"
	if err := os.WriteFile(r.path(historyFile), []byte(strings.Repeat(line, maxHistory)), 0o644); err != nil {
		t.Fatal(err)
	}
	mustPromote(t, r, b)
	mustPromote(t, r, a)
	list, err := r.readHistory()
	if err != nil || len(list) != maxHistory || list[maxHistory-1].version != a || list[maxHistory-2].version != b || list[maxHistory-3].version != a {
		t.Errorf("%d lines (%v)", len(list), err)
	}
}

func TestBrokenHistory(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a, b := mustPublish(t, r, "a"), mustPublish(t, r, "b")
	mustPromote(t, r, a)
	whole, err := os.ReadFile(r.path(historyFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"cut line":  string(whole[:len(whole)-1]),
		"no time":   a + "\n",
		"no name":   "current 2026-03-01T02:00:00Z\n",
		"path":      "../../../etc/passwd 2026-03-01T02:00:00Z\n",
		"binary":    "\x00\x01\n",
		"empty row": string(whole) + "\n",
		"huge":      strings.Repeat(string(whole), 2000),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(r.path(historyFile), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
			for verb, err := range map[string]error{"promote": r.Promote(b), "rollback": second(r.Rollback()), "prune": second(r.Prune(0))} {
				if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), historyFile) || !strings.Contains(err.Error(), "move the file away") {
					t.Errorf("%s: %v", verb, err)
				}
			}
			wantCurrent(t, r, a)
			if infos, err := r.List(); err != nil || len(infos) != 2 || !infos[1].Current {
				t.Errorf("list: %v %v", infos, err)
			}
			if faults, err := r.Check(); err != nil || len(faults) != 1 {
				t.Errorf("check: %v %v", faults, err)
			}
		})
	}
}

func TestBrokenCurrent(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a := mustPublish(t, r, "a")
	mustPromote(t, r, a)
	for name, data := range map[string]string{
		"empty": "", "cut": a[:20] + "\n", "two": a + "\n" + a + "\n", "path": "../" + a, "lower case": strings.ToLower(a),
		"huge": strings.Repeat("0", 1<<20), "binary": "\x00\xff",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(r.path(currentFile), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Current(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), currentFile) {
				t.Errorf("current: %v", err)
			}
			for verb, err := range map[string]error{"prune": second(r.Prune(0)), "remove": r.Remove(a)} {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s without knowing what is served: %v", verb, err)
				}
			}
			if infos, err := r.List(); err != nil || len(infos) != 1 {
				t.Errorf("list: %v %v", infos, err)
			}
			mustPromote(t, r, a)
			wantCurrent(t, r, a)
		})
	}
	for _, data := range []string{a, a + "\r\n", " " + a + "\n\n"} {
		if err := os.WriteFile(r.path(currentFile), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		wantCurrent(t, r, a)
	}
	if err := errors.Join(os.Remove(r.path(currentFile)), os.Symlink(r.path(a), r.path(currentFile))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Current(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("current as a link: %v", err)
	}
}

// A folder in the place of a file cannot be replaced by promoting: the mend says
// what can be done, and nothing is half changed.
func TestFolderInPlaceOfCurrent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{currentFile, historyFile} {
		r := newRegistry(t)
		a, b := mustPublish(t, r, "a"), mustPublish(t, r, "b")
		mustPromote(t, r, a)
		before, err := os.ReadFile(r.path(historyFile))
		if err := errors.Join(err, os.Remove(r.path(name)), os.Mkdir(r.path(name), 0o755)); err != nil {
			t.Fatal(err)
		}
		for verb, err := range map[string]error{"promote": r.Promote(b), "rollback": second(r.Rollback())} {
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "move the folder") {
				t.Errorf("%s, %s is a folder: %v", verb, name, err)
			}
		}
		if name == historyFile {
			continue
		}
		if _, err := r.Current(); err == nil || !strings.Contains(err.Error(), "move the folder") {
			t.Errorf("current: %v", err)
		}
		if after, err := os.ReadFile(r.path(historyFile)); err != nil || string(after) != string(before) {
			t.Errorf("history was changed to %q, %v", after, err)
		}
		if err := os.Remove(r.path(name)); err != nil {
			t.Fatal(err)
		}
		mustPromote(t, r, b)
	}
}

// TestPromoteOver: a version takes the place of the one that it was judged against,
// of none, and of no other.
func TestPromoteOver(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	old, other, version := mustPublish(t, r, "w0"), mustPublish(t, r, "w1"), mustPublish(t, r, "w2")
	for name, c := range map[string]struct {
		current, over string
		moved         bool
	}{
		"nothing is current":                {"", old, false},
		"nothing is current, none was":      {"", "", false},
		"what cannot be read":               {"???", old, false},
		"the one it was judged against":     {old, old, false},
		"another":                           {other, old, true},
		"another, when none was":            {other, "", true},
		"itself, after it was promoted":     {version, old, false},
		"itself, when nothing was judged":   {version, "", false},
		"itself, against what came between": {version, other, false},
	} {
		if err := os.WriteFile(r.path(currentFile), []byte(c.current), 0o644); err != nil {
			t.Fatal(err)
		}
		want := version
		if c.moved {
			want = other
		}
		if err := r.PromoteOver(c.over, version); errors.Is(err, ErrMoved) != c.moved || (err == nil) == c.moved {
			t.Errorf("%s: error %v", name, err)
		}
		wantCurrent(t, r, want)
	}
}
