package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Version is a published version whose every byte has been verified.
type Version struct {
	ID       string
	Manifest Manifest

	dir string
}

// Load verifies a version in full (form, sizes, SHA-256 of every file) and gives it.
// The error lists all faults; errors.Is finds ErrNotFound, ErrIncomplete, ErrCorrupt
// or ErrNewerFormat in it. A caller that has a model keeps it.
func (r *Registry) Load(version string) (*Version, error) {
	if err := r.mustExist(version); err != nil {
		return nil, fmt.Errorf("load version: %w", err)
	}
	m, faults := r.check(version, true)
	if err := faults.Err(); err != nil {
		return nil, fmt.Errorf("load version %s: %w", version, err)
	}
	return &Version{ID: version, Manifest: m, dir: r.path(version)}, nil
}

// Validate lists all that is wrong with a version, nothing when it is whole.
func (r *Registry) Validate(version string) Faults {
	if err := r.mustExist(version); err != nil {
		var fault *Fault
		if errors.As(err, &fault) {
			return Faults{fault}
		}
		return Faults{unreadable(r.path(version), err)}
	}
	_, faults := r.check(version, true)
	return faults
}

// Check lists all that is wrong with the registry: current, history and every
// version, each verified in full. Leftover drafts are no fault.
func (r *Registry) Check() (Faults, error) {
	names, err := r.versions()
	if err != nil {
		return nil, err
	}
	var faults Faults
	current, err := r.Current()
	if err != nil && !errors.Is(err, ErrNoCurrent) {
		faults = append(faults, asFault(r.path(currentFile), err))
	}
	if current != "" && !slices.Contains(names, current) {
		faults = append(faults, &Fault{Path: r.path(currentFile), Kind: ErrIncomplete,
			Detail: "it names version " + current + ", which is not there", Mend: "roll back or promote another version"})
	}
	if _, err := r.readHistory(); err != nil {
		faults = append(faults, asFault(r.path(historyFile), err))
	}
	for _, name := range names {
		_, more := r.check(name, true)
		faults = append(faults, more...)
	}
	return faults, nil
}

// Dir gives the version's folder.
func (v *Version) Dir() string { return v.dir }

// Has reports whether the version has a file of that name.
func (v *Version) Has(name string) bool {
	_, ok := v.Manifest.Files[name]
	return ok
}

// Size gives the bytes of a file of the version, 0 when there is none.
func (v *Version) Size(name string) int64 { return v.Manifest.Files[name].Bytes }

// Open opens a file of the version for reading; only files of the manifest can be
// opened. The caller closes it. An open file stays readable when the version is
// removed.
func (v *Version) Open(name string) (*os.File, error) {
	path := filepath.Join(v.dir, name)
	want, ok := v.Manifest.Files[name]
	if !ok {
		return nil, &Fault{Path: path, Kind: ErrNotFound, Detail: "version " + v.ID + " has no such file", Mend: "publish a version that has it"}
	}
	f, err := openRegular(path)
	if err != nil {
		return nil, asFault(path, err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() != want.Bytes {
		err = wrongSize(path, st.Size(), want.Bytes)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// check looks at one version folder: the manifest, its checksum, that every file
// is there with its size and, when deep, its hash.
func (r *Registry) check(version string, deep bool) (Manifest, Faults) {
	return r.checkFolder(r.path(version), version, deep)
}

// checkFolder is check for a version in any folder.
func (r *Registry) checkFolder(dir, version string, deep bool) (Manifest, Faults) {
	if st, err := os.Lstat(dir); err != nil {
		return Manifest{}, Faults{asFault(dir, err)}
	} else if !st.IsDir() {
		return Manifest{}, Faults{{Path: dir, Kind: ErrCorrupt, Detail: "it is not a folder", Mend: mendVersion}}
	}
	path := filepath.Join(dir, manifestFile)
	data, err := readBounded(path, maxManifest)
	if err != nil {
		return Manifest{}, Faults{asFault(path, err)}
	}
	m, faults := parseManifest(path, data)
	if errors.Is(faults, ErrNewerFormat) {
		return m, faults
	}
	if fault := checkSum(dir, data); fault != nil {
		faults = append(faults, fault)
	}
	if len(faults) > 0 {
		return m, faults
	}
	if m.Version != version {
		faults = append(faults, &Fault{Path: path, Kind: ErrCorrupt, Detail: "it belongs to version " + m.Version, Mend: mendVersion})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if fault := checkFile(filepath.Join(dir, name), m.Files[name], deep); fault != nil {
			faults = append(faults, fault)
		}
	}
	return m, faults
}

// checkSum holds the manifest's bytes to the checksum beside it.
func checkSum(dir string, manifest []byte) *Fault {
	path := filepath.Join(dir, checksumFile)
	data, err := readBounded(path, 200)
	if err != nil {
		return asFault(path, err)
	}
	want, ok := parseChecksum(data)
	if !ok {
		return &Fault{Path: path, Kind: ErrCorrupt, Detail: "it is not a line of sha256sum for " + manifestFile, Mend: mendVersion}
	}
	if got := sumHex(manifest); got != want {
		return &Fault{Path: filepath.Join(dir, manifestFile), Kind: ErrCorrupt,
			Detail: fmt.Sprintf("its SHA-256 is %s, published as %s", got, want), Mend: mendVersion}
	}
	return nil
}

// checkFile holds one file to the manifest.
func checkFile(path string, want File, deep bool) *Fault {
	f, err := openRegular(path)
	if err != nil {
		return asFault(path, err)
	}
	defer f.Close() // nothing was written
	st, err := f.Stat()
	if err != nil {
		return unreadable(path, err)
	}
	if st.Size() != want.Bytes {
		return wrongSize(path, st.Size(), want.Bytes)
	}
	if !deep {
		return nil
	}
	got, err := hashFile(f)
	if err != nil {
		return unreadable(path, err)
	}
	if got.SHA256 != want.SHA256 {
		return &Fault{Path: path, Kind: ErrCorrupt,
			Detail: fmt.Sprintf("its SHA-256 is %s, published as %s", got.SHA256, want.SHA256), Mend: mendVersion}
	}
	return nil
}

// sumHex gives the SHA-256 of data in lower-case hex.
func sumHex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// hashFile reads the rest of r.
func hashFile(r io.Reader) (File, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return File{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

func wrongSize(path string, got, want int64) *Fault {
	return &Fault{Path: path, Kind: ErrCorrupt,
		Detail: fmt.Sprintf("it has %d bytes, published with %d", got, want), Mend: mendVersion}
}

// unreadable is for a system that refuses to read what is there.
func unreadable(path string, err error) *Fault {
	return &Fault{Path: path, Kind: ErrCorrupt, Detail: "cannot be read: " + err.Error(), Mend: "check the disk and the rights on the file", unread: true}
}

// asFault gives an error of reading path its kind.
func asFault(path string, err error) *Fault {
	var fault *Fault
	var irregular *irregularError
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.Is(err, fs.ErrNotExist):
		return &Fault{Path: path, Kind: ErrIncomplete, Detail: "the file is missing", Mend: mendVersion}
	case errors.As(err, &irregular), errors.Is(err, errTooLong):
		return &Fault{Path: path, Kind: ErrCorrupt, Detail: err.Error(), Mend: mendVersion}
	}
	return unreadable(path, err)
}
