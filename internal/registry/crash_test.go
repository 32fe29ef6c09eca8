package registry

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// errCrash is what every change of the file system gives once the "machine" has
// stopped: a dead process does not clean up either.
var errCrash = errors.New("crashed")

// machine counts changes and stops after some of them. It remembers which files
// have been synced, to take away at the end what a power cut would.
type machine struct {
	left   int // changes until it stops; negative is never
	log    []string
	synced map[string]bool
}

func (m *machine) before(verb, path string) error {
	if m.left == 0 {
		return errCrash
	}
	m.left--
	m.log = append(m.log, verb+" "+path)
	if verb == "sync" || verb == "syncdir" {
		m.synced[path] = true
	}
	return nil
}

// cutPower empties every file below dir that the machine made and did not sync; a file
// renamed since is known by the name it was synced under.
func (m *machine) cutPower(t *testing.T, dir string, known map[string]bool) {
	t.Helper()
	synced := map[string]bool{}
	for path := range m.synced {
		synced[path] = true
		for _, line := range m.log { // "rename TO": the temporary name has the version in it
			if to, ok := strings.CutPrefix(line, "rename "); ok {
				from := filepath.Join(dir, tempPrefix+filepath.Base(to))
				synced[strings.Replace(path, from, to, 1)] = true
				if strings.HasPrefix(path, from+"-") {
					synced[to] = true
				}
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || known[path] || synced[path] || e.Name() == lockName {
			return err
		}
		return os.Truncate(path, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func allFiles(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		files[path] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCrash stops each writer before each of its changes, once as a killed process
// and once as a power cut, and wants a registry without fault that serves the old
// version or the new, and in which the same can be done again.
func TestCrash(t *testing.T) {
	t.Parallel()
	template := newRegistry(t)
	old := mustPublish(t, template, "old")
	next := mustPublish(t, template, "next")
	third := mustPublish(t, template, "third")
	mustPromote(t, template, old)
	mustPromote(t, template, next)
	verbs := []struct {
		name  string
		steps int // at least so many changes; fewer would mean that the hook is not called
		run   func(r *Registry) error
		after []string // what current may be
	}{
		{"publish", 11, func(r *Registry) error { _, err := publish(r, "new"); return err }, []string{next}},
		{"promote", 10, func(r *Registry) error { return r.Promote(third) }, []string{next, third}},
		{"rollback", 10, func(r *Registry) error { _, err := r.Rollback(); return err }, []string{next, old}},
		{"remove", 2, func(r *Registry) error { return r.Remove(third) }, []string{next}},
		{"prune", 2, func(r *Registry) error { _, err := r.Prune(0); return err }, []string{next}},
	}
	for _, verb := range verbs {
		for _, power := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, power cut %v", verb.name, power), func(t *testing.T) {
				t.Parallel()
				for step := 0; ; step++ {
					r, m := crashing(t, template, step)
					known := allFiles(t, r.Dir())
					err := verb.run(r)
					if power {
						m.cutPower(t, r.Dir(), known)
					}
					if err == nil {
						if step < verb.steps {
							t.Errorf("only %d changes were seen:\n%s", step, strings.Join(m.log, "\n"))
						}
						wantSound(t, r.Dir(), verb.after[len(verb.after)-1:])
						return
					}
					if !errors.Is(err, errCrash) {
						t.Fatalf("step %d: %v", step, err)
					}
					again := wantSound(t, r.Dir(), verb.after)
					if err := verb.run(again); err != nil && !errors.Is(err, ErrNotFound) {
						t.Fatalf("after a crash at step %d (%v): %v", step, m.log, err)
					}
					wantSound(t, r.Dir(), append(verb.after, old))
				}
			})
		}
	}
}

// crashing copies a registry and gives a machine that stops after some changes.
func crashing(t *testing.T, template *Registry, left int) (*Registry, *machine) {
	t.Helper()
	m := &machine{left: left, synced: map[string]bool{}}
	dir := filepath.Join(t.TempDir(), "models")
	if err := os.CopyFS(dir, os.DirFS(template.Dir())); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, dir, Options{TempAge: -1, disk: disk{noSync: true, before: m.before}}), m
}

// wantSound opens a registry as the next process does and wants no fault in it.
func wantSound(t *testing.T, dir string, current []string) *Registry {
	t.Helper()
	r := mustOpen(t, dir, Options{TempAge: -1, disk: disk{noSync: true}})
	if faults, err := r.Check(); err != nil || len(faults) != 0 {
		t.Fatalf("check: %v %v", faults, err)
	}
	got, err := r.Current()
	if err != nil || !slices.Contains(current, got) {
		t.Fatalf("current is %q (%v), want one of %v", got, err, current)
	}
	if _, err := r.Load(got); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOrderOfPublish holds the order that durability rests on: every file is synced
// before its folder, the folder before the rename, the registry after it.
func TestOrderOfPublish(t *testing.T) {
	t.Parallel()
	m := &machine{left: -1, synced: map[string]bool{}}
	dir := filepath.Join(t.TempDir(), "models")
	r := mustOpen(t, dir, Options{TempAge: -1, disk: disk{noSync: true, before: m.before}})
	id := mustPublish(t, r, "w")
	draft := r.tempPath(id)
	var rest []string
	for _, line := range m.log {
		if !strings.HasPrefix(line, "create ") && !strings.HasPrefix(line, "write ") {
			rest = append(rest, strings.ReplaceAll(strings.ReplaceAll(line, draft, "DRAFT"), dir, "MODELS"))
		}
	}
	want := []string{
		"syncdir " + filepath.Dir(dir), "mkdir DRAFT",
		"sync DRAFT/vocab.txt", "sync DRAFT/weights.safetensors", "sync DRAFT/manifest.json", "sync DRAFT/manifest.sha256",
		"syncdir DRAFT", "rename MODELS/" + id, "syncdir MODELS",
	}
	if !slices.Equal(rest, want) {
		t.Errorf("order\n%s\nwant\n%s", strings.Join(rest, "\n"), strings.Join(want, "\n"))
	}
}

// TestFailureLeavesNoTrace: a process that fails and lives cleans up after itself.
func TestFailureLeavesNoTrace(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for _, fail := range []string{"create", "write", "sync", "rename"} {
		template := newRegistry(t)
		id := mustPublish(t, template, "w")
		r := mustOpen(t, template.Dir(), Options{disk: disk{noSync: true, before: func(verb, _ string) error {
			if verb == fail {
				return full
			}
			return nil
		}}})
		if err := r.Promote(id); !errors.Is(err, full) {
			t.Errorf("%s: %v", fail, err)
		}
		if left, _ := filepath.Glob(filepath.Join(r.Dir(), tempPrefix+"*")); len(left) != 0 {
			t.Errorf("%s: left behind %v", fail, left)
		}
	}
}

// crashDir names, in the environment of a child process, the registry that the
// child writes to until it is killed.
const crashDir = "SEQREC_TEST_REGISTRY_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever publishes, promotes and prunes and prints each promotion when it is done.
func writeForever(dir string) error {
	r, err := Open(dir)
	if err != nil {
		return err
	}
	for {
		id, err := publish(r, strings.Repeat("weights ", 10_000))
		if err != nil {
			return err
		}
		if err := r.Promote(id); err != nil {
			return err
		}
		fmt.Println(id)
		if _, err := r.Prune(2); err != nil {
			return err
		}
	}
}

// TestKill kills real writers at moments that chance picks, and wants the registry to be
// sound each time and not to have lost a promotion that was reported.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "models")
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := ""
		for n := 0; n <= round && lines.Scan(); n++ {
			last = lines.Text()
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had still printed
			last = lines.Text()
		}
		if err := cmd.Wait(); err == nil || last == "" {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}
		r := mustOpen(t, dir, Options{TempAge: -1, disk: disk{noSync: true}})
		if faults, err := r.Check(); err != nil || len(faults) != 0 {
			t.Fatalf("round %d: check: %v %v", round, faults, err)
		}
		// Names ascend, so current is the one reported last or a later one.
		current, err := r.Current()
		if err != nil || current < last {
			t.Fatalf("round %d: current is %s (%v), %s was reported", round, current, err, last)
		}
		if _, err := r.Load(current); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}
