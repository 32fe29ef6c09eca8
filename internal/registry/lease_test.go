package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seqrec/internal/bucket"
)

// memory is a bucket of one object, which may be away and may not know how to create.
type memory struct {
	mu     sync.Mutex
	data   []byte // nil: there is none
	away   error
	simple bool                   // Create is Write
	before func(operation string) // called at the start of each, without the lock
}

func (m *memory) do(ctx context.Context, operation string, change func() error) error {
	if m.before != nil {
		m.before(operation)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(ctx.Err(), m.away); err != nil {
		return err
	}
	return change()
}

func (m *memory) Read(ctx context.Context, _ string, _ int64) (data []byte, err error) {
	err = m.do(ctx, "read", func() error {
		if data = m.data; data == nil {
			return fs.ErrNotExist
		}
		return nil
	})
	return data, err
}

func (m *memory) Create(ctx context.Context, _ string, data []byte) error {
	return m.do(ctx, "create", func() error {
		if m.data != nil && !m.simple {
			return fs.ErrExist
		}
		m.data = data
		return nil
	})
}

func (m *memory) Write(ctx context.Context, _ string, data []byte) error {
	return m.do(ctx, "write", func() error { m.data = data; return nil })
}

func (m *memory) Remove(ctx context.Context, _ string) error {
	return m.do(ctx, "remove", func() error { m.data = nil; return nil })
}

func (m *memory) set(data []byte, away error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data, m.away = data, away
}

func (m *memory) get() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data
}

func leaseOn(t *testing.T, at objects) *lease {
	t.Helper()
	l, err := newLease(at, "s3://models", LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// died is the lock of a night that ended at a moment without giving it back.
func died(at time.Time) holding {
	return holding{Format: leaseFormat, Host: "elsewhere", PID: 4711, Token: "old", Taken: at.Add(-time.Hour).UTC(), Renewed: at.UTC()}
}

func TestLeaseRefusesTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		first := leaseOn(t, m)
		if err := first.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		held, release := first.keep(t.Context())
		time.Sleep(time.Hour) // renewed all the time
		began := time.Now()
		err := leaseOn(t, m).take(t.Context())
		host, _ := os.Hostname()
		if !errors.Is(err, ErrLocked) {
			t.Fatalf("taken twice: %v", err)
		}
		for _, says := range []string{"s3://models/night.lease", fmt.Sprintf("process %d on %s", os.Getpid(), host), "s ago", "remove the object"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%v does not say %q", err, says)
			}
		}
		if time.Since(began) != 0 {
			t.Errorf("it took %s to refuse", time.Since(began))
		}
		if err := errors.Join(first.renew(t.Context()), held.Err()); err != nil {
			t.Errorf("the first has lost it: %v", err)
		}
		release()
		if m.get() != nil {
			t.Errorf("left behind: %s", m.get())
		}
		if err := leaseOn(t, m).take(t.Context()); err != nil {
			t.Errorf("after it was given back: %v", err)
		}
	})
}

// A lock that a dead process left is taken when it is stale, or when it is known to be dead, and only if nobody renews it.
func TestLeaseTakesOver(t *testing.T) {
	for _, tt := range []struct {
		name    string
		age     time.Duration
		before  string        // token that is known to be dead
		renewed time.Duration // after how long the holder lives again; 0: never
		want    error
		after   time.Duration // how long it takes
	}{
		{name: "fresh", age: 9 * time.Minute, want: ErrLocked},
		{name: "stale", age: 10 * time.Minute, after: 62 * time.Second},
		{name: "ours", age: time.Second, before: "old", after: 62 * time.Second},
		{name: "of a clock ahead", age: -time.Hour, after: 62 * time.Second},
		{name: "of a clock behind, renewed", age: time.Hour, renewed: 29 * time.Second, want: ErrLocked, after: time.Minute},
		{name: "of a copied folder, renewed", before: "old", renewed: 29 * time.Second, want: ErrLocked, after: time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := died(time.Now().Add(-tt.age))
				m := &memory{data: old.encode()}
				if tt.renewed > 0 {
					time.AfterFunc(tt.renewed, func() {
						old.Renewed = old.Renewed.Add(tt.renewed)
						m.set(old.encode(), nil)
					})
				}
				l, began := leaseOn(t, m), time.Now()
				l.before = tt.before
				if err := l.take(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				} else if tt.want != nil && !strings.Contains(err.Error(), "process 4711 on elsewhere") {
					t.Errorf("%v does not name the holder", err)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("it took %s, want %s", took, tt.after)
				}
			})
		})
	}
}

func TestLeaseIsLost(t *testing.T) {
	other := died(time.Now())
	for _, tt := range []struct {
		name  string
		spoil func(m *memory)
		after time.Duration
		says  string
	}{
		{"taken", func(m *memory) { m.set(other.encode(), nil) }, 30 * time.Second, "process 4711 on elsewhere has taken it"},
		{"removed", func(m *memory) { m.set(nil, nil) }, 30 * time.Second, "somebody has removed it"},
		{"written over", func(m *memory) { m.set([]byte("hello"), nil) }, 30 * time.Second, `written over it: it is not the lock of a night: "hello"`},
		{"bucket away", func(m *memory) { m.set(m.data, errors.New("no route")) }, 10 * time.Minute, "could not be renewed for 10m0s (run the night again when no other runs): renew the lock of the nights: no route"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{}
				l := leaseOn(t, m)
				if err := l.take(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := l.renew(t.Context()); err != nil {
					t.Fatal(err)
				}
				held, release := l.keep(t.Context())
				tt.spoil(m)
				began := time.Now()
				<-held.Done()
				cause := context.Cause(held)
				if !errors.Is(cause, ErrLost) || !strings.Contains(cause.Error(), tt.says) {
					t.Errorf("ended for %v, want one saying %q", cause, tt.says)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("noticed after %s, want %s", took, tt.after)
				}
				left := m.get()
				m.set(l.mine.encode(), nil)
				if err := l.renew(t.Context()); !errors.Is(err, ErrLost) {
					t.Errorf("what was lost came back: %v", err)
				}
				m.set(left, nil)
				release()
				if tt.name == "taken" && string(m.get()) != string(other.encode()) {
					t.Error("the lock of another was removed")
				}
			})
		})
	}
}

// Short trouble with the bucket costs nothing.
func TestLeaseSurvivesTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := leaseOn(t, m)
		if err := l.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		held, release := l.keep(t.Context())
		for range 5 {
			m.set(m.get(), errors.New("no route"))
			time.Sleep(9 * time.Minute)
			m.set(m.get(), nil)
			time.Sleep(time.Minute)
		}
		if held.Err() != nil {
			t.Errorf("lost: %v", context.Cause(held))
		}
		m.set(m.get(), errors.New("no route"))
		release() // says so, and no more
		if held.Err() == nil || errors.Is(context.Cause(held), ErrLost) {
			t.Errorf("after release: %v", context.Cause(held))
		}
	})
}

// Of many who find no lock, or a dead one, at once, one has it, also where the store does not know how to refuse a second
// creation, and whoever of them is slow.
func TestLeaseRace(t *testing.T) {
	for _, stale := range []bool{false, true} {
		for _, simple := range []bool{false, true} {
			t.Run(fmt.Sprintf("stale %t, simple %t", stale, simple), func(t *testing.T) {
				for round := range 50 {
					synctest.Test(t, func(t *testing.T) {
						var calls atomic.Int64
						m := &memory{simple: simple}
						m.before = func(string) { // requests of up to a second, in an order that changes
							time.Sleep(time.Duration(calls.Add(1)*int64(7919+round)%1000) * time.Millisecond)
						}
						if stale {
							m.data = died(time.Now().Add(-time.Hour)).encode()
						}
						var have atomic.Int64
						var wg sync.WaitGroup
						for range 30 {
							l := leaseOn(t, m)
							wg.Go(func() {
								switch err := l.take(t.Context()); {
								case err == nil:
									have.Add(1)
								case !errors.Is(err, ErrLocked):
									t.Error(err)
								}
							})
						}
						wg.Wait()
						if have.Load() != 1 {
							t.Errorf("round %d: %d have the lock", round, have.Load())
						}
					})
				}
			})
		}
	}
}

// One who slept for long before it removed the dead lock takes it from the one who has it; that one then cannot write.
func TestLeaseOfASleeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{data: died(time.Now().Add(-time.Hour)).encode()}
		asleep, once := make(chan struct{}), sync.Once{}
		slow := leaseOn(t, &memoryOf{m, func(op string) {
			if op == "remove" {
				once.Do(func() { <-asleep })
			}
		}})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := slow.take(t.Context()); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(61 * time.Second) // now it is about to remove it
		quick := leaseOn(t, m)
		if err := quick.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(asleep)
		wg.Wait()
		if err := quick.renew(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("two have it: %v", err)
		}
		if err := slow.renew(t.Context()); err != nil {
			t.Errorf("nobody has it: %v", err)
		}
	})
}

// memoryOf is one client's view of a memory.
type memoryOf struct {
	*memory
	wait func(operation string)
}

func (m *memoryOf) Remove(ctx context.Context, name string) error {
	m.wait("remove")
	return m.memory.Remove(ctx, name)
}

// A client whose first try came through is told by its second that the object is there.
func TestLeaseCreatedByAnUnansweredTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := leaseOn(t, m)
		m.before = func(op string) {
			if op == "create" {
				m.set(l.mine.encode(), nil)
			}
		}
		if err := l.take(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLeaseCorrupt(t *testing.T) {
	newer, _ := json.Marshal(holding{Format: leaseFormat + 1, Token: "x", Renewed: time.Now()})
	for text, want := range map[string]error{
		"": ErrCorrupt, "4711\n": ErrCorrupt, "{}": ErrCorrupt, `{"format":1,"token":"x"}`: ErrCorrupt, `{"format":"x"}`: ErrCorrupt,
		strings.Repeat("x", maxLease+1): ErrCorrupt, string(newer): ErrNewerFormat,
	} {
		place := t.TempDir()
		reg, _ := mirrored(t, place)
		path := filepath.Join(place, leaseFile)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := reg.HoldNights(t.Context(), LeaseOptions{})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove the object") {
			t.Errorf("%.20q: %v, want %v", text, err, want)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("%.20q became %.20q, %v", text, data, err)
		}
	}
}

// short are times for buckets that are really there.
var short = LeaseOptions{Renew: 50 * time.Millisecond, Stale: time.Minute, Settle: 10 * time.Millisecond}

// On every kind of bucket one machine at a time holds the nights, and one that lost them publishes and promotes nothing.
func TestHoldNights(t *testing.T) {
	for kind, name := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			reg, m := mirrored(t, name)
			other, _ := mirrored(t, name)
			held, release, err := reg.HoldNights(t.Context(), short)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := other.HoldNights(t.Context(), short); !errors.Is(err, ErrLocked) {
				t.Fatalf("held twice: %v", err)
			}
			first := publishIn(t, reg, "first")
			if err := reg.Promote(first); err != nil {
				t.Fatal(err)
			}
			if versions, err := m.List(t.Context()); err != nil || len(versions) != 1 {
				t.Errorf("the lock is taken for a version: %v, %v", versions, err)
			}
			draft, err := reg.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(draft.Dir(), WeightsFile), []byte("lost"), 0o644); err != nil {
				t.Fatal(err)
			}
			b, err := bucket.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			l := reg.lease.Load()
			l.mu.Lock() // a renewal between its reading and writing would write over it
			err = b.Write(t.Context(), leaseFile, died(time.Now()).encode())
			l.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := draft.Publish(Manifest{Kind: "baseline", Items: 1}); !errors.Is(err, ErrLost) {
				t.Errorf("published without the lock: %v", err)
			}
			if err := reg.Promote(first); !errors.Is(err, ErrLost) {
				t.Errorf("promoted without the lock: %v", err)
			}
			<-held.Done()
			if !errors.Is(context.Cause(held), ErrLost) {
				t.Errorf("ended for %v", context.Cause(held))
			}
			release()
			if err := reg.Promote(first); err != nil {
				t.Errorf("after the night: %v", err)
			}
			if names, err := b.List(t.Context(), leaseFile); err != nil || !slices.Equal(names, []string{leaseFile}) {
				t.Errorf("the lock of another: %v, %v", names, err)
			}
		})
	}
}

// A night that was killed goes on from its folder before its lock is stale; from elsewhere, after.
func TestHoldNightsAfterACrash(t *testing.T) {
	for kind, name := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			reg, _ := mirrored(t, name)
			other, _ := mirrored(t, name)
			opts := short
			opts.Now = func() time.Time { return time.Now().Add(-2 * short.Stale) }
			crash := func(opts LeaseOptions) {
				t.Helper()
				_, release, err := reg.HoldNights(t.Context(), opts)
				if err != nil {
					t.Fatal(err)
				}
				l := reg.lease.Load()
				data := l.mine.encode()
				release()
				if err := l.at.Write(t.Context(), leaseFile, data); err != nil {
					t.Fatal(err)
				}
			}
			crash(short)
			if _, _, err := other.HoldNights(t.Context(), short); !errors.Is(err, ErrLocked) {
				t.Fatalf("from elsewhere: %v", err)
			}
			crash(opts) // takes over its own
			var said string
			elsewhere := short
			elsewhere.Say = func(format string, args ...any) { said += fmt.Sprintf(format, args...) }
			_, release, err := other.HoldNights(t.Context(), elsewhere)
			if err != nil || !strings.Contains(said, "taken over if nobody renews it") {
				t.Fatalf("from elsewhere when stale: %v, said %q", err, said)
			}
			release()
		})
	}
}

// A registry that is a folder has nothing to hold.
func TestHoldNightsOfAFolder(t *testing.T) {
	reg, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	held, release, err := reg.HoldNights(t.Context(), LeaseOptions{})
	if err != nil || held != t.Context() {
		t.Fatalf("%v, %v", held, err)
	}
	release()
}

// What another machine promoted since the last look is in the folder before the night begins.
func TestHoldNightsPulls(t *testing.T) {
	place := t.TempDir()
	writer, _ := mirrored(t, place)
	reg, _ := mirrored(t, place)
	version := publishIn(t, writer, "first")
	if err := writer.Promote(version); err != nil {
		t.Fatal(err)
	}
	_, release, err := reg.HoldNights(t.Context(), short)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	mirrorHas(t, reg, version)
}
