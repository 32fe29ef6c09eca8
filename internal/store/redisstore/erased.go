package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"seqrec/internal/store"
)

// Two things keep an erased user from coming back by AppendSent. The receipts tell of all erasures, but lie in another
// slot than the history, so they are read before an append and not with it. The mark that an erasure leaves in the place
// of the history is read by the script that appends, but names the user, so it goes as soon as every process knows the
// receipt.
const (
	// erasedEvery is how long the receipts that were read are trusted.
	erasedEvery = 10 * time.Second
	// markFor is how long a mark stays: longer than erasedEvery and the longest append together.
	markFor = 2 * time.Minute
)

// erasures is what this process knows about who was erased.
type erasures struct {
	mu   sync.Mutex
	list *store.ErasureList // not changed once it is here
	size int64              // how many receipts there were
	read time.Time
}

// withoutErased leaves out the events of users who were erased at or after they were sent, as far as receipts tell, and
// returns how many those were.
func (s *Store) withoutErased(ctx context.Context, in logged) (out logged, erased int, err error) {
	list, err := s.erasures(ctx)
	if err != nil {
		return in, 0, err
	}
	for i, e := range in.events {
		switch covered := list.Covers(e.User, in.sent[i]); {
		case covered && erased == 0: // the first; what is the caller's stays as it is
			out = logged{slices.Clone(in.events[:i]), slices.Clone(in.sent[:i])}
			erased++
		case covered:
			erased++
		case erased > 0:
			out.events, out.sent = append(out.events, e), append(out.sent, in.sent[i])
		}
	}
	if erased == 0 {
		return in, 0, nil
	}
	return out, erased, nil
}

// erasures returns the receipts. They are counted now and then, and read anew if there are others than those known. One
// that is corrupt is passed over: whom it is about cannot be known.
func (s *Store) erasures(ctx context.Context) (*store.ErasureList, error) {
	e := &s.erased
	e.mu.Lock()
	defer e.mu.Unlock()
	now := s.opts.Now()
	var secret store.Secret
	var size int64
	fresh, known := false, false
	err := s.call(ctx, "count erasures", s.opts.Timeout, func(ctx context.Context) (err error) {
		if secret, err = s.Secret(ctx); err != nil {
			return err
		}
		known = e.list != nil && e.list.Secret == secret
		if fresh = known && now.Sub(e.read) < erasedEvery; fresh {
			return nil
		}
		size, err = s.client.HLen(ctx, s.keys.shared("e")).Result()
		return foreign(err)
	})
	if err != nil || fresh {
		return e.list, err
	}
	if known && e.size == size {
		e.read = now
		return e.list, nil
	}
	var receipts []store.Receipt
	err = s.eachReceipt(ctx, func(r store.Receipt, err error) error {
		if errors.Is(err, store.ErrCorrupt) {
			return nil
		}
		receipts = append(receipts, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	e.list, e.size, e.read = store.NewErasureList(secret, receipts), size, now
	return e.list, nil
}
