//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package registry

import (
	"errors"
	"os"
)

// lockFile refuses: without flock two writers could undo each other's change.
// Reading a registry needs no lock and works everywhere.
func lockFile(path string) (unlock func() error, err error) {
	return nil, &os.PathError{Op: "lock", Path: path, Err: errors.ErrUnsupported}
}
