// Package pebblestore is the embedded backend of store: histories and items in one directory, by the key-value library
// pebble, for one process.
//
// Durability. Append answers after the log that holds its events has been synced. Callers that arrive together share one
// sync: each applies its batch to memory under the locks of its users, lets the locks go, and only then waits for the
// disk. A crash at any point loses nothing acknowledged; events that were not acknowledged may or may not be there.
//
// Keys, in the order they sort (keys.go): item and kind dictionaries, erasure receipts, items, one meta record, and the
// chunks of the users, each user's sealed chunks followed by the newest. docs/format/history.md draws keys and values.
//
// Caveats. Erased events are gone for every reader at once, but their bytes stay on the disk until the next compaction
// has passed over them. If the disk refuses a write to the log the process ends: nothing that came after could be
// promised. The directory must not be copied while the store is open.
package pebblestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Options configures a store. The zero value works.
type Options struct {
	Cap        int              // most events kept of one user, oldest dropped; 0 means 100,000
	TTL        time.Duration    // forget histories that have not changed for longer; 0 means never
	SweepEvery time.Duration    // how often forgotten histories are removed from disk; 0 means hourly; unused without TTL
	CacheBytes int64            // memory for blocks read from disk; 0 means 32 MiB
	NameCache  int              // items whose number and name are kept in memory; 0 means 131,072 (about 16 MB)
	Now        func() time.Time // clock; nil means time.Now
	Logger     *slog.Logger     // nil means silence

	memTable uint64 // bytes at which data in memory moves to a table on disk; 0 means 16 MiB; tests make it small
}

// Validate returns an error that names every field that cannot be used.
func (o Options) Validate() error {
	var errs []error
	check := func(name string, value int64) {
		if value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, less than 0", name, value))
		}
	}
	check("Cap", int64(o.Cap))
	check("TTL", int64(o.TTL))
	check("SweepEvery", int64(o.SweepEvery))
	check("CacheBytes", o.CacheBytes)
	check("NameCache", int64(o.NameCache))
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.Cap == 0 {
		o.Cap = 100_000
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = time.Hour
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.NameCache == 0 {
		o.NameCache = 1 << 17
	}
	if o.memTable == 0 {
		o.memTable = 16 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	// tail and seal shape the histories, see store.Layout. Overflow leaves tail-seal+1 events, so that the newest 200
	// are in one value; a smaller tail would write less an event.
	tail = 320
	seal = 120
	// stripes is the number of locks that users share.
	stripes = 1024
)

// Store is an open directory. See store.Store for what its methods promise.
type Store struct {
	db     *pebble.DB
	lock   *pebble.Lock
	opts   Options
	dir    string // its one true name
	layout store.Layout
	secret store.Secret
	items  *names
	kinds  *names
	erased erasures

	seed      maphash.Seed        // of the hash that spreads users over their locks
	users     [stripes]sync.Mutex // each guards the histories of the users that hash to it
	pending   atomic.Int64        // commits that readers can see and that are not yet synced
	appenders sync.Pool           // *appender
	readers   sync.Pool           // *[]store.Entry
	counters  counters

	life      sync.Mutex
	closed    bool
	calls     sync.WaitGroup // running calls; grows only under life, while not closed
	stopSweep context.CancelFunc
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, and creates it if dir is missing or empty. Errors: store.ErrInUse if another Open holds
// it, store.ErrCorrupt, store.ErrNewerFormat.
func Open(dir string, opts Options) (_ *Store, err error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open store %s: %w: %w", dir, store.ErrInvalid, err)
	}
	s := &Store{opts: opts.withDefaults(), seed: maphash.MakeSeed()}
	s.layout = store.Layout{Tail: tail, Seal: seal, Cap: s.opts.Cap, TTL: s.opts.TTL}
	s.appenders.New = func() any { return newAppender(s) }
	s.readers.New = func() any { return new([]store.Entry) }
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.release())
		}
	}()
	if s.dir, err = prepare(dir); err != nil {
		return nil, err
	}
	// Taken before anything else, so that "in use" is never mistaken for another fault.
	if s.lock, err = pebble.LockDirectory(s.dir, vfs.Default); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInUse, err)
	}
	if s.db, err = s.openDB(); err != nil {
		return nil, classify(err)
	}
	if err = s.load(); err != nil {
		return nil, err
	}
	s.startSweeper()
	return s, nil
}

// prepare makes the directory and returns its one true name: locks are by name.
func prepare(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dir, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir, err
	}
	return filepath.EvalSymlinks(abs)
}

func (s *Store) openDB() (*pebble.DB, error) {
	log := s.opts.Logger
	cache := pebble.NewCache(s.opts.CacheBytes)
	defer cache.Unref()
	o := &pebble.Options{
		Cache:              cache,
		FormatMajorVersion: pebble.FormatNewest,
		Lock:               s.lock,
		Logger:             logger{log},
		MemTableSize:       s.opts.memTable,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.Error("store: background work", "error", err) },
			// The call that met it gets an error; by default the whole process would end.
			DataCorruption: func(info pebble.DataCorruptionInfo) { log.Error("store: corrupt data", "info", info.String()) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return pebble.Open(s.dir, o)
}

// load reads the meta record, or writes it into a new store, and prepares the dictionaries.
func (s *Store) load() error {
	value, closer, err := s.db.Get(metaKey)
	switch {
	case err == nil:
		s.secret, err = store.ParseMeta(value, metaVersion)
		closer.Close()
	case errors.Is(err, pebble.ErrNotFound):
		err = s.create()
	}
	if err != nil {
		return fmt.Errorf("read meta record: %w", classify(err))
	}
	if s.items, err = loadNames(s.db, itemNames, s.opts.NameCache); err != nil {
		return err
	}
	if s.kinds, err = loadNames(s.db, kindNames, kindCache); err != nil {
		return err
	}
	// Number 0 is the default kind, because the packed form says so.
	if s.kinds.next == 0 {
		return s.kinds.assign([]string{string(event.DefaultKind)})
	}
	return nil
}

// create writes the meta record, provided that there is nothing else.
func (s *Store) create() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("the directory holds data of something else: %w", store.ErrCorrupt)
	}
	rand.Read(s.secret[:])
	return s.db.Set(metaKey, store.AppendMeta(nil, metaVersion, &s.secret), pebble.Sync)
}

// enter starts a call; every call that got nil ends with s.calls.Done.
func (s *Store) enter() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// Close waits for running calls, writes what is in memory to disk and releases the directory. Closing twice is an error.
func (s *Store) Close() error {
	s.life.Lock()
	if s.closed {
		s.life.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.life.Unlock()
	s.stopSweep()
	s.calls.Wait()
	if err := s.release(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

func (s *Store) release() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// classify marks what pebble reports as corruption with the error of our own.
func classify(err error) error {
	if err != nil && pebble.IsCorruptionError(err) && !errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return err
}

// logger lets pebble write to slog.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}
func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when the log cannot be written. Pebble must not go on, and a panic could be caught above us.
func (l logger) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.log.Error("pebble: " + message)
	fmt.Fprintln(os.Stderr, "pebblestore: cannot go on:", message)
	os.Exit(1) //nolint:forbidigo // see above: there is no way back
}
