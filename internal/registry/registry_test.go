package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// epoch is when the tests' clocks begin.
var epoch = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// clock is a time that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRegistry(t testing.TB) *Registry {
	t.Helper()
	c := &clock{now: epoch}
	return mustOpen(t, filepath.Join(t.TempDir(), "models"), Options{Now: c.Now, TempAge: -1, disk: disk{noSync: true}})
}

func mustOpen(t testing.TB, dir string, opts Options) *Registry {
	t.Helper()
	r, err := OpenWith(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fill puts two files into a draft.
func fill(d *Draft, weights string) error {
	for name, text := range map[string]string{WeightsFile: weights, VocabFile: "\"a\"\n\"b\"\n"} {
		f, err := d.Create(name)
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, text)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func testManifest() Manifest {
	return Manifest{
		Name: "sasrec-test", Kind: "seqmodel", Items: 2, Seed: 7, Split: "leave-one-out",
		Config:  json.RawMessage(`{"width":64,"blocks":2}`),
		Metrics: json.RawMessage(`{"ndcg@10":0.18}`),
		Data:    Data{Source: "test", Events: 10, Users: 3, From: epoch.Add(-time.Hour), To: epoch},
	}
}

// publish is Begin, fill and Publish.
func publish(r *Registry, weights string) (string, error) {
	d, err := r.Begin()
	if err != nil {
		return "", err
	}
	if err := fill(d, weights); err != nil {
		return "", err
	}
	return d.Publish(testManifest())
}

func mustPublish(t testing.TB, r *Registry, weights string) string {
	t.Helper()
	v, err := publish(r, weights)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustPromote(t testing.TB, r *Registry, version string) {
	t.Helper()
	if err := r.Promote(version); err != nil {
		t.Fatal(err)
	}
}

func wantCurrent(t testing.TB, r *Registry, want string) {
	t.Helper()
	if got, err := r.Current(); err != nil || got != want {
		t.Fatalf("current is %q (%v), want %q", got, err, want)
	}
}

func TestPublishAndLoad(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	id := mustPublish(t, r, "weights one")
	v, err := r.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	m := v.Manifest
	if m.FormatVersion != FormatVersion || m.Version != id || !m.Created.Equal(epoch) || m.Kind != "seqmodel" || len(m.Files) != 2 || m.VocabSHA256 != m.Files[VocabFile].SHA256 {
		t.Errorf("manifest %+v", m)
	}
	var config struct{ Width int }
	if err := json.Unmarshal(m.Config, &config); err != nil || config.Width != 64 {
		t.Errorf("config %s: %v", m.Config, err)
	}
	f, err := v.Open(WeightsFile)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil || string(got) != "weights one" || v.Size(WeightsFile) != int64(len(got)) {
		t.Errorf("weights %q, size %d: %v", got, v.Size(WeightsFile), err)
	}
	if v.Has(ItemsFile) || v.Size(ItemsFile) != 0 {
		t.Error("the version has a file nobody wrote")
	}
	for _, name := range []string{ItemsFile, "../" + id + "/" + WeightsFile, manifestFile} {
		if _, err := v.Open(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("open %s: %v, want ErrNotFound", name, err)
		}
	}
	if faults, err := r.Check(); err != nil || len(faults) != 0 {
		t.Errorf("check: %v %v", faults, err)
	}
}

func TestEmptyRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	if infos, err := r.List(); err != nil || len(infos) != 0 {
		t.Errorf("list: %v %v", infos, err)
	}
	if _, err := r.Current(); !errors.Is(err, ErrNoCurrent) {
		t.Errorf("current: %v", err)
	}
	const other = "01JC3V9Z6J2T5W8Q4X7N1M0KRE"
	if _, err := r.Load(other); !errors.Is(err, ErrNotFound) {
		t.Errorf("load: %v", err)
	}
	for name, err := range map[string]error{"promote": r.Promote(other), "remove": r.Remove(other), "rollback": second(r.Rollback()), "prune": second(r.Prune(1))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if faults, err := r.Check(); err != nil || len(faults) != 0 {
		t.Errorf("check: %v %v", faults, err)
	}
	if _, err := os.Stat(r.Dir()); err == nil {
		t.Error("reading made the folder")
	}
	mustPublish(t, r, "w")
	if _, err := r.Rollback(); !errors.Is(err, ErrNotFound) {
		t.Errorf("rollback before any promotion: %v", err)
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(r.path(lockName)); err == nil {
		t.Error("a file was opened as a registry")
	}
}

func second[T any](_ T, err error) error { return err }

func TestNamesThatAreNotVersions(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	mustPublish(t, r, "w")
	for _, name := range []string{"", ".", "..", "/", "../models", "current", ".tmp-01JC3V9Z6J2T5W8Q4X7N1M0KRE",
		"01jc3v9z6j2t5w8q4x7n1m0kre", "81JC3V9Z6J2T5W8Q4X7N1M0KRE", "01JC3V9Z6J2T5W8Q4X7N1M0KRE/", strings.Repeat("0", 1000)} {
		if _, err := r.Load(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("load %q: %v", name, err)
		}
		if err := r.Promote(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("promote %q: %v", name, err)
		}
		if faults := r.Validate(name); !errors.Is(faults, ErrNotFound) {
			t.Errorf("validate %q: %v", name, faults)
		}
	}
}

func TestDraftRules(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	d, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a/b", "../x", ".hidden", "-x", "manifest.json", "manifest.sha256", "a b", "ä", "a\x00", strings.Repeat("a", 101)} {
		if _, err := d.Create(name); err == nil {
			t.Errorf("created %q", name)
		}
	}
	if _, err := d.Publish(testManifest()); err == nil || !strings.Contains(err.Error(), "no files") {
		t.Errorf("published nothing: %v", err)
	}
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create("a"); !errors.Is(err, os.ErrExist) {
		t.Errorf("created the same file twice: %v", err)
	}
	if _, err := d.Publish(testManifest()); err == nil || !strings.Contains(err.Error(), "still open") {
		t.Errorf("published with an open file: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(d.Dir(), "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(testManifest()); err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Errorf("published a link: %v", err)
	}
	if err := os.Remove(filepath.Join(d.Dir(), "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(Manifest{Items: -1}); err == nil || !strings.Contains(err.Error(), "kind") || !strings.Contains(err.Error(), "-1 items") {
		t.Errorf("published without a kind: %v", err)
	}
	// None of the refusals was final.
	id, err := d.Publish(testManifest())
	if err != nil || id != d.Version() {
		t.Fatalf("publish: %q %v", id, err)
	}
	if err := d.Abort(); err != nil {
		t.Errorf("abort after publish: %v", err)
	}
	if _, err := r.Load(id); err != nil {
		t.Errorf("abort after publish took the version away: %v", err)
	}
	if _, err := d.Publish(testManifest()); err == nil {
		t.Error("published twice")
	}
	if _, err := d.Create("b"); err == nil {
		t.Error("created a file in a published version")
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	d, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fill(d, "w"), d.Abort()); err != nil {
		t.Fatal(err)
	}
	if names, err := readNames(r.Dir()); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v %v", names, err)
	}
}

func TestListResolveAndTable(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a, b, c := mustPublish(t, r, "a"), mustPublish(t, r, "b"), mustPublish(t, r, "c")
	mustPromote(t, r, a)
	mustPromote(t, r, b)
	if err := os.Remove(filepath.Join(r.path(c), manifestFile)); err != nil {
		t.Fatal(err)
	}
	infos, err := r.List()
	if err != nil || len(infos) != 3 {
		t.Fatalf("list: %v %v", infos, err)
	}
	if infos[0].Version != c || !errors.Is(infos[0].Fault, ErrIncomplete) {
		t.Errorf("newest: %v", infos[0])
	}
	if i := infos[1]; i.Version != b || !i.Current || i.Rollback || i.Fault != nil || i.Bytes != 9 {
		t.Errorf("middle: %v", i)
	}
	if i := infos[2]; i.Version != a || i.Current || !i.Rollback || i.Fault != nil {
		t.Errorf("oldest: %v", i)
	}
	if got := infos[1].String(); got != b+"  2026-03-01 02:00:00  seqmodel  sasrec-test  2 items  9 B, current" {
		t.Errorf("line %q", got)
	}
	var table bytes.Buffer
	if err := WriteTable(&table, infos); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if len(lines) != 5 || !strings.Contains(lines[1], "broken: ") || !strings.HasSuffix(lines[2], "current") || !strings.HasSuffix(lines[3], "rollback") {
		t.Errorf("table\n%s", table.String())
	}
	for name, want := range map[string]string{"current": b, "latest": b, a: a, c: c} {
		if got, err := r.Resolve(name); err != nil || got != want {
			t.Errorf("resolve %s: %q %v", name, got, err)
		}
	}
	if _, err := r.Resolve("newest"); !errors.Is(err, ErrNotFound) {
		t.Errorf("resolve newest: %v", err)
	}
}

func TestPruneAndRemove(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var v []string
	for _, w := range []string{"0", "1", "2", "3", "4", "5", "6"} {
		v = append(v, mustPublish(t, r, w))
	}
	mustPromote(t, r, v[1])
	mustPromote(t, r, v[2])
	// A broken version is neither counted nor removed.
	if err := flip(filepath.Join(r.path(v[6]), manifestFile)); err != nil {
		t.Fatal(err)
	}
	removed, err := r.Prune(2)
	if err != nil || !slices.Equal(removed, []string{v[3], v[0]}) {
		t.Errorf("pruned %v (%v), want %v", removed, err, []string{v[3], v[0]})
	}
	left, err := r.versions()
	if err != nil || !slices.Equal(left, []string{v[6], v[5], v[4], v[2], v[1]}) {
		t.Errorf("left %v %v", left, err)
	}
	if _, err := r.Prune(-1); err == nil {
		t.Error("pruned to -1")
	}
	if err := r.Remove(v[2]); !errors.Is(err, ErrInUse) {
		t.Errorf("removed the current version: %v", err)
	}
	if err := r.Remove(v[6]); err != nil {
		t.Errorf("remove a broken version: %v", err)
	}
	if err := r.Remove(v[6]); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := r.Prune(0); err != nil {
		t.Fatal(err)
	}
	if left, _ := r.versions(); !slices.Equal(left, []string{v[2], v[1]}) {
		t.Errorf("left %v", left)
	}
	if names, _ := readNames(r.Dir()); len(names) != 5 { // two versions, current, history, lock
		t.Errorf("left in the folder: %v", names)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Now()} // compared with the file system's clock
	r := mustOpen(t, t.TempDir(), Options{Now: c.Now, TempAge: time.Hour, disk: disk{noSync: true}})
	keep := mustPublish(t, r, "w")
	old, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.tempPath("current-x"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Add(30 * time.Minute)
	young, err := r.Begin() // sweeps nothing: half an hour is too young
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old.Dir()); err != nil {
		t.Fatalf("a draft of half an hour was swept: %v", err)
	}
	// The young draft is touched "now" by the clock of the test.
	later := c.Now().Add(time.Hour)
	if err := os.WriteFile(filepath.Join(young.Dir(), "a"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(young.Dir(), "a"), later, later); err != nil {
		t.Fatal(err)
	}
	c.Add(time.Hour)
	if _, err := r.Begin(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{old.Dir(): false, r.tempPath("current-x"): false, young.Dir(): true, r.path(keep): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s there: %v, want %v", filepath.Base(path), err == nil, want)
		}
	}
}

// TestNames wants each new name to sort after all that are there, whatever the clock does.
func TestNames(t *testing.T) {
	t.Parallel()
	c := &clock{now: epoch}
	dir := t.TempDir()
	var last string
	for i := range 8 {
		r := mustOpen(t, dir, Options{Now: c.Now, TempAge: -1, disk: disk{noSync: true}}) // another process each time
		id := mustPublish(t, r, "w")
		if id <= last {
			t.Fatalf("name %d, %s, does not sort after %s", i, id, last)
		}
		last = id
		c.Add(-time.Minute)
	}
	// A name of the far future is not followed.
	far := "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
	if err := os.Mkdir(filepath.Join(dir, far), 0o755); err != nil {
		t.Fatal(err)
	}
	if id := mustPublish(t, mustOpen(t, dir, Options{Now: c.Now, TempAge: -1, disk: disk{noSync: true}}), "w"); id <= last || id[:4] != last[:4] {
		t.Errorf("name %s after %s", id, last)
	}
}

// TestConcurrent has several writers, in two registries as if in two processes,
// publish, promote, roll back and prune while readers load.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	regs := []*Registry{mustOpen(t, dir, Options{disk: disk{noSync: true}}), mustOpen(t, dir, Options{disk: disk{noSync: true}})}
	first := mustPublish(t, regs[0], "w")
	mustPromote(t, regs[0], first)
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		r := regs[i%2]
		writers.Go(func() {
			for range 4 {
				id, err := publish(r, "w")
				if err == nil {
					err = r.Promote(id)
				}
				if err != nil && !errors.Is(err, ErrNotFound) { // another writer may have pruned it
					t.Error(err)
				}
				if _, err := r.Prune(3); err != nil {
					t.Error(err)
				}
			}
			if _, err := r.Rollback(); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
	}
	for _, r := range regs {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, err := r.Current()
				if err != nil {
					t.Errorf("current: %v", err)
					return
				}
				// It may be pruned between the two calls, but never be half there.
				if _, err := r.Load(id); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrIncomplete) {
					t.Errorf("load: %v", err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if faults, err := regs[0].Check(); err != nil || len(faults) != 0 {
		t.Errorf("check: %v %v", faults, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}
