package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// maxHistory is how many promotions are remembered.
	maxHistory = 100
	// maxHistoryBytes bounds what is read of a history.
	maxHistoryBytes = 64 << 10
)

// promotion is one line of the history.
type promotion struct {
	version string
	at      time.Time
}

// Promote verifies a version in full and makes it the current one. Watchers see it at
// their next look. Promoting the current version only verifies it, and behind a
// [Mirror] stores it in the bucket again if need be.
func (r *Registry) Promote(version string) error { return r.promote(version, true, nil) }

// PromoteOver is Promote if the current version is old, the version itself or none
// that can be read, and ErrMoved if it is another: what was found to be better than
// one version need not be better than the next. Behind a [Mirror] it first pulls
// what others have promoted in the bucket.
func (r *Registry) PromoteOver(old, version string) error {
	if r.mirror != nil {
		err := r.mirror.Pull(context.Background()) // as in push: what follows cannot be stopped half-way either
		var broken *Fault
		if err != nil && !errors.As(err, &broken) { // one without a whole version is mended by being replaced
			return fmt.Errorf("promote %s: %w", version, err)
		}
	}
	return r.promote(version, true, &old)
}

// promote is Promote; tell says whether the bucket behind it must hear of it, over,
// when not nil, which version it may take the place of.
func (r *Registry) promote(version string, tell bool, over *string) error {
	if tell {
		if err := r.mayWrite(); err != nil {
			return fmt.Errorf("promote %s: %w", version, err)
		}
	}
	err := r.locked(func() error {
		if _, err := r.Load(version); err != nil {
			return fmt.Errorf("promote: %w", err)
		}
		if err := r.replaceable(); err != nil {
			return fmt.Errorf("promote %s: %w", version, err)
		}
		// A current that is missing or corrupt is mended by being replaced.
		current, _ := r.Current()
		if current == version {
			return nil
		}
		if over != nil && current != "" && current != *over {
			return fmt.Errorf("promote %s: %w", version, &Fault{Path: r.path(currentFile), Kind: ErrMoved,
				Detail: fmt.Sprintf("it names %s, not %q", current, *over), Mend: "compare the two, then promote the better by name"})
		}
		past, err := r.readHistory()
		if err != nil {
			return fmt.Errorf("promote %s: %w", version, err)
		}
		now := r.opts.Now().UTC()
		past = upTo(past, current, now)
		past = append(past, promotion{version, now})
		// History first: should the crash come between the two, the line too many
		// stands after current and is not part of its past.
		if err := r.replace(historyFile, encodeHistory(past)); err != nil {
			return fmt.Errorf("promote %s: write history: %w", version, err)
		}
		if err := r.replace(currentFile, []byte(version+"\n")); err != nil {
			return fmt.Errorf("promote %s: %w", version, err)
		}
		return nil
	})
	if err == nil && tell {
		err = r.tell(version)
	}
	return err
}

// tell passes on that a version became current.
func (r *Registry) tell(version string) error {
	if r.opts.changed == nil {
		return nil
	}
	return r.opts.changed(version, true)
}

// Rollback makes the version promoted before the current one current again, and gives
// its name. Versions that are gone or broken are passed over. Rolling back again
// goes further back; ErrNotFound says that there is nothing further.
func (r *Registry) Rollback() (string, error) { return r.rollback("") }

// RollbackFrom is Rollback if the current version is from, and ErrMoved if it is
// another: of several who leave one version, one takes the step.
func (r *Registry) RollbackFrom(from string) (string, error) { return r.rollback(from) }

func (r *Registry) rollback(from string) (string, error) {
	var version string
	err := r.locked(func() error {
		if err := r.replaceable(); err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		if from != "" {
			if current, err := r.Current(); err != nil {
				return fmt.Errorf("roll back from %s: %w", from, err)
			} else if current != from {
				return fmt.Errorf("roll back: %w", &Fault{Path: r.path(currentFile), Kind: ErrMoved,
					Detail: "it names " + current + ", not " + from, Mend: "look again, then roll back from that one"})
			}
		}
		past, err := r.past()
		if err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		var passed []error
		current, _ := r.Current()
		for i, p := range slices.Backward(past) {
			if p.version == current {
				continue
			}
			if _, err := r.Load(p.version); err != nil {
				passed = append(passed, err)
				continue
			}
			// History first, as in Promote: a crash between the two leaves a current
			// that the history does not know, whose past is all of it.
			err := r.replace(historyFile, encodeHistory(past[:i+1]))
			if err == nil {
				err = r.replace(currentFile, []byte(p.version+"\n"))
			}
			if err != nil {
				return fmt.Errorf("roll back to %s: %w", p.version, err)
			}
			version = p.version
			return nil
		}
		nothing := &Fault{Path: r.path(historyFile), Kind: ErrNotFound,
			Detail: "no whole version was promoted before the current one", Mend: "promote a version by name"}
		return fmt.Errorf("roll back: %w", errors.Join(append([]error{nothing}, passed...)...))
	})
	if err == nil {
		err = r.tell(version)
	}
	return version, err
}

// Past gives the versions that were current before the present one, latest first, each once. They need not be whole,
// nor there any more.
func (r *Registry) Past() ([]string, error) {
	past, err := r.past()
	if err != nil {
		return nil, fmt.Errorf("list promotions: %w", err)
	}
	current, _ := r.Current() // a fault of it is no reason to know less
	var versions []string
	for _, p := range slices.Backward(past) {
		if p.version != current && !slices.Contains(versions, p.version) {
			versions = append(versions, p.version)
		}
	}
	return versions, nil
}

// past gives the promotions before the current one, oldest first. Without a
// readable current, and with one that the history does not know, that is all of it.
func (r *Registry) past() ([]promotion, error) {
	list, err := r.readHistory()
	if err != nil {
		return nil, err
	}
	current, _ := r.Current()
	if i := lastIndex(list, current); i >= 0 {
		list = list[:i]
	}
	return list, nil
}

// rollbackTarget gives the version that Rollback would try first among those that
// show no fault, or "" when there is none.
func (r *Registry) rollbackTarget() (string, error) {
	past, err := r.past()
	if err != nil {
		return "", err
	}
	current, _ := r.Current()
	for _, p := range slices.Backward(past) {
		if p.version == current {
			continue
		}
		if _, faults := r.check(p.version, false); len(faults) == 0 {
			return p.version, nil
		}
	}
	return "", nil
}

// upTo cuts the history after the current version; a current that the history does
// not know is added. The oldest lines go when there are too many.
func upTo(list []promotion, current string, now time.Time) []promotion {
	if current == "" {
		return list
	}
	if i := lastIndex(list, current); i >= 0 {
		list = list[:i+1]
	} else {
		list = append(list, promotion{current, now})
	}
	if over := len(list) - (maxHistory - 1); over > 0 {
		list = list[over:]
	}
	return list
}

func lastIndex(list []promotion, version string) int {
	for i, p := range slices.Backward(list) {
		if p.version == version {
			return i
		}
	}
	return -1
}

// encodeHistory gives the bytes of the history file: a line a promotion, version and time.
func encodeHistory(list []promotion) []byte {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s %s\n", p.version, p.at.Format(time.RFC3339))
	}
	return []byte(b.String())
}

// readHistory reads the history file, oldest promotion first; no file is no history.
func (r *Registry) readHistory() ([]promotion, error) {
	path := r.path(historyFile)
	data, err := readBounded(path, maxHistoryBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var list []promotion
		if list, err = parseHistory(string(data)); err == nil {
			return list, nil
		}
	}
	return nil, &Fault{Path: path, Kind: ErrCorrupt, Detail: err.Error(),
		Mend: "move the file away; rollback then begins anew, current stays"}
}

// parseHistory is the inverse of encodeHistory. It refuses a line it does not
// understand, the last one cut short included.
func parseHistory(data string) ([]promotion, error) {
	var list []promotion
	for n := 1; data != ""; n++ {
		line, rest, ended := strings.Cut(data, "\n")
		version, at, _ := strings.Cut(line, " ")
		when, err := time.Parse(time.RFC3339, at)
		if !ended || err != nil || !validVersion(version) {
			return nil, fmt.Errorf("line %d, %.60q, is not a version and a time", n, line)
		}
		list = append(list, promotion{version, when})
		data = rest
	}
	return list, nil
}

// replaceable says whether current and history can be replaced: a rename does not
// take the place of a folder.
func (r *Registry) replaceable() error {
	for _, name := range [...]string{currentFile, historyFile} {
		if st, err := os.Lstat(r.path(name)); err == nil && st.IsDir() {
			return folded(r.path(name))
		}
	}
	return nil
}

// folded is for a folder that stands where a file of the registry belongs.
func folded(path string) *Fault {
	return &Fault{Path: path, Kind: ErrCorrupt, Detail: "it is a folder, where a file belongs",
		Mend: "move the folder out of the registry, then promote a version"}
}

// replace puts new bytes in the place of a file of the registry, atomically.
func (r *Registry) replace(name string, data []byte) error {
	id, err := r.newID()
	if err != nil {
		return err
	}
	return r.opts.disk.replace(r.path(name), r.tempPath(name+"-"+id), data)
}

// locked runs change while no other process or goroutine changes the registry.
func (r *Registry) locked(change func() error) (err error) {
	unlock, err := lockFile(r.path(lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Fault{Path: r.dir, Kind: ErrNotFound, Detail: "there is no registry", Mend: "publish a version, which makes it"}
	}
	if err != nil {
		return fmt.Errorf("lock registry: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return change()
}
