package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"seqrec/internal/bucket"
)

const (
	// leaseFile is the object that says who runs a night. The mirror's folder has a file of the same name with the token of
	// the last night that ran from there.
	leaseFile   = "night.lease"
	leaseFormat = 1
	maxLease    = 4 << 10
	// leaseCall bounds one renewal, and the giving back.
	leaseCall = 30 * time.Second
)

// LeaseOptions are the times of the lock that keeps the nights of all machines apart. The zero value is for use.
type LeaseOptions struct {
	Renew  time.Duration        // how often its holder says that it lives; 0 is 30 seconds
	Stale  time.Duration        // how long after that it may be taken from the holder; 0 is 10 minutes
	Settle time.Duration        // how long after it was taken one looks who has it; 0 is 2 seconds
	Now    func() time.Time     // nil is time.Now
	Say    func(string, ...any) // hears of a lock that is taken over; may be nil
}

func (o LeaseOptions) withDefaults() LeaseOptions {
	for _, d := range []struct {
		set  *time.Duration
		zero time.Duration
	}{{&o.Renew, 30 * time.Second}, {&o.Stale, 10 * time.Minute}, {&o.Settle, 2 * time.Second}} {
		if *d.set == 0 {
			*d.set = d.zero
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	return o
}

// watch is how long a lock must stand still before it is taken from its holder. A living one would have renewed it, however
// wrong its clock or ours.
func (o LeaseOptions) watch() time.Duration { return 2 * o.Renew }

// HoldNights takes the lock that keeps the nights of all machines apart, and brings what is current in the bucket into the
// folder. It is for registries behind a [Mirror]; one that is a folder only has nothing to hold, and the caller must have
// locked the folder in both cases. While the lock is held, Publish and Promote verify first that it still is.
//
// The context that is returned ends with a cause that wraps ErrLost when the lock is lost: another process has taken it, a
// person has removed it, or it could not be renewed for as long as others wait. Call release in the end, in any case.
//
// While another night holds the lock the error is ErrLocked and tells who that is and what can be done. A holder that has
// not renewed it for opts.Stale, or that ran from this very folder, is dead if the lock then stands still for a while:
// the lock is taken over. ErrCorrupt and ErrNewerFormat say that the object is not a lock that this program wrote.
//
// Buckets do not compare and swap. So whoever takes the lock creates the object where there is none, waits for opts.Settle
// and reads it again; of several who do that at once, also in a store that does not know how to refuse the second, one
// finds itself. One who slept between its last look and its taking longer than that may take a lock that is held: the
// holder before it finds that out when it renews, publishes or promotes.
func (r *Registry) HoldNights(ctx context.Context, opts LeaseOptions) (held context.Context, release func(), err error) {
	if r.mirror == nil {
		return ctx, func() {}, nil
	}
	l, err := newLease(r.mirror.bucket, r.mirror.bucket.Name(), opts)
	if err != nil {
		return nil, nil, err
	}
	l.remember = func(token string) error { return r.replace(leaseFile, []byte(token+"\n")) }
	if before, err := readBounded(r.path(leaseFile), maxLease); err == nil {
		l.before = strings.TrimSpace(string(before))
	}
	if err := l.take(ctx); err != nil {
		return nil, nil, err
	}
	held, stop := l.keep(ctx)
	r.lease.Store(l)
	release = func() {
		r.lease.Store(nil)
		stop()
	}
	if err := r.mirror.Pull(held); err != nil && !errors.Is(err, ErrNoCurrent) {
		release()
		return nil, nil, err
	}
	return held, release, nil
}

// mayWrite fails once the lock of the night that runs here is lost. Without one everybody may.
func (r *Registry) mayWrite() error {
	if l := r.lease.Load(); l != nil {
		return l.renew(context.Background()) // which bounds itself
	}
	return nil
}

// holding is what the object says.
type holding struct {
	Format  int       `json:"format"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Token   string    `json:"token"` // of one night; nobody else has it
	Taken   time.Time `json:"taken"`
	Renewed time.Time `json:"renewed"`
}

func (h holding) who() string { return fmt.Sprintf("process %d on %s", h.PID, h.Host) }

// objects is what a lease needs of a bucket.
type objects interface {
	Read(ctx context.Context, name string, limit int64) ([]byte, error)
	Create(ctx context.Context, name string, data []byte) error // fs.ErrExist where there is one
	Write(ctx context.Context, name string, data []byte) error
	Remove(ctx context.Context, name string) error
}

// lease is the lock of one night.
type lease struct {
	at       objects
	path     string // of the object, for people
	opts     LeaseOptions
	before   string                   // token of a night that is known to be dead, "" for none
	remember func(token string) error // hears of ours before anybody else; may be nil

	mu    sync.Mutex // one renewal at a time; guards what follows
	mine  holding
	fault error // once lost, why
	end   context.CancelCauseFunc
}

func newLease(at objects, place string, opts LeaseOptions) (*lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("lock the nights: %w", err)
	}
	return &lease{
		at: at, path: place + "/" + leaseFile, opts: opts.withDefaults(), end: func(error) {},
		mine: holding{Format: leaseFormat, Host: host, PID: os.Getpid(), Token: rand.Text()},
	}, nil
}

// take makes the lock ours.
func (l *lease) take(ctx context.Context) error {
	for {
		there, err := l.read(ctx)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := l.create(ctx); err == nil || !errors.Is(err, fs.ErrExist) {
				return err
			}
		case err != nil:
			return fmt.Errorf("lock the nights: %w", err)
		case !l.dead(there):
			return l.heldBy(there)
		default:
			if err := l.takeFrom(ctx, there); err != nil {
				return err
			}
		}
	}
}

// dead says whether a holder seems to be.
func (l *lease) dead(h holding) bool {
	return h.Token == l.before || l.opts.Now().Sub(h.Renewed).Abs() >= l.opts.Stale
}

// heldBy refuses for the sake of a holder.
func (l *lease) heldBy(h holding) error {
	age := l.opts.Now().Sub(h.Renewed).Round(time.Second)
	said := fmt.Sprintf("said so %s ago", age)
	if age < 0 {
		said = fmt.Sprintf("said so at %s by its clock, which is %s or more ahead of ours", h.Renewed.Format(time.RFC3339), -age)
	}
	return &Fault{Path: l.path, Kind: ErrLocked,
		Detail: fmt.Sprintf("%s has run a night since %s and %s", h.who(), h.Taken.Format(time.RFC3339), said),
		Mend:   fmt.Sprintf("wait for it or end it; if it is dead, run this again after %s, or remove the object", h.Renewed.Add(l.opts.Stale).Format(time.RFC3339)),
	}
}

// takeFrom removes the lock of a holder that does not renew it.
func (l *lease) takeFrom(ctx context.Context, h holding) error {
	l.opts.Say("the lock %s is of %s, last renewed at %s: it is taken over if nobody renews it within %s",
		l.path, h.who(), h.Renewed.Format(time.RFC3339), l.opts.watch())
	if err := pause(ctx, l.opts.watch()); err != nil {
		return fmt.Errorf("lock the nights: %w", err)
	}
	again, err := l.read(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("lock the nights: %w", err)
	case again.Token != h.Token || !again.Renewed.Equal(h.Renewed):
		return l.heldBy(again)
	}
	if err := l.at.Remove(ctx, leaseFile); err != nil {
		return fmt.Errorf("lock the nights: %w", err)
	}
	return nil
}

// create makes the object and looks, after a while, whether it is still ours. fs.ErrExist says that somebody was faster.
func (l *lease) create(ctx context.Context) error {
	l.mine.Taken = l.now()
	l.mine.Renewed = l.mine.Taken
	if l.remember != nil {
		if err := l.remember(l.mine.Token); err != nil {
			return fmt.Errorf("lock the nights: %w", err)
		}
	}
	err := l.at.Create(ctx, leaseFile, l.mine.encode())
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("lock the nights: %w", errors.Join(err, l.drop()))
	}
	if err == nil {
		if err := pause(ctx, l.opts.Settle); err != nil {
			return fmt.Errorf("lock the nights: %w", errors.Join(err, l.drop()))
		}
	}
	// Also after fs.ErrExist: a client whose first try came through and went unanswered is told so by its second.
	there, err := l.read(ctx)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("lock the nights: %w", err)
	case err == nil && there.Token == l.mine.Token:
		return nil
	}
	return fs.ErrExist
}

// keep renews the lock until the returned function is called, which gives it back.
func (l *lease) keep(ctx context.Context) (held context.Context, release func()) {
	held, l.end = context.WithCancelCause(ctx)
	// What is interrupted still ends in order, and nobody must come in between.
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(l.opts.Renew)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
				_ = l.renew(renewing) // tried again until it is lost, which ends held
			}
		}
	})
	return held, func() {
		stop()
		done.Wait()
		l.end(nil)
		if err := l.drop(); err != nil {
			l.opts.Say("the lock is left behind, it may be taken over after %s: %v", l.opts.Stale, err)
		}
	}
}

// renew verifies that the lock is ours and says that we live. Once lost it stays so.
func (l *lease) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	ctx, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	err := l.tryRenew(ctx)
	if age := l.now().Sub(l.mine.Renewed); err != nil && !errors.Is(err, ErrLost) && age >= l.opts.Stale {
		err = fmt.Errorf("%w: %w", l.lost(fmt.Sprintf("it could not be renewed for %s", age.Round(time.Second))), err)
	}
	if errors.Is(err, ErrLost) {
		l.fault = err
		l.end(err)
	}
	return err
}

func (l *lease) tryRenew(ctx context.Context) error {
	there, err := l.read(ctx)
	var fault *Fault
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.lost("somebody has removed it")
	case errors.As(err, &fault):
		return l.lost("somebody has written over it: " + fault.Detail)
	case err != nil:
		return fmt.Errorf("renew the lock of the nights: %w", err)
	case there.Token != l.mine.Token:
		return l.lost(there.who() + " has taken it at " + there.Taken.Format(time.RFC3339))
	}
	next := l.mine
	next.Renewed = l.now()
	if err := l.at.Write(ctx, leaseFile, next.encode()); err != nil {
		return fmt.Errorf("renew the lock of the nights: %w", err)
	}
	l.mine = next
	return nil
}

func (l *lease) lost(why string) error {
	return &Fault{Path: l.path, Kind: ErrLost, Detail: why, Mend: "run the night again when no other runs"}
}

// drop removes the object if it is ours.
func (l *lease) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaseCall)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	there, err := l.read(ctx)
	var fault *Fault
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &fault):
		return nil
	case err != nil:
		return err
	case there.Token != l.mine.Token:
		return nil
	}
	return l.at.Remove(ctx, leaseFile)
}

// now is the time by the clock on the wall, which also counts while a machine sleeps.
func (l *lease) now() time.Time { return l.opts.Now().Round(0).UTC() }

// read gives what the object says. Errors: fs.ErrNotExist, ErrCorrupt, ErrNewerFormat and those of the network.
func (l *lease) read(ctx context.Context) (h holding, err error) {
	const mend = "see what put it there; if no night runs, remove the object"
	data, err := l.at.Read(ctx, leaseFile, maxLease)
	switch {
	case errors.Is(err, bucket.ErrTooLong):
		return h, &Fault{Path: l.path, Kind: ErrCorrupt, Detail: "it is too long for the lock of a night", Mend: mend}
	case err != nil:
		return h, err
	}
	if err := json.Unmarshal(data, &h); err == nil && h.Format > leaseFormat {
		return h, &Fault{Path: l.path, Kind: ErrNewerFormat, Detail: fmt.Sprintf("a lock of format %d, this program knows %d", h.Format, leaseFormat), Mend: "update this program; " + mend}
	} else if err != nil || h.Format != leaseFormat || h.Token == "" || h.Renewed.IsZero() {
		return h, &Fault{Path: l.path, Kind: ErrCorrupt, Detail: fmt.Sprintf("it is not the lock of a night: %.60q", data), Mend: mend}
	}
	return h, nil
}

func (h holding) encode() []byte {
	text, err := json.Marshal(h)
	if err != nil {
		panic(err) // texts, numbers and years of four digits
	}
	return append(text, '\n')
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
