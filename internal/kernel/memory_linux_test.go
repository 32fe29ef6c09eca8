package kernel

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// guardPages puts slices directly before a page that may not be touched, or
// directly after one: a read out of bounds ends the test.
type guardPages struct{ after bool }

func (g guardPages) String() string {
	if g.after {
		return "after a guard page"
	}
	return "before a guard page"
}

func (g guardPages) floats(t testing.TB, n int) ([]float32, func() bool) {
	t.Helper()
	page := os.Getpagesize()
	size := (4*n + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(all) })
	for _, guarded := range [][]byte{all[:page], all[page+size:]} {
		if err := syscall.Mprotect(guarded, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		return nil, func() bool { return true }
	}
	from := page + size - 4*n
	if g.after {
		from = page
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&all[from])), n), func() bool { return true }
}

func memories() []memory {
	return []memory{guardValues{0}, guardValues{3}, guardPages{}, guardPages{after: true}}
}
