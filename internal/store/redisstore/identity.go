package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/store"
)

// identity is what this process believes about the store it speaks to: its secret. With the newest entries of the
// dictionaries, which names keep, it tells whether cached numbers still hold. A Redis that was flushed, replaced, restored
// from an old backup or failed over to a replica that had missed something differs in one of them.
type identity struct {
	mu      sync.Mutex
	known   bool
	meta    string // meta record as stored
	secret  store.Secret
	checked time.Time // when it was last seen to hold
	changes uint64    // how often all was forgotten
}

// identityEvery is how long readers trust the last look.
const identityEvery = time.Second

// look is a question to Redis whether the identity holds, as part of a pipeline.
type look struct {
	meta, item, kind *redis.StringCmd
	items, kinds     tip
	known            string
}

// ask adds the question to a pipeline.
func (s *Store) ask(ctx context.Context, p redis.Cmdable) *look {
	s.identity.mu.Lock()
	l := &look{known: s.identity.meta}
	s.identity.mu.Unlock()
	l.items, l.kinds = s.items.tip(), s.kinds.tip()
	l.meta = p.Get(ctx, s.keys.shared("m"))
	l.item = p.HGet(ctx, s.items.byNumber, l.items.field())
	l.kind = p.HGet(ctx, s.kinds.byNumber, l.kinds.field())
	return l
}

// settle reads the answer. If the store is another than the one known, it forgets all it knew and returns false: numbers
// that were looked up before must not be used.
func (s *Store) settle(ctx context.Context, l *look) (bool, error) {
	meta, err := l.meta.Result()
	if errors.Is(err, redis.Nil) {
		meta, err = s.create(ctx)
	}
	if err != nil {
		return false, foreign(fmt.Errorf("read meta record: %w", err))
	}
	item, kind := l.item.Val(), l.kind.Val()
	for _, cmd := range []*redis.StringCmd{l.item, l.kind} {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return false, foreign(fmt.Errorf("read dictionary: %w", err))
		}
	}
	if meta != "" && meta == l.known && l.items.holds(item) && l.kinds.holds(kind) {
		s.identity.mu.Lock()
		s.identity.checked = s.opts.Now()
		s.identity.mu.Unlock()
		return true, nil
	}
	secret, err := store.ParseMeta([]byte(meta), metaVersion)
	if err != nil {
		return false, foreign(fmt.Errorf("read meta record %s: %w", s.keys.shared("m"), err))
	}
	s.identity.mu.Lock()
	defer s.identity.mu.Unlock()
	s.identity.known, s.identity.meta, s.identity.secret, s.identity.checked = true, meta, secret, s.opts.Now()
	s.identity.changes++
	s.items.forget()
	s.kinds.forget()
	return false, nil
}

// create writes the meta record of a new store, unless another process was faster, and returns the one that is stored.
func (s *Store) create(ctx context.Context) (string, error) {
	var secret store.Secret
	rand.Read(secret[:])
	key := s.keys.shared("m")
	if err := s.client.SetNX(ctx, key, store.AppendMeta(nil, metaVersion, &secret), 0).Err(); err != nil {
		return "", err
	}
	return s.client.Get(ctx, key).Result()
}

// checkIdentity asks now.
func (s *Store) checkIdentity(ctx context.Context) error {
	p := s.client.Pipeline()
	l := s.ask(ctx, p)
	if err := exec(ctx, p); err != nil {
		return err
	}
	_, err := s.settle(ctx, l)
	return err
}

// generation changes whenever numbers that were looked up before must not be used any more.
func (s *Store) generation() uint64 {
	s.identity.mu.Lock()
	defer s.identity.mu.Unlock()
	return s.identity.changes
}

// due reports whether readers should look again.
func (s *Store) due() bool {
	s.identity.mu.Lock()
	defer s.identity.mu.Unlock()
	return !s.identity.known || s.opts.Now().Sub(s.identity.checked) >= identityEvery
}

// Secret implements store.Erasures; it asks for the secret if need be.
func (s *Store) Secret(ctx context.Context) (store.Secret, error) {
	if s.due() {
		if err := s.checkIdentity(ctx); err != nil {
			return store.Secret{}, err
		}
	}
	s.identity.mu.Lock()
	defer s.identity.mu.Unlock()
	return s.identity.secret, nil
}
