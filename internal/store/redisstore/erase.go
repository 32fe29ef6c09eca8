package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Erase implements store.Erasures. It also removes a history that can no longer be read; its events count as 0 then. The
// receipt is written once the history is gone: after an error between the two, erasing again leaves one over 0 events.
func (s *Store) Erase(ctx context.Context, user event.UserID) (r store.Receipt, err error) {
	if err := checkUser(user); err != nil {
		return r, fmt.Errorf("erase: %w", err)
	}
	err = s.call(ctx, "erase", s.opts.WriteTimeout, func(ctx context.Context) error {
		secret, err := s.Secret(ctx)
		if err != nil {
			return err
		}
		r = store.Receipt{ID: rand.Text(), UserHash: secret.UserHash(user)}
		if r.Events, r.At, err = s.remove(ctx, user); err != nil {
			return err
		}
		record, err := store.EncodeReceipt(r)
		if err != nil {
			return err
		}
		if err := s.client.HSet(ctx, s.keys.shared("e"), r.ID, record).Err(); err != nil {
			return fmt.Errorf("history is gone, write receipt: %w", err)
		}
		s.counters.erased.Add(1)
		return nil
	})
	return r, err
}

// remove removes the history of a user. It returns how many events that had, and the moment of the erasure: after it was
// looked at and before it went, so what was in it was sent before that moment, and what comes after it may be told apart.
func (s *Store) remove(ctx context.Context, user event.UserID) (n int, at time.Time, err error) {
	key := s.keys.head(user)
	for round := range maxRounds {
		if err := pause(ctx, round); err != nil {
			return 0, at, err
		}
		value, err := found(s.client.Get(ctx, key))
		if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") { // what is of another type goes too
			return 0, at, err
		}
		head, err := s.parseHead(value)
		if value == nil {
			err = nil
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			return 0, at, err
		}
		at = s.opts.Now().UTC().Truncate(time.Millisecond)
		keys := []string{key, s.keys.sealed(key), s.keys.mark(key)}
		done, err := eraseScript.Run(ctx, s.client, keys, value, at.UnixMilli(), markFor.Milliseconds()).Int()
		if err != nil {
			return 0, at, err
		}
		if done == 1 {
			n, err := s.waited(ctx, key, head.Count+head.Head.Older)
			return n, at, err
		}
	}
	return 0, at, fmt.Errorf("the history changed under each of %d attempts: %w", maxRounds, store.ErrUnavailable)
}

// waited returns n once the replicas that are waited for have the erasure.
func (s *Store) waited(ctx context.Context, key string, n int) (int, error) {
	if s.opts.WaitReplicas == 0 {
		return n, nil
	}
	node, err := s.node(ctx, key)
	if err != nil {
		return 0, err
	}
	conn := node.Conn()
	defer conn.Close()
	// A write of this connection, after the erasure.
	if err := conn.HSet(ctx, s.keys.sealed(key), revisionField, "").Err(); err != nil {
		return 0, err
	}
	if err := conn.HDel(ctx, s.keys.sealed(key), revisionField).Err(); err != nil {
		return 0, err
	}
	return n, waitFor(ctx, conn, s.opts.WaitReplicas)
}

// Erasure implements store.Erasures.
func (s *Store) Erasure(ctx context.Context, id string) (r store.Receipt, err error) {
	err = s.call(ctx, "read erasure", s.opts.Timeout, func(ctx context.Context) error {
		value, err := s.client.HGet(ctx, s.keys.shared("e"), id).Bytes()
		if errors.Is(err, redis.Nil) {
			return fmt.Errorf("%q: %w", id, store.ErrNotFound)
		} else if err != nil {
			return err
		}
		r, err = store.DecodeReceipt(value)
		return err
	})
	return r, err
}

// EachErasure implements store.Erasures.
func (s *Store) EachErasure(ctx context.Context, fn func(store.Receipt) error) error {
	return s.eachReceipt(ctx, func(r store.Receipt, err error) error {
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// eachReceipt calls fn with every receipt, or with why one cannot be read.
func (s *Store) eachReceipt(ctx context.Context, fn func(store.Receipt, error) error) error {
	return s.eachField(ctx, "list erasures", s.keys.shared("e"), func(id, value string) error {
		r, err := store.DecodeReceipt([]byte(value))
		if err != nil {
			err = fmt.Errorf("list erasures: %q: %w", id, err)
		}
		return fn(r, err)
	})
}

// nodes returns the clients of all primaries.
func (s *Store) nodes(ctx context.Context) (nodes []*redis.Client, err error) {
	if s.cluster == nil {
		return []*redis.Client{s.client.(*redis.Client)}, nil
	}
	err = s.call(ctx, "list nodes", s.opts.WriteTimeout, func(ctx context.Context) error {
		var mu sync.Mutex
		return s.cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, node)
			return nil
		})
	})
	return nodes, err
}
