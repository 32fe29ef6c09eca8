//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package registry

import (
	"errors"
	"os"
)

// flock refuses: without it two writers could undo each other's change. Reading a
// registry needs no lock and works everywhere.
func flock(f *os.File, _ bool) error {
	return &os.PathError{Op: "lock", Path: f.Name(), Err: errors.ErrUnsupported}
}
