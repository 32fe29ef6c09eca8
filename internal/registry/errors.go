package registry

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a registry. Every refusal is a [Fault] that wraps one of
// these and names the file and the mend.
var (
	// ErrNotFound: there is no version of that name, or nothing to roll back to.
	ErrNotFound = errors.New("not found")
	// ErrNoCurrent: no version has been promoted.
	ErrNoCurrent = errors.New("no current version")
	// ErrIncomplete: a file that belongs to the version is missing.
	ErrIncomplete = errors.New("incomplete")
	// ErrCorrupt: a file is not what was published.
	ErrCorrupt = errors.New("corrupt")
	// ErrNewerFormat: the version was written by a newer program.
	ErrNewerFormat = errors.New("newer format")
	// ErrMoved: another version is current than the one to be left.
	ErrMoved = errors.New("another version is current")
	// ErrInUse: the version is the current one and cannot be removed.
	ErrInUse = errors.New("in use")
	// ErrLost: the lock on a bucket's nights is no longer ours.
	ErrLost = errors.New("the lock is lost")
)

// Fault is one thing wrong with one file or folder.
type Fault struct {
	Path   string // the file or folder
	Kind   error  // one of the sentinels above
	Detail string // what is wrong
	Mend   string // what a person can do about it

	unread bool // the system did not let us look: the bytes may be whole
}

// Error gives path, kind, detail and mend in one line.
func (f *Fault) Error() string {
	return fmt.Sprintf("%s: %v: %s (%s)", f.Path, f.Kind, f.Detail, f.Mend)
}

// Unwrap gives the sentinel.
func (f *Fault) Unwrap() error { return f.Kind }

// Faults is all that is wrong with one version or registry. An empty Faults is
// not an error; see [Faults.Err].
type Faults []*Fault

// Error gives the faults in one line.
func (f Faults) Error() string {
	parts := make([]string, len(f))
	for i, fault := range f {
		parts[i] = fault.Error()
	}
	return strings.Join(parts, "; ")
}

// Unwrap lets errors.Is find the kind of any of the faults.
func (f Faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i, fault := range f {
		errs[i] = fault
	}
	return errs
}

// Err gives nil when there is no fault, and the faults otherwise.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// The mends that more than one fault has.
const (
	mendVersion = "roll back or promote another version; publish this one again or remove its folder"
	mendNewer   = "update this program, or promote a version that it wrote"
)
