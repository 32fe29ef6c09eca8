package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/goleak"

	"seqrec/internal/event"
	"seqrec/internal/store"
	"seqrec/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashWriter(dir)
		return
	}
	// Pebble leaves this one behind when it cannot open a damaged directory.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/vfs.(*diskHealthCheckingFS).startTickerLocked.func1"))
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, c storetest.Config) store.Store {
		// So small a cache of names that every test outgrows it.
		return open(t, t.TempDir(), Options{Cap: c.Cap, TTL: c.TTL, Now: c.Now, NameCache: 64})
	})
}

// open opens a store that is closed when the test ends, unless the test has.
func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// history returns n events of a user, sorted.
func history(user string, n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = event.Event{
			User: event.UserID(user), Item: event.ItemID(fmt.Sprintf("item-%d", i*7919%500)), Kind: event.DefaultKind,
			Time: 1_700_000_000_000 + int64(i)*1000,
		}
	}
	return out
}

func mustAppend(t testing.TB, s *Store, events []event.Event) {
	t.Helper()
	if _, err := s.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// whole reads a user's whole history, sorted.
func whole(s *Store, user event.UserID) ([]event.Event, error) {
	return s.Recent(context.Background(), user, 1<<30)
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := open(t, dir, Options{})
	events := history("u", 900)
	mustAppend(t, s, events[:800])
	if err := s.PutItems(context.Background(), []store.Item{{ID: "a", Title: "A"}}); err != nil {
		t.Fatal(err)
	}
	receipt, err := s.Erase(context.Background(), "v")
	if err != nil {
		t.Fatal(err)
	}
	_, cursor, err := s.History(context.Background(), "u", store.Page{Limit: 700})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)

	s = open(t, dir, Options{})
	mustAppend(t, s, events)
	if got, err := whole(s, "u"); err != nil || !slices.Equal(got, events) {
		t.Fatalf("%d events, %v; want all %d in order", len(got), err, len(events))
	}
	if items, err := s.Items(context.Background(), []event.ItemID{"a"}); err != nil || len(items) != 1 || items[0].Title != "A" {
		t.Errorf("items %+v, %v", items, err)
	}
	if got, err := s.Erasure(context.Background(), receipt.ID); err != nil || got != receipt {
		t.Errorf("receipt %+v, %v; want %+v", got, err, receipt)
	}
	if got, _, err := s.History(context.Background(), "u", store.Page{Before: cursor}); err != nil || got[0] != events[99] {
		t.Errorf("cursor from before the restart: %v", err)
	}
	st := s.Stats()
	if st.Accepted != 100 || st.Duplicate != 800 || st.ItemNumbers != 500 || st.KindNumbers != 1 || st.DiskBytes == 0 || st.LogBytes == 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "used"), Options{})
	if _, err := Open(s.dir, Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("open twice: error %v, want %v", err, store.ErrInUse)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link, Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("open by another name: error %v, want %v", err, store.ErrInUse)
	}
	mustAppend(t, s, history("u", 1)) // the refused ones have not let go of the lock

	err := func() error { _, err := Open(t.TempDir(), Options{Cap: -1, TTL: -1}); return err }()
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "Cap") || !strings.Contains(err.Error(), "TTL") {
		t.Errorf("negative options: error %v, want both named", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("a file was opened as a store")
	}
}

// TestForeignData opens directories whose records were changed behind the store's back.
func TestForeignData(t *testing.T) {
	head := appendUser(nil, "u", headPart)
	cases := []struct {
		name   string
		spoil  func(*pebble.DB) error
		atOpen bool
		want   error
	}{
		{"no meta record", func(db *pebble.DB) error { return db.Delete(metaKey, nil) }, true, store.ErrCorrupt},
		{"meta record of something else", func(db *pebble.DB) error { return db.Set(metaKey, []byte("hello"), nil) }, true, store.ErrCorrupt},
		{"meta record cut", func(db *pebble.DB) error { return db.Set(metaKey, []byte("seqrec\x01"), nil) }, true, store.ErrCorrupt},
		{"newer meta record", func(db *pebble.DB) error { return db.Set(metaKey, []byte("seqrec\x02"), nil) }, true, store.ErrNewerFormat},
		{"dictionary key too long", func(db *pebble.DB) error { return db.Set([]byte("nin\xff\xff\xff\xfe\x00"), nil, nil) }, true, store.ErrCorrupt},
		{"newest chunk newer", func(db *pebble.DB) error { return db.Set(head, []byte{0xC2}, nil) }, false, store.ErrNewerFormat},
		{"newest chunk spoiled", func(db *pebble.DB) error { return db.Set(head, []byte("x"), nil) }, false, store.ErrCorrupt},
		{"newest chunk without head", func(db *pebble.DB) error { return db.Set(head, store.AppendChunk(nil, nil, []store.Entry{{}}), nil) }, false, store.ErrCorrupt},
		{"newest chunk gone", func(db *pebble.DB) error { return db.Delete(head, nil) }, false, store.ErrCorrupt},
		{"number never given out", func(db *pebble.DB) error {
			return db.Set(head, store.AppendChunk(nil, &store.Head{Touched: 1}, []store.Entry{{Item: 9999}}), nil)
		}, false, store.ErrCorrupt},
		{"older chunks gone", func(db *pebble.DB) error {
			return db.DeleteRange(appendUser(nil, "u", sealedPart), head, nil)
		}, false, store.ErrCorrupt},
		{"older chunk spoiled", func(db *pebble.DB) error {
			return db.Set(append(appendUser(nil, "u", sealedPart), store.SealedKey(history("u", 1)[0].Time, "item-0", "view")...), []byte("x"), nil)
		}, false, store.ErrCorrupt},
		{"names cut", func(db *pebble.DB) error { return db.DeleteRange([]byte("nin"), []byte("nio"), nil) }, false, store.ErrCorrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			mustAppend(t, s, history("u", 900))
			if err := c.spoil(s.db); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			s, err := Open(dir, Options{})
			if c.atOpen {
				if !errors.Is(err, c.want) {
					t.Fatalf("open: error %v, want %v", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, s)
			if _, err := whole(s, "u"); !errors.Is(err, c.want) && c.name != "newest chunk gone" {
				t.Errorf("recent: error %v, want %v", err, c.want)
			}
			if _, _, err := s.History(context.Background(), "u", store.Page{Limit: 1000}); !errors.Is(err, c.want) {
				t.Errorf("history: error %v, want %v", err, c.want)
			}
			// Neighbours are not harmed, and a user who cannot be read can be erased, unless a later program wrote him.
			if c.name != "names cut" {
				mustAppend(t, s, history("v", 3))
			}
			if _, err := s.Erase(context.Background(), "u"); err != nil && !errors.Is(c.want, store.ErrNewerFormat) {
				t.Errorf("erase: %v", err)
			}
		})
	}
}

func TestSweep(t *testing.T) {
	now := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	s := open(t, t.TempDir(), Options{TTL: time.Hour, Now: func() time.Time { return now }})
	mustAppend(t, s, append(history("old", 900), history("older", 1)...))
	now = now.Add(2 * time.Hour)
	mustAppend(t, s, history("new", 900))
	for _, want := range []int{2, 0} {
		if n, err := s.Sweep(context.Background()); err != nil || n != want {
			t.Fatalf("swept %d, %v; want %d", n, err, want)
		}
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{userSpace}, UpperBound: []byte("unew")})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	if it.First() {
		t.Errorf("key %q is left", it.Key())
	}
	it2, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte("uo"), UpperBound: []byte("up")})
	if err != nil {
		t.Fatal(err)
	}
	defer it2.Close()
	if it2.First() {
		t.Errorf("key %q is left", it2.Key())
	}
	if got, err := whole(s, "new"); err != nil || len(got) != 900 {
		t.Errorf("fresh history has %d events, %v", len(got), err)
	}
}

// TestAppendTouchesFewChunks holds the bound on the cost of an append: what it writes does not grow with the history.
func TestAppendTouchesFewChunks(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	events := history("u", 100_000)
	mustAppend(t, s, events)
	newer := events[len(events)-1]
	newer.Time += 500
	late := events[50_000]
	late.Time += 500
	for name, e := range map[string]event.Event{"newest": newer, "late": late} {
		before := s.Stats().LogBytes
		mustAppend(t, s, []event.Event{e})
		if written := s.Stats().LogBytes - before; written == 0 || written > 8<<10 {
			t.Errorf("appending the %s event wrote %d bytes, want at most 8 KiB", name, written)
		}
	}
}
