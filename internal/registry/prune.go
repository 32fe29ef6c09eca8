package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Prune removes old versions and gives their names. It keeps the newest keep
// versions, the current one and the one Rollback would take. Folders with a fault,
// of a newer format included, are neither counted nor removed: they may be
// somebody's evidence, or somebody else's; PruneBroken removes those that are
// damaged, and Remove takes any by name.
func (r *Registry) Prune(keep int) ([]string, error) {
	if keep < 0 {
		return nil, fmt.Errorf("prune: cannot keep %d versions", keep)
	}
	var removed []string
	err := r.locked(func() error {
		// Without knowing what is served nothing may go.
		if _, err := r.Current(); err != nil && !errors.Is(err, ErrNoCurrent) {
			return fmt.Errorf("prune: %w", err)
		}
		if _, err := r.rollbackTarget(); err != nil {
			return fmt.Errorf("prune: %w", err)
		}
		infos, err := r.List()
		if err != nil {
			return fmt.Errorf("prune: %w", err)
		}
		whole := 0
		for _, info := range infos {
			if info.Fault != nil {
				continue
			}
			if whole++; whole <= keep || info.Current || info.Rollback {
				continue
			}
			if err := r.remove(info.Version); err != nil {
				return fmt.Errorf("prune: %w", err)
			}
			removed = append(removed, info.Version)
		}
		return nil
	})
	return removed, err
}

// PruneBroken verifies every version in full, removes those that are not what was
// published, and gives their names. The current one stays, and so do versions of a
// newer format and those that the system does not let us read: they may be whole.
func (r *Registry) PruneBroken() ([]string, error) {
	var removed []string
	err := r.locked(func() error {
		current, err := r.Current()
		if err != nil && !errors.Is(err, ErrNoCurrent) {
			return fmt.Errorf("prune: %w", err)
		}
		names, err := r.versions()
		if err != nil {
			return fmt.Errorf("prune: %w", err)
		}
		for _, name := range names {
			if _, faults := r.check(name, true); name == current || !faults.damage() {
				continue
			}
			if err := r.remove(name); err != nil {
				return fmt.Errorf("prune: %w", err)
			}
			removed = append(removed, name)
		}
		return nil
	})
	return removed, err
}

// damage reports whether the faults are those of a version that is lost.
func (f Faults) damage() bool {
	return len(f) > 0 && !slices.ContainsFunc(f, func(f *Fault) bool { return f.unread || errors.Is(f, ErrNewerFormat) })
}

// Remove removes one version, whole or broken. The current one is refused with
// ErrInUse.
func (r *Registry) Remove(version string) error {
	return r.locked(func() error {
		if err := r.mustExist(version); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		current, err := r.Current()
		if err != nil && !errors.Is(err, ErrNoCurrent) {
			return fmt.Errorf("remove %s: %w", version, err)
		}
		if current == version {
			return fmt.Errorf("remove: %w", &Fault{Path: r.path(version), Kind: ErrInUse,
				Detail: "it is the current version", Mend: "promote another version first"})
		}
		return r.remove(version)
	})
}

// remove takes the name away first, so that no reader meets half a version.
func (r *Registry) remove(version string) error {
	aside := r.tempPath("removed-" + version)
	if err := r.opts.disk.rename(r.path(version), aside); err != nil {
		return fmt.Errorf("remove version %s: %w", version, err)
	}
	if err := r.opts.disk.removeAll(aside); err != nil {
		return fmt.Errorf("remove version %s: %w", version, err)
	}
	return nil
}

// Sweep removes what crashes have left, drafts above all, when nothing in it has
// been touched for age. It gives the names removed. Begin calls it.
func (r *Registry) Sweep(age time.Duration) ([]string, error) {
	names, err := readNames(r.dir)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		touched, err := lastTouched(r.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // its owner was faster
		}
		if err != nil {
			return removed, fmt.Errorf("sweep %s: %w", name, err)
		}
		if r.opts.Now().Sub(touched) < age {
			continue
		}
		if err := r.opts.disk.removeAll(r.path(name)); err != nil {
			return removed, fmt.Errorf("sweep %s: %w", name, err)
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// lastTouched gives the latest change of a file or folder and all in it.
func lastTouched(path string) (time.Time, error) {
	var latest time.Time
	err := filepath.WalkDir(path, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		if st.ModTime().After(latest) {
			latest = st.ModTime()
		}
		return nil
	})
	return latest, err
}
