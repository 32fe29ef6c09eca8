package main

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"unsafe"
)

// ioctl passes a pointer to a device.
func ioctl(t *testing.T, f *os.File, what uintptr, arg unsafe.Pointer) {
	t.Helper()
	if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), what, uintptr(arg)); err != 0 {
		t.Fatalf("ioctl %#x: %v", what, err)
	}
}

// pseudoTerminal opens a new terminal, whose width is 0 until somebody says another.
func pseudoTerminal(t *testing.T) *os.File {
	t.Helper()
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	master := open("/dev/ptmx")
	var locked, number int32
	ioctl(t, master, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	ioctl(t, master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	return open("/dev/pts/" + strconv.Itoa(int(number)))
}

func TestBarNeedsAWidth(t *testing.T) {
	t.Setenv("TERM", "xterm")
	terminal := pseudoTerminal(t)
	if isTerminal(terminal) {
		t.Error("a bar for a terminal of no width: nobody would see it")
	}
	size := [4]uint16{24, 80}
	ioctl(t, terminal, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	if !isTerminal(terminal) {
		t.Error("no bar for a terminal of 80 columns")
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close() //nolint:errcheck // nothing was written
	if isTerminal(null) {
		t.Error("a bar for nobody")
	}
}
