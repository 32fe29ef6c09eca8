package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Draft is a version in the making. No reader sees it before Publish. It belongs to
// one goroutine; the files it creates may be written by others.
type Draft struct {
	r       *Registry
	version string
	dir     string
	open    atomic.Int32 // files created and not yet closed
	done    bool         // published or aborted
}

// Begin starts a draft in a folder of its own, which it makes, with the registry,
// where missing. It also removes leftovers of crashes older than Options.TempAge.
func (r *Registry) Begin() (*Draft, error) {
	if err := r.make(); err != nil {
		return nil, fmt.Errorf("make registry: %w", err)
	}
	if r.opts.TempAge > 0 {
		if _, err := r.Sweep(r.opts.TempAge); err != nil {
			return nil, err
		}
	}
	version, err := r.newID()
	if err != nil {
		return nil, err
	}
	d := &Draft{r: r, version: version, dir: r.tempPath(version)}
	if err := r.opts.disk.mkdir(d.dir); err != nil {
		return nil, fmt.Errorf("begin version %s: %w", version, err)
	}
	return d, nil
}

// make makes the registry's folder where it is missing. Its name in the folder
// above is synced: a synced version under a lost name would be lost.
func (r *Registry) make() error {
	if _, err := os.Stat(r.dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	return r.opts.disk.syncDir(filepath.Dir(r.dir))
}

// Version gives the name that the draft will have.
func (d *Draft) Version() string { return d.version }

// Dir gives the draft's folder. Files may be written there by any means before
// Publish; folders and links may not.
func (d *Draft) Dir() string { return d.dir }

// Create makes a file of the version. The caller closes it before Publish.
// Names are letters, digits, '.', '_' and '-', at most 100, not beginning with a sign.
func (d *Draft) Create(name string) (io.WriteCloser, error) {
	if d.done {
		return nil, fmt.Errorf("create %s: the draft of version %s has ended", name, d.version)
	}
	if !validFileName(name) {
		return nil, fmt.Errorf("create file in version %s: %q is not a name for a file in a version", d.version, name)
	}
	f, err := d.r.opts.disk.create(filepath.Join(d.dir, name))
	if err != nil {
		return nil, fmt.Errorf("create file in version %s: %w", d.version, err)
	}
	d.open.Add(1)
	return &draftFile{File: f, draft: d}, nil
}

// draftFile tells its draft when it is closed.
type draftFile struct {
	*os.File
	draft  *Draft
	closed atomic.Bool
}

func (f *draftFile) Close() error {
	if !f.closed.Swap(true) {
		f.draft.open.Add(-1)
	}
	return f.File.Close()
}

// Publish makes the draft a version: it hashes and syncs every file, writes the
// manifest, and gives the folder its name. FormatVersion, Version, Files, VocabSHA256
// and, when zero, Created are filled in; Kind must be set. When it fails no
// reader has seen anything, but for a failure to sync at the very end, after
// which the version may or may not survive a power cut. Behind a [Mirror] it may also
// fail after the folder has the version, which is then named.
func (d *Draft) Publish(m Manifest) (version string, err error) {
	if d.done {
		return "", fmt.Errorf("publish version %s: the draft has ended", d.version)
	}
	if n := d.open.Load(); n != 0 {
		return "", fmt.Errorf("publish version %s: %d files are still open for writing", d.version, n)
	}
	if err := d.r.mayWrite(); err != nil {
		return "", fmt.Errorf("publish version %s: %w", d.version, err)
	}
	if err := d.seal(m); err != nil {
		return "", fmt.Errorf("publish version %s: %w", d.version, err)
	}
	if err := d.reveal(); err != nil {
		return "", fmt.Errorf("publish version %s: %w", d.version, err)
	}
	if changed := d.r.opts.changed; changed != nil {
		if err := changed(d.version, false); err != nil {
			return d.version, fmt.Errorf("version %s is published in %s only: %w", d.version, d.r.dir, err)
		}
	}
	return d.version, nil
}

// seal puts files, manifest and checksum on the disk, all under the draft's name.
func (d *Draft) seal(m Manifest) error {
	disk := d.r.opts.disk
	files, err := d.hashAll()
	if err != nil {
		return err
	}
	m.FormatVersion, m.Version, m.Files = FormatVersion, d.version, files
	if vocab, ok := files[VocabFile]; ok {
		m.VocabSHA256 = vocab.SHA256
	}
	if m.Created.IsZero() {
		m.Created = d.r.opts.Now().UTC()
	}
	if problems := m.problems(); len(problems) > 0 {
		return fmt.Errorf("manifest: %s", strings.Join(problems, "; "))
	}
	data, err := encodeManifest(m)
	if err != nil {
		return err
	}
	if err := disk.write(filepath.Join(d.dir, manifestFile), data); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := disk.write(filepath.Join(d.dir, checksumFile), encodeChecksum(sumHex(data))); err != nil {
		return fmt.Errorf("write checksum of the manifest: %w", err)
	}
	if err := disk.syncDir(d.dir); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// hashAll reads every file of the draft, syncs it, and gives sizes and hashes.
// A manifest that an earlier, failed Publish left is removed.
func (d *Draft) hashAll() (map[string]File, error) {
	for _, name := range []string{manifestFile, checksumFile} {
		path := filepath.Join(d.dir, name)
		if _, err := os.Lstat(path); err == nil {
			if err := d.r.opts.disk.removeAll(path); err != nil {
				return nil, err
			}
		}
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]File, len(entries))
	for _, e := range entries {
		if files[e.Name()], err = d.hashOne(e.Name()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (d *Draft) hashOne(name string) (File, error) {
	path := filepath.Join(d.dir, name)
	f, err := openRegular(path)
	if err != nil {
		return File{}, err
	}
	sum, err := hashFile(f)
	if err == nil {
		err = d.r.opts.disk.sync(f)
	}
	return sum, errors.Join(err, f.Close())
}

// reveal gives the finished folder its name.
func (d *Draft) reveal() error {
	final := d.r.path(d.version)
	if _, err := os.Lstat(final); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the name is taken: %s (begin a new draft)", final)
	}
	if err := d.r.opts.disk.rename(d.dir, final); err != nil {
		return err
	}
	d.done = true
	return d.r.opts.disk.syncDir(d.r.dir)
}

// Abort removes the draft. After Publish it does nothing, so it can be deferred.
func (d *Draft) Abort() error {
	if d.done {
		return nil
	}
	d.done = true
	if err := d.r.opts.disk.removeAll(d.dir); err != nil {
		return fmt.Errorf("abort version %s: %w", d.version, err)
	}
	return nil
}
