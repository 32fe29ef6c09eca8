package registry

import (
	"context"
	"errors"
	"time"
)

// maxWait bounds, in looks, the pause before a refused version is tried again.
const maxWait = 32

// Watch calls fn with the current version, now and whenever another one is promoted,
// looking every so often. It returns the context's error when ctx ends. It compares
// what current says, not times, and polls, so it works on any file system.
// A registry that is missing, vanishes or has a broken current is waited for; fn
// has the last version meanwhile. Use [Registry.Follow] to hear of such faults and
// to have a version that could not be loaded offered again.
func (r *Registry) Watch(ctx context.Context, every time.Duration, fn func(version string)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	accept := func(version string) error { fn(version); return nil }
	return r.Follow(ctx, ticker.C, accept, func(error) {})
}

// Follow is Watch with its looks given by ticks, besides the one at once. A version
// that accept refuses with an error is offered again after 1, 2, 4, up to 32 looks:
// a folder may arrive later than the file that names it. fault hears what goes
// wrong, once for each different message in a row: a current that cannot be read, and what
// accept says. Closing ticks ends Follow with nil.
func (r *Registry) Follow(ctx context.Context, ticks <-chan time.Time, accept func(version string) error, fault func(error)) error {
	f := follower{accept: accept, fault: fault}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.look(r.Current())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-ticks:
			if !ok {
				return nil
			}
		}
	}
}

// follower is what Follow remembers between looks.
type follower struct {
	accept func(version string) error
	fault  func(error)

	accepted string // the version that accept last took
	refused  string // the version that accept last refused, "" when none
	skip     int    // looks to let pass before refused is offered again
	wait     int    // how many the next refusal costs
	message  string // of the last fault
}

// look handles one reading of current.
func (f *follower) look(version string, err error) {
	if err != nil {
		// Having nothing to serve yet is a state, not a fault.
		if !errors.Is(err, ErrNoCurrent) || f.accepted != "" {
			f.report(err)
		}
		return
	}
	if version == f.accepted {
		f.refused, f.message = "", ""
		return
	}
	if version != f.refused {
		f.refused, f.skip, f.wait = "", 0, 1
	}
	if f.skip > 0 {
		f.skip--
		return
	}
	if err := f.accept(version); err != nil {
		f.report(err)
		f.refused, f.skip = version, f.wait-1
		f.wait = min(2*f.wait, maxWait)
		return
	}
	f.accepted, f.refused, f.message = version, "", ""
}

func (f *follower) report(err error) {
	if err.Error() != f.message {
		f.message = err.Error()
		f.fault(err)
	}
}
