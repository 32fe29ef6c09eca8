package pebblestore

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"seqrec/internal/event"
)

// The crash test runs this test binary again as a writer, reads its acknowledgements, and kills it.

// crashDir names the environment variable that turns the test binary into a writer on that directory.
const crashDir = "SEQREC_TEST_CRASH_DIR"

// crashWorkers is the number of goroutines that write at once.
const crashWorkers = 4

// crashOptions makes tables so small that flushes and compactions are among what is interrupted.
func crashOptions() Options { return Options{memTable: 128 << 10} }

// crashBatch is the batch of that number of a worker. Neighbouring batches share events, and so do workers.
func crashBatch(worker, number int) []event.Event {
	rng := rand.New(rand.NewPCG(uint64(number/2), uint64(worker/2)))
	out := make([]event.Event, 40)
	for i := range out {
		out[i] = event.Event{
			User: event.UserID(fmt.Sprintf("user-%d", rng.IntN(20))), Item: event.ItemID(fmt.Sprintf("item-%d", rng.IntN(300)+number)),
			Kind: event.DefaultKind, Time: int64(number/2*1_000_000 + rng.IntN(2_000_000)),
		}
	}
	return append(out, event.Event{
		User: event.UserID(fmt.Sprintf("worker-%d", worker)), Item: "own", Kind: "own", Time: int64(number),
	})
}

// crashWriter appends batches until it is killed, and prints a line "worker number" after each acknowledgement.
func crashWriter(dir string) {
	s, err := Open(dir, crashOptions())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var from [crashWorkers]int
	if _, err := fmt.Sscan(os.Getenv(crashDir+"_FROM"), &from[0], &from[1], &from[2], &from[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for w := range crashWorkers {
		go func() {
			for n := from[w]; ; n++ {
				if _, err := s.Append(context.Background(), crashBatch(w, n)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Printf("%d %d\n", w, n) // one write, not buffered
			}
		}()
	}
	select {}
}

func TestKillLosesNothing(t *testing.T) {
	kills := 8
	if testing.Short() {
		kills = 3
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	var acked [crashWorkers]int // batches acknowledged, all of them from 0 on
	for range kills {
		runAndKill(t, dir, &acked, 20+rng.IntN(200))
		checkAfterCrash(t, dir, acked)
	}
	t.Logf("acknowledged batches by worker after %d kills: %v", kills, acked)
}

// runAndKill lets a writer go on from what is acknowledged until so many more batches are, and kills it.
func runAndKill(t *testing.T, dir string, acked *[crashWorkers]int, lines int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	from := fmt.Sprint(acked[0], acked[1], acked[2], acked[3])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashDir+"_FROM="+from)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	seen := 0
	for ; in.Scan(); seen++ {
		if seen == lines {
			// SIGKILL; what is in the pipe by then has been acknowledged as well and is read to the end.
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var w, n int
		if _, err := fmt.Sscan(in.Text(), &w, &n); err != nil || n != acked[w] {
			t.Fatalf("line %q after %v: %v", in.Text(), *acked, err)
		}
		acked[w]++
	}
	if err := cmd.Wait(); err == nil || seen <= lines {
		t.Fatalf("writer ended by itself after %d lines: %v", seen, err)
	}
}

// checkAfterCrash opens the store and compares it with what was acknowledged, and with what may have been.
func checkAfterCrash(t *testing.T, dir string, acked [crashWorkers]int) {
	t.Helper()
	s, err := Open(dir, crashOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	must, may := make(map[event.Event]bool), make(map[event.Event]bool)
	for w, n := range acked {
		for i := range n + 1 {
			for _, e := range crashBatch(w, i) {
				may[e] = true
				must[e] = must[e] || i < n
			}
		}
	}
	err = s.Users(context.Background(), func(user event.UserID) error {
		got, err := whole(s, user)
		if err != nil {
			return err
		}
		if !slices.IsSortedFunc(got, event.Compare) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("history of %s is out of order or has doubles", user)
		}
		for _, e := range got {
			if !may[e] {
				t.Errorf("event %+v was never sent", e)
			}
			delete(must, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for e, acknowledged := range must {
		if acknowledged {
			t.Errorf("acknowledged event %+v is lost", e)
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+s.dir, crashDir+"_FROM=0 0 0 0")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("a second process opened the store")
	}
	if want := "in use by another process"; !strings.Contains(string(out), want) {
		t.Errorf("second process says %q, want %q in it", out, want)
	}
}
