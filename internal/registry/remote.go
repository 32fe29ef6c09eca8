package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// List gives the versions in the bucket, newest first, as their manifests tell of them. What is visibly wrong, such as a
// missing file, is said of each; no file but the manifest is read.
func (m *Mirror) List(ctx context.Context) ([]Info, error) {
	objects, err := m.bucket.List(ctx, "")
	if err != nil {
		return nil, err
	}
	files := map[string][]string{}
	for _, name := range objects {
		if version, file, ok := strings.Cut(name, "/"); ok && validVersion(version) {
			files[version] = append(files[version], file)
		}
	}
	current, past, err := m.course(ctx)
	if err != nil {
		return nil, err
	}
	var infos []Info
	for _, version := range slices.Backward(slices.Sorted(maps.Keys(files))) {
		info := Info{Version: version, Current: version == current}
		var faults Faults
		if info.Manifest, faults, err = m.look(ctx, version, files[version]); err != nil {
			return nil, err
		}
		info.Bytes, info.Fault = info.Manifest.Bytes(), faults.Err()
		infos = append(infos, info)
	}
	for _, version := range slices.Backward(past) {
		i := slices.IndexFunc(infos, func(i Info) bool { return i.Version == version && i.Fault == nil && !i.Current })
		if i >= 0 {
			infos[i].Rollback = true
			break
		}
	}
	return infos, nil
}

// course gives the version that the bucket's current names, "" without one that can be read, and those promoted before
// it, oldest first.
func (m *Mirror) course(ctx context.Context) (current string, past []string, err error) {
	data, err := m.bucket.Read(ctx, currentFile, 200)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	if current = strings.TrimSpace(string(data)); !validVersion(current) {
		current = ""
	}
	_, list, err := m.history(ctx)
	if err != nil {
		return "", nil, err
	}
	if i := lastIndex(list, current); i >= 0 {
		list = list[:i]
	}
	for _, p := range list {
		past = append(past, p.version)
	}
	return current, past, nil
}

// history reads the bucket's history; one that is not there, or not readable, is none.
func (m *Mirror) history(ctx context.Context) ([]byte, []promotion, error) {
	data, err := m.bucket.Read(ctx, historyFile, maxHistoryBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	list, err := parseHistory(string(data))
	if err != nil {
		return nil, nil, nil //nolint:nilerr // the next promotion writes it anew
	}
	return data, list, nil
}

// look reads the manifest of a version that has these files in the bucket.
func (m *Mirror) look(ctx context.Context, version string, files []string) (Manifest, Faults, error) {
	at := m.bucket.Name() + "/" + version + "/"
	missing := func(name string) *Fault {
		return &Fault{Path: at + name, Kind: ErrIncomplete, Detail: "the file is missing", Mend: mendVersion}
	}
	if !slices.Contains(files, manifestFile) {
		return Manifest{}, Faults{missing(manifestFile)}, nil
	}
	data, err := m.bucket.Read(ctx, version+"/"+manifestFile, maxManifest)
	if err != nil {
		return Manifest{}, nil, err
	}
	manifest, faults := parseManifest(at+manifestFile, data)
	for _, name := range append(slices.Sorted(maps.Keys(manifest.Files)), checksumFile) {
		if !slices.Contains(files, name) {
			faults = append(faults, missing(name))
		}
	}
	return manifest, faults, nil
}

// Resolve turns what a person says into a version, as [Registry.Resolve] does, of those in the bucket. The version is
// then in the folder, verified in full.
func (m *Mirror) Resolve(ctx context.Context, name string) (string, error) {
	infos, err := m.List(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(infos, func(i Info) bool {
		switch name {
		case "current":
			return i.Current
		case "latest":
			return i.Fault == nil
		}
		return i.Version == name
	})
	if i < 0 {
		return "", &Fault{Path: m.bucket.Name(), Kind: ErrNotFound, Detail: fmt.Sprintf("there is no version %.60q", name), Mend: "list the versions for their names"}
	}
	return infos[i].Version, m.bring(ctx, infos[i].Version)
}

// bring fetches a version unless the folder has it whole.
func (m *Mirror) bring(ctx context.Context, version string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, faults := m.reg.check(version, true); len(faults) == 0 {
		return nil
	}
	if err := m.fetch(ctx, version); err != nil {
		return fmt.Errorf("fetch version %s: %w", version, err)
	}
	return nil
}

// Rollback is [Registry.Rollback] along the history of the bucket: what was promoted from any machine counts, and the
// version is fetched first if it is not in the folder. Call it after Pull.
func (m *Mirror) Rollback(ctx context.Context) (string, error) {
	past, err := m.reg.Past()
	if err != nil {
		return "", err
	}
	for _, version := range past {
		err := m.bring(ctx, version)
		if err == nil {
			break
		}
		var fault *Fault
		if !errors.As(err, &fault) { // gone or broken is passed over, away is not
			return "", fmt.Errorf("roll back: %w", err)
		}
	}
	return m.reg.Rollback()
}
