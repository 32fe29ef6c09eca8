package pebblestore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Erase implements store.Erasures. It also removes a history that can no longer be read; its events count as 0 then.
func (s *Store) Erase(ctx context.Context, user event.UserID) (store.Receipt, error) {
	if err := s.enter(); err != nil {
		return store.Receipt{}, err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, fmt.Errorf("erase: %w", err)
	}
	if detail := event.CheckID(string(user)); detail != "" {
		return store.Receipt{}, fmt.Errorf("erase: %w: user id %s", store.ErrInvalid, detail)
	}
	r, err := s.erase(user)
	if err != nil {
		return store.Receipt{}, fmt.Errorf("erase: %w", classify(err))
	}
	s.counters.erased.Add(1)
	return r, nil
}

func (s *Store) erase(user event.UserID) (store.Receipt, error) {
	mu := &s.users[s.stripe(user)]
	mu.Lock()
	defer mu.Unlock()
	r := store.Receipt{
		ID:       rand.Text(),
		UserHash: s.secret.UserHash(user),
		At:       s.opts.Now().UTC().Truncate(time.Millisecond),
	}
	head, _, err := s.head(user)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return r, err
	}
	r.Events = head.Count + head.Head.Older
	record, err := store.EncodeReceipt(r)
	if err != nil {
		return r, err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.Set(receiptKey(r.ID), record, nil); err != nil {
		return r, err
	}
	if err := deleteUser(b, user); err != nil {
		return r, err
	}
	return r, s.erased.add(r, func() error { return b.Commit(pebble.Sync) })
}

// erasures is what AppendSent asks about users. A user's erasures change under the lock of his history only, so who holds
// it gets an answer that stays right.
type erasures struct {
	mu   sync.RWMutex
	list *store.ErasureList // nil until it is first needed
}

// load reads the receipts unless that was done. One that is corrupt is passed over: whom it is about cannot be known.
func (e *erasures) load(ctx context.Context, s *Store) error {
	e.mu.RLock()
	loaded := e.list != nil
	e.mu.RUnlock()
	if loaded {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{receiptSpace}, UpperBound: []byte{receiptSpace + 1}})
	if err != nil {
		return fmt.Errorf("list erasures: %w", classify(err))
	}
	var receipts []store.Receipt
	err = eachReceipt(ctx, it, func(r store.Receipt, err error) error {
		if errors.Is(err, store.ErrCorrupt) {
			return nil
		}
		receipts = append(receipts, r)
		return err
	})
	if err = errors.Join(err, it.Close()); err == nil {
		e.list = store.NewErasureList(s.secret, receipts)
	}
	return err
}

// add commits an erasure and keeps its receipt.
func (e *erasures) add(r store.Receipt, commit func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := commit()
	if err == nil && e.list != nil {
		e.list.Add(r)
	}
	return err
}

// covers reports whether a user was erased at or after a moment.
func (e *erasures) covers(user event.UserID, sent int64) bool {
	if sent == math.MaxInt64 {
		return false
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.list.Covers(user, sent)
}

// head returns the header of a user's newest chunk, zero if there is none or it has expired, and whether any is stored.
func (s *Store) head(user event.UserID) (store.Chunk, bool, error) {
	value, closer, err := s.db.Get(appendUser(nil, user, headPart))
	if errors.Is(err, pebble.ErrNotFound) {
		return store.Chunk{}, false, nil
	} else if err != nil {
		return store.Chunk{}, false, classify(err)
	}
	defer closer.Close()
	c, err := s.parseHead(value)
	return c, true, err
}

func deleteUser(b *pebble.Batch, user event.UserID) error {
	return b.DeleteRange(appendUser(nil, user, sealedPart), appendUser(nil, user, userEnd), nil)
}

// Erasure implements store.Erasures.
func (s *Store) Erasure(ctx context.Context, id string) (store.Receipt, error) {
	if err := s.enter(); err != nil {
		return store.Receipt{}, err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, fmt.Errorf("read erasure: %w", err)
	}
	value, closer, err := s.db.Get(receiptKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return store.Receipt{}, fmt.Errorf("erasure %q: %w", id, store.ErrNotFound)
	} else if err != nil {
		return store.Receipt{}, fmt.Errorf("read erasure %q: %w", id, classify(err))
	}
	defer closer.Close()
	r, err := store.DecodeReceipt(value)
	if err != nil {
		return store.Receipt{}, fmt.Errorf("read erasure %q: %w", id, err)
	}
	return r, nil
}

// EachErasure implements store.Erasures; receipts come in the order of their ids.
func (s *Store) EachErasure(ctx context.Context, fn func(store.Receipt) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list erasures: %w", err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{receiptSpace}, UpperBound: []byte{receiptSpace + 1}})
	if err != nil {
		return fmt.Errorf("list erasures: %w", classify(err))
	}
	err = eachReceipt(ctx, it, func(r store.Receipt, err error) error {
		if err != nil {
			return err
		}
		return fn(r)
	})
	if closeErr := it.Close(); err == nil && closeErr != nil {
		return fmt.Errorf("list erasures: %w", classify(closeErr))
	}
	return err
}

// eachReceipt calls fn with every receipt, or with why one cannot be read.
func eachReceipt(ctx context.Context, it *pebble.Iterator, fn func(store.Receipt, error) error) error {
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("list erasures: %w", classify(err))
		}
		r, err := store.DecodeReceipt(value)
		if err != nil {
			err = fmt.Errorf("list erasures: %q: %w", it.Key()[1:], err)
		}
		if err := fn(r, err); err != nil {
			return err
		}
	}
	return nil
}

// Secret implements store.Erasures.
func (s *Store) Secret(context.Context) (store.Secret, error) { return s.secret, nil }

// Sweep removes the histories that have expired from disk and returns how many. Readers have not seen them since.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	if s.opts.TTL == 0 {
		return 0, nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{userSpace}, UpperBound: []byte{userSpace + 1}})
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", classify(err))
	}
	swept := 0
	var corrupt error // the first; one bad history must not keep the others
	err = s.eachHead(ctx, it, func(user event.UserID, value []byte) error {
		c, err := s.parseHead(value)
		if errors.Is(err, store.ErrCorrupt) {
			corrupt = cmp.Or(corrupt, err)
			return nil
		}
		if err != nil || c.Count > 0 {
			return err
		}
		gone, err := s.removeExpired(user)
		if gone {
			swept++
		}
		return err
	})
	err = errors.Join(err, it.Close(), corrupt)
	if err != nil {
		return swept, fmt.Errorf("sweep: %w", classify(err))
	}
	return swept, nil
}

// removeExpired removes a history if it has expired, which it looks at again: an append may have come between.
func (s *Store) removeExpired(user event.UserID) (bool, error) {
	mu := &s.users[s.stripe(user)]
	mu.Lock()
	defer mu.Unlock()
	c, stored, err := s.head(user)
	if err != nil || !stored || c.Count > 0 {
		return false, err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := deleteUser(b, user); err != nil {
		return false, err
	}
	// A crash that brings an expired history back does no harm.
	return true, b.Commit(pebble.NoSync)
}

// startSweeper sweeps now and then until Close.
func (s *Store) startSweeper() {
	ctx, stop := context.WithCancel(context.Background())
	s.stopSweep = stop
	if s.opts.TTL == 0 {
		return
	}
	s.calls.Add(1)
	go func() {
		defer s.calls.Done()
		ticker := time.NewTicker(s.opts.SweepEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			n, err := s.Sweep(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.opts.Logger.Error("store: sweep", "error", err)
			case n > 0:
				s.opts.Logger.Info("store: swept expired histories", "users", n)
			}
		}
	}()
}
