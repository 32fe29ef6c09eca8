package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"seqrec/internal/bucket"
)

// Mirror keeps a registry folder in step with a bucket that many machines share.
// The bucket has the form of a registry:
//
//	current                       the version to serve
//	history                       promotions, as in the folder
//	<version>/<file>              as in the folder
//	night.lease                   who runs a night, while one runs; see HoldNights
//
// What is published in the folder is stored in the bucket, files first, then the
// manifest, then its checksum; a promotion or rollback then replaces history and
// current. So whoever reads current finds all that it names. Pull fetches what current
// names into the folder, aside, verifies every byte and only then gives it its name;
// the folder's history becomes the bucket's.
//
// Caveat. Promotions take no lock in a bucket: of two who promote at the same
// moment, the later write wins. Nights do.
type Mirror struct {
	bucket *bucket.Bucket
	reg    *Registry

	mu   sync.Mutex
	seen string // what current of the bucket said when it was last read or written

	refused string // the version that could not be pulled last, "" when none
	fault   error  // why
	skip    int    // looks to let pass before it is tried again
	wait    int    // how many the next refusal costs
}

// OpenMirror gives a registry in the folder dir that mirrors the bucket. The folder
// is made where missing; nothing is fetched before Pull.
func OpenMirror(b *bucket.Bucket, dir string, opts Options) (*Registry, *Mirror, error) {
	m := &Mirror{bucket: b}
	opts.changed = m.push
	reg, err := OpenWith(dir, opts)
	if err != nil {
		return nil, nil, err
	}
	m.reg, reg.mirror = reg, m
	return reg, m, reg.make()
}

// Close lets the bucket go; the folder stays of use.
func (m *Mirror) Close() error { return m.bucket.Close() }

// Pull makes the version that the bucket's current names the current one of the
// folder, if that has changed since the last look; a version that does not verify
// is refused, the folder stays as it is, and it is tried again after 1, 2, 4, up to 32
// calls: fetching it costs. Errors: ErrNoCurrent, ErrIncomplete,
// ErrCorrupt, ErrNewerFormat, and those of the network.
func (m *Mirror) Pull(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := m.bucket.Read(ctx, currentFile, 200)
	if errors.Is(err, fs.ErrNotExist) {
		return &Fault{Path: m.bucket.Name(), Kind: ErrNoCurrent, Detail: "no version has been promoted", Mend: "publish and promote one"}
	}
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	version := strings.TrimSpace(string(data))
	if version == m.seen {
		return nil
	}
	if !validVersion(version) {
		return &Fault{Path: m.bucket.Name() + "/" + currentFile, Kind: ErrCorrupt, Detail: fmt.Sprintf("%.60q is not a version name", version), Mend: "promote a version"}
	}
	if version != m.refused {
		m.refused, m.skip, m.wait = "", 0, 1
	}
	if m.skip > 0 {
		m.skip--
		return m.fault
	}
	if err := m.take(ctx, version); err != nil {
		m.refused, m.fault, m.skip = version, fmt.Errorf("pull version %s: %w", version, err), m.wait-1
		m.wait = min(2*m.wait, maxWait)
		return m.fault
	}
	m.seen, m.refused = version, ""
	return nil
}

// take fetches a version, unless the folder has it whole, and makes it current there.
func (m *Mirror) take(ctx context.Context, version string) error {
	if _, faults := m.reg.check(version, true); len(faults) > 0 {
		if err := m.fetch(ctx, version); err != nil {
			return err
		}
	}
	if err := m.reg.promote(version, false, nil); err != nil {
		return err
	}
	history, _, err := m.history(ctx)
	if err != nil || history == nil {
		return err
	}
	return m.reg.locked(func() error { return m.reg.replace(historyFile, history) })
}

// fetch brings a version into the folder.
func (m *Mirror) fetch(ctx context.Context, version string) (err error) {
	if _, err := m.reg.Sweep(m.reg.opts.TempAge); err != nil {
		return err
	}
	aside := m.reg.tempPath("fetch-" + version)
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := m.reg.opts.disk.mkdir(aside); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	for _, name := range []string{manifestFile, checksumFile} {
		data, err := m.bucket.Read(ctx, version+"/"+name, maxManifest)
		if err == nil {
			err = m.reg.opts.disk.write(filepath.Join(aside, name), data)
		}
		if err != nil {
			return asRemoteFault(m.bucket.Name()+"/"+version+"/"+name, err)
		}
	}
	manifest, err := readBounded(filepath.Join(aside, manifestFile), maxManifest)
	if err != nil {
		return err
	}
	parsed, faults := parseManifest(m.bucket.Name()+"/"+version+"/"+manifestFile, manifest)
	if err := faults.Err(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(parsed.Files)) {
		if err := m.bucket.Fetch(ctx, version+"/"+name, filepath.Join(aside, name)); err != nil {
			return asRemoteFault(m.bucket.Name()+"/"+version+"/"+name, err)
		}
	}
	if _, faults := m.reg.checkFolder(aside, version, true); len(faults) > 0 {
		return faults
	}
	return m.place(aside, version)
}

// place gives a fetched folder its name; a damaged one of that name goes.
func (m *Mirror) place(aside, version string) error {
	disk := m.reg.opts.disk
	if err := disk.syncDir(aside); err != nil {
		return err
	}
	if _, err := os.Lstat(m.reg.path(version)); err == nil {
		if err := m.reg.remove(version); err != nil {
			return err
		}
	}
	if err := disk.rename(aside, m.reg.path(version)); err != nil {
		return err
	}
	return disk.syncDir(m.reg.dir)
}

// asRemoteFault gives what is missing in the bucket its kind.
func asRemoteFault(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &Fault{Path: path, Kind: ErrIncomplete, Detail: "the file is missing", Mend: mendVersion}
	}
	return err
}

// push stores a version in the bucket, if it is not there, and makes it the
// bucket's current one if that is what happened to it in the folder.
func (m *Mirror) push(version string, current bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx := context.Background() // the folder has changed already: there is no way back
	dir := m.reg.path(version)
	sum, err := readBounded(filepath.Join(dir, checksumFile), 200)
	if err != nil {
		return fmt.Errorf("push version %s: %w", version, err)
	}
	there, err := m.bucket.Read(ctx, version+"/"+checksumFile, 200)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("push version %s: %w", version, err)
	}
	if string(there) != string(sum) {
		if err := m.reg.mayWrite(); err != nil {
			return fmt.Errorf("push version %s: %w", version, err)
		}
		if err := m.store(ctx, version, dir); err != nil {
			return fmt.Errorf("push version %s: %w", version, err)
		}
	}
	if !current {
		return nil
	}
	if err := m.reg.mayWrite(); err != nil { // storing may have taken long
		return fmt.Errorf("push version %s: %w", version, err)
	}
	history, err := readBounded(m.reg.path(historyFile), maxHistoryBytes)
	if err == nil {
		err = m.bucket.Write(ctx, historyFile, history)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a current written by hand has none
		return fmt.Errorf("push version %s: %w", version, err)
	}
	if err := m.bucket.Write(ctx, currentFile, []byte(version+"\n")); err != nil {
		return fmt.Errorf("push version %s: %w", version, err)
	}
	m.seen = version
	return nil
}

// store uploads a folder: its files, then the manifest, then the checksum.
func (m *Mirror) store(ctx context.Context, version, dir string) error {
	manifest, faults := m.reg.check(version, true)
	if err := faults.Err(); err != nil {
		return err
	}
	for _, name := range append(slices.Sorted(maps.Keys(manifest.Files)), manifestFile, checksumFile) {
		if err := m.bucket.Store(ctx, version+"/"+name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
