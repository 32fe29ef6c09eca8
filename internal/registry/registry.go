package registry

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	currentFile = "current"
	historyFile = "history"
	lockName    = "lock"
	tempPrefix  = ".tmp-"
)

// Options are what a registry takes from outside. The zero value is for use;
// tests hold time and chance still.
type Options struct {
	Now     func() time.Time // nil is time.Now
	Entropy io.Reader        // random bytes of version names; nil is crypto/rand
	// TempAge is how long a draft may lie untouched before Begin takes it for the
	// leftover of a crash and removes it. Zero is 24 hours, negative is never.
	TempAge time.Duration

	disk disk
	// changed, when not nil, hears of each version that was published, and of each
	// that became current.
	changed func(version string, current bool) error
}

// Registry is one folder of versions. It may be used by several goroutines, and
// the folder by several processes.
type Registry struct {
	dir    string
	opts   Options
	mirror *Mirror               // nil when the registry is a folder only
	lease  atomic.Pointer[lease] // held while a night runs; nil otherwise

	mu     sync.Mutex // guards lastMS and Entropy
	lastMS uint64     // of the last version name made here, Unix milliseconds
}

// Open gives the registry in dir with default options. The folder need not exist
// yet: a reader then sees no versions, and the first Begin makes it.
func Open(dir string) (*Registry, error) { return OpenWith(dir, Options{}) }

// OpenWith is Open with options.
func OpenWith(dir string, opts Options) (*Registry, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open registry %s: %w", dir, err)
	}
	if st, err := os.Stat(abs); err == nil && !st.IsDir() {
		return nil, fmt.Errorf("open registry %s: it is a file, not a folder", dir)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Entropy == nil {
		opts.Entropy = rand.Reader
	}
	if opts.TempAge == 0 {
		opts.TempAge = 24 * time.Hour
	}
	return &Registry{dir: abs, opts: opts}, nil
}

// Dir gives the absolute path of the registry.
func (r *Registry) Dir() string { return r.dir }

// Mirrors says whether the registry is in a bucket, of which this folder is a mirror.
func (r *Registry) Mirrors() bool { return r.mirror != nil }

func (r *Registry) path(name string) string { return filepath.Join(r.dir, name) }

func (r *Registry) tempPath(name string) string { return r.path(tempPrefix + name) }

// validVersion reports whether s is a ULID in its one spelling, 26 upper-case
// characters; nothing of that form can be a path out of the registry.
func validVersion(s string) bool {
	id, err := ulid.ParseStrict(s)
	return err == nil && id.String() == s
}

// newID makes a version name that sorts after all names in the folder, so that
// "newest" means last begun even when a clock has been set back. Names more than an
// hour ahead are not followed: one broken clock must not spoil all later names.
func (r *Registry) newID() (string, error) {
	names, err := readNames(r.dir)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := ulid.Timestamp(r.opts.Now())
	ms := max(now, r.lastMS+1)
	for _, name := range names {
		id, err := ulid.ParseStrict(strings.TrimPrefix(name, tempPrefix))
		if err == nil && id.Time() >= ms && id.Time() < now+uint64(time.Hour.Milliseconds()) {
			ms = id.Time() + 1
		}
	}
	id, err := ulid.New(ms, r.opts.Entropy)
	if err != nil {
		return "", fmt.Errorf("make a version name: %w", err)
	}
	r.lastMS = ms
	return id.String(), nil
}

// readNames lists a folder; a missing folder is empty.
func readNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list registry: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// versions lists the folders that have a version's name, newest first. Whether they
// hold a version is for check to say.
func (r *Registry) versions() ([]string, error) {
	names, err := readNames(r.dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !validVersion(n) })
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// Current gives the version that is to be served. It is ErrNoCurrent when none has
// been promoted. The version itself is not looked at; Load does that.
func (r *Registry) Current() (string, error) {
	const mend = "promote a version, which writes the file anew"
	path := r.path(currentFile)
	data, err := readBounded(path, 100)
	var irregular *irregularError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &Fault{Path: path, Kind: ErrNoCurrent, Detail: "nothing has been promoted", Mend: "promote a version"}
	case errors.As(err, &irregular) && irregular.mode.IsDir():
		return "", folded(path)
	case errors.As(err, &irregular), errors.Is(err, errTooLong):
		return "", &Fault{Path: path, Kind: ErrCorrupt, Detail: err.Error(), Mend: mend}
	case err != nil:
		return "", fmt.Errorf("read current version: %w", err)
	}
	// A person may write this file with any editor; a newline more or less is fine.
	version := strings.TrimSpace(string(data))
	if !validVersion(version) {
		return "", &Fault{Path: path, Kind: ErrCorrupt, Detail: fmt.Sprintf("%.60q is not a version name", version), Mend: mend}
	}
	return version, nil
}

// Resolve turns what a person says into a version: "current", "latest" (the newest
// without a visible fault) or a version name, which must exist.
func (r *Registry) Resolve(name string) (string, error) {
	switch name {
	case "current":
		return r.Current()
	case "latest":
		infos, err := r.List()
		if err != nil {
			return "", err
		}
		for _, info := range infos {
			if info.Fault == nil {
				return info.Version, nil
			}
		}
		return "", &Fault{Path: r.dir, Kind: ErrNotFound, Detail: "no version without fault", Mend: "publish one"}
	}
	if err := r.mustExist(name); err != nil {
		return "", err
	}
	return name, nil
}

// mustExist gives ErrNotFound for a name that is not a version in the registry.
func (r *Registry) mustExist(version string) error {
	if !validVersion(version) {
		return &Fault{Path: r.dir, Kind: ErrNotFound, Mend: "list the versions for their names",
			Detail: fmt.Sprintf("%.60q is not a version name (26 characters, as in 01JC3V9Z6J2T5W8Q4X7N1M0KRE)", version)}
	}
	_, err := os.Lstat(r.path(version))
	if errors.Is(err, fs.ErrNotExist) {
		return &Fault{Path: r.path(version), Kind: ErrNotFound, Detail: "there is no such version", Mend: "list the versions for their names"}
	}
	if err != nil {
		return fmt.Errorf("look for version %s: %w", version, err)
	}
	return nil
}

// Info is one line of a list of versions.
type Info struct {
	Version  string
	Manifest Manifest // as far as it could be read
	Bytes    int64    // of all files
	Current  bool     // it is the version served
	Rollback bool     // it is the version Rollback would try first
	Fault    error    // what is visibly wrong, or nil; hashes are not computed
}

// List gives the versions, newest first. A broken one is listed with its fault; a
// registry that does not exist yet is empty.
func (r *Registry) List() ([]Info, error) {
	names, err := r.versions()
	if err != nil {
		return nil, err
	}
	// A broken current or history takes nothing from the list; Check reports it.
	current, _ := r.Current()
	previous, _ := r.rollbackTarget()
	infos := make([]Info, len(names))
	for i, name := range names {
		m, faults := r.check(name, false)
		infos[i] = Info{
			Version: name, Manifest: m, Bytes: m.Bytes(),
			Current: name == current, Rollback: name == previous, Fault: faults.Err(),
		}
	}
	return infos, nil
}
