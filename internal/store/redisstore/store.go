// Package redisstore is the shared backend of store: histories and items in Redis, for any number of
// processes. It speaks to one server, to a set watched by sentinels, or to a cluster; needs no modules; and sends no
// command over keys of more than one slot.
//
// How an append works. The heads of all users of the batch are read in one pipeline. An Editor plans each change here,
// and a script on the server applies it if the head (and, where older chunks were read, their revision) is still what was
// read; otherwise the plan is made again from what is there now. So writers on any number of machines meet without locks.
//
// How names get numbers. One script gives numbers to all new names of a batch. A number is used only after every
// connected replica has it, so a failover cannot lose a number that a history uses. Processes cache numbers and check,
// with every append and once a second while reading, that the dictionary still is the one they know (identity.go).
//
// Durability is that of the server: see docs/format/redis.md for what a Redis may lose, with and without WaitReplicas.
//
// Caveats. Histories always have a cap and a time to live. Redis must not evict (maxmemory-policy noeviction): losing one
// part of a history while keeping another makes it corrupt. Use a prefix of its own for every store.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

const (
	// tail and seal shape the histories as those of pebblestore: the newest 200 events are in one value.
	tail = 320
	seal = 120
	// kindCache is the size of the cache of kinds, of which a service has a few.
	kindCache = 1 << 10
)

// Store is a connection to histories in Redis. See store.Store for what its methods promise.
type Store struct {
	client  redis.UniversalClient
	cluster *redis.ClusterClient // the same client, when it is one
	opts    Options
	keys    keys
	layout  store.Layout
	items   *names
	kinds   *names

	identity identity
	erased   erasures
	readers  sync.Pool // *[]store.Entry
	counters counters

	life   sync.Mutex
	closed bool
	calls  sync.WaitGroup // running calls; grows only under life, while not closed
}

var _ store.Store = (*Store)(nil)

// Open connects. A server that does not answer is no error: the store works as soon as it does. What waiting cannot mend
// is one: store.ErrInvalid (options), store.ErrDenied, store.ErrCorrupt, store.ErrNewerFormat.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("open redis store: %w: %w", store.ErrInvalid, err)
	}
	opts = opts.withDefaults()
	s := &Store{
		opts: opts, keys: keys{opts.Prefix},
		layout: store.Layout{Tail: tail, Seal: seal, Cap: opts.Cap, TTL: opts.TTL},
	}
	s.items = newNames(s, "i", opts.NameCache)
	s.kinds = newNames(s, "k", kindCache)
	s.readers.New = func() any { return new([]store.Entry) }
	s.client = newClient(&opts)
	s.cluster, _ = s.client.(*redis.ClusterClient)
	if err := s.Ping(ctx); err != nil && !errors.Is(err, store.ErrUnavailable) {
		return nil, errors.Join(fmt.Errorf("open redis store: %w", err), s.client.Close())
	}
	return s, nil
}

// Ping is nil if the store can be used now.
func (s *Store) Ping(ctx context.Context) error {
	return s.call(ctx, "ping", s.opts.Timeout, s.checkIdentity)
}

// call runs fn with a deadline and turns its error into one of ours.
func (s *Store) call(ctx context.Context, what string, limit time.Duration, fn func(context.Context) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := classify(ctx, fn(inner))
	if err == nil {
		return nil
	}
	if s.cluster != nil && errors.Is(err, store.ErrUnavailable) {
		// The client looks for a new primary when a node sends it elsewhere; a dead node does not.
		s.cluster.ReloadState(ctx)
	}
	return fmt.Errorf("%s: %w", what, err)
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

// Close waits for running calls and lets go of the connections. Closing twice is an error.
func (s *Store) Close() error {
	s.life.Lock()
	if s.closed {
		s.life.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.life.Unlock()
	s.calls.Wait()
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close redis store: %w", err)
	}
	return nil
}

// checkUser returns ErrInvalid for what cannot be a user.
func checkUser(user event.UserID) error {
	if detail := event.CheckID(string(user)); detail != "" {
		return fmt.Errorf("%w: user id %s", store.ErrInvalid, detail)
	}
	return nil
}
