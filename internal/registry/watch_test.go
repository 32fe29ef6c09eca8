package registry

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// watching is a Follow whose ticks the test gives. Because ticks is unbuffered, a
// second send returns only after the look of the first has ended.
type watching struct {
	t     *testing.T
	ticks chan time.Time
	done  chan error
	stop  context.CancelFunc

	refuse error // what accept answers
	seen   []string
	faults []error
}

func follow(t *testing.T, r *Registry) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{t: t, ticks: make(chan time.Time), done: make(chan error, 1), stop: cancel}
	go func() {
		w.done <- r.Follow(ctx, w.ticks, func(v string) error {
			w.seen = append(w.seen, v)
			return w.refuse
		}, func(err error) { w.faults = append(w.faults, err) })
	}()
	t.Cleanup(cancel)
	return w
}

// look makes Follow look and waits until it has: the second tick is taken only
// when the look of the first is over, and the third when that of the second is.
func (w *watching) look() {
	w.t.Helper()
	w.ticks <- time.Time{}
}

// end closes the ticks and waits; after it seen and faults may be read.
func (w *watching) end() {
	w.t.Helper()
	close(w.ticks)
	if err := <-w.done; err != nil {
		w.t.Errorf("Follow ended with %v", err)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a, b := mustPublish(t, r, "a"), mustPublish(t, r, "b")
	w := follow(t, r)
	w.look() // taken once the first look, at nothing, is over
	w.look()
	mustPromote(t, r, a)
	w.look()
	w.look()
	mustPromote(t, r, b)
	w.look()
	w.look()
	if _, err := r.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.end()
	if !slices.Equal(w.seen, []string{a, b, a}) {
		t.Errorf("saw %v", w.seen)
	}
	if len(w.faults) != 0 {
		t.Errorf("faults %v", w.faults)
	}
}

// TestFollowThroughLoss takes current, and then the whole folder, away and back.
func TestFollowThroughLoss(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a, b := mustPublish(t, r, "a"), mustPublish(t, r, "b")
	mustPromote(t, r, a)
	w := follow(t, r)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w.look()
		w.look()
		w.look()
	}
	// Aside and renamed, as a look may be under way at any time.
	set := func(text string) error {
		return errors.Join(os.WriteFile(r.tempPath("by-hand"), []byte(text), 0o644), os.Rename(r.tempPath("by-hand"), r.path(currentFile)))
	}
	do(nil)
	do(set("garbage"))
	do(set(a)) // the same version: nothing to say
	do(os.Rename(r.Dir(), r.Dir()+"x"))
	do(os.Rename(r.Dir()+"x", r.Dir()))
	do(os.Remove(r.path(currentFile)))
	do(r.Promote(b))
	w.end()
	if !slices.Equal(w.seen, []string{a, b}) {
		t.Errorf("saw %v", w.seen)
	}
	if len(w.faults) != 3 || !errors.Is(w.faults[0], ErrCorrupt) || !errors.Is(w.faults[1], ErrNoCurrent) || !errors.Is(w.faults[2], ErrNoCurrent) {
		t.Errorf("faults %v", w.faults)
	}
}

// TestFollowOffersAgain wants a refused version to come back after 1, 2, 4 ... 32
// looks, and another version at once.
func TestFollowOffersAgain(t *testing.T) {
	t.Parallel()
	refuse := errors.New("not loadable yet")
	var offered []int
	var faults []error
	f := follower{fault: func(err error) { faults = append(faults, err) }}
	for i := range 150 {
		f.accept = func(string) error { offered = append(offered, i); return refuse }
		f.look("a", nil)
	}
	if want := []int{0, 1, 3, 7, 15, 31, 63, 95, 127}; !slices.Equal(offered, want) {
		t.Errorf("offered at looks %v, want %v", offered, want)
	}
	if len(faults) != 1 || !errors.Is(faults[0], refuse) {
		t.Errorf("faults %v, want one", faults)
	}
	var got []string
	f.accept = func(v string) error { got = append(got, v); return nil }
	f.look("b", nil)
	f.look("b", nil)
	f.look("a", nil) // a new promotion of the refused one is a new chance
	if !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("accepted %v", got)
	}
}

func TestWatchEndsWithContext(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	a := mustPublish(t, r, "a")
	mustPromote(t, r, a)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []string
	// The first look comes at once, so an hour's interval is no wait.
	err := r.Watch(ctx, time.Hour, func(v string) { seen = append(seen, v); cancel() })
	if !errors.Is(err, context.Canceled) || !slices.Equal(seen, []string{a}) {
		t.Errorf("saw %v, ended with %v", seen, err)
	}
}
