//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package train

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the exclusive lock on f, or fails at once with ErrRunning. The
// system lets go of it when the process dies, so a lock is never stale.
func tryLock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrRunning
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}
