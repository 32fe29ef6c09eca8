package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// ErrLocked says that another process, or another part of this one, holds a lock.
var ErrLocked = errors.New("locked")

// TryLock takes the exclusive lock on a file, which it makes, without waiting, and
// gives its release, which removes the file. While somebody has it the error wraps
// ErrLocked and names the process. Where the system knows no such locks the error
// wraps errors.ErrUnsupported. The system lets go of a lock when its process dies.
func TryLock(path string) (unlock func() error, err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := flock(f, false); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, errors.Join(holder(path, err), f.Close()))
		}
		if same(f, path) {
			err := f.Truncate(0)
			if err == nil {
				_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
			}
			if err != nil {
				return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, f.Close()))
			}
			return func() error { return errors.Join(os.Remove(path), f.Close()) }, nil
		}
		// Who had the lock has removed the file since we opened it: it locks nothing now.
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// same reports whether path still names the open file.
func same(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// holder adds to ErrLocked who has the lock, as far as the file tells.
func holder(path string, err error) error {
	if !errors.Is(err, ErrLocked) {
		return err
	}
	pid, readErr := os.ReadFile(path)
	if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) || len(pid) == 0 {
		return err
	}
	return fmt.Errorf("%w by process %s", err, strings.TrimSpace(string(pid)))
}

// lockFile waits for the exclusive lock on path and gives its release.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f, true); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
