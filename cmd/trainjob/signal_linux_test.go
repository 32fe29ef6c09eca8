package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programArgs has, in the environment of a child process, the arguments with which
// it is to be the program.
const programArgs = "SEQREC_TEST_TRAINJOB_ARGS"

func TestAsProgram(*testing.T) {
	if args := os.Getenv(programArgs); args != "" {
		os.Args = append([]string{"trainjob"}, strings.Split(args, "\n")...)
		main()
	}
}

// A first signal asks; whoever cannot listen, here since a pipe has nothing to
// read, is ended by the second.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "items.csv")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "set")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAsProgram$")
	child.Env = append(os.Environ(), programArgs+"="+strings.Join([]string{"import", world(t), to, "--items", pipe}, "\n"))
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until the child reads
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // nothing is written
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for sent := 0; ; sent++ {
		if sent == 1000 {
			_ = child.Process.Kill()
			t.Fatalf("it lives after %d signals: %v", sent, <-ended)
		}
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("it ended with %v, want the signal", err)
			}
			if _, err := os.Stat(to); !os.IsNotExist(err) {
				t.Errorf("the target is there: %v", err)
			}
			return
		case <-again.C:
		}
	}
}
