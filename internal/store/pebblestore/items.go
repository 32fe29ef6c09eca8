package pebblestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// PutItems implements store.Items.
func (s *Store) PutItems(ctx context.Context, items []store.Item) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put items: %w", err)
	}
	if len(items) == 0 {
		return nil
	}
	b := s.db.NewBatch()
	defer b.Close()
	now := s.opts.Now()
	for _, item := range items {
		data, err := store.EncodeItem(item, now)
		if err != nil {
			return fmt.Errorf("put items: %w", err)
		}
		if err := b.Set(itemKey(item.ID), data, nil); err != nil {
			return fmt.Errorf("put items: %w", err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("put items: %w", classify(err))
	}
	return nil
}

// Items implements store.Items.
func (s *Store) Items(ctx context.Context, ids []event.ItemID) ([]store.Item, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	var out []store.Item
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read items: %w", err)
		}
		item, err := s.item(id)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read item %q: %w", id, classify(err))
		}
		out = append(out, item)
	}
	return out, nil
}

func (s *Store) item(id event.ItemID) (store.Item, error) {
	value, closer, err := s.db.Get(itemKey(id))
	if err != nil {
		return store.Item{}, err
	}
	defer closer.Close()
	return store.DecodeItem(value)
}

// DeleteItem implements store.Items.
func (s *Store) DeleteItem(ctx context.Context, id event.ItemID) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete item: %w", err)
	}
	_, closer, err := s.db.Get(itemKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("delete item %q: %w", id, store.ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("delete item %q: %w", id, classify(err))
	}
	closer.Close()
	if err := s.db.Delete(itemKey(id), pebble.Sync); err != nil {
		return fmt.Errorf("delete item %q: %w", id, classify(err))
	}
	return nil
}

// AllItems implements store.Items; items come in the order of their ids.
func (s *Store) AllItems(ctx context.Context, fn func(store.Item) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{itemSpace}, UpperBound: []byte{itemSpace + 1}})
	if err != nil {
		return fmt.Errorf("list items: %w", classify(err))
	}
	err = eachItem(ctx, it, fn)
	if closeErr := it.Close(); err == nil && closeErr != nil {
		return fmt.Errorf("list items: %w", classify(closeErr))
	}
	return err
}

func eachItem(ctx context.Context, it *pebble.Iterator, fn func(store.Item) error) error {
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list items: %w", err)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("list items: %w", classify(err))
		}
		item, err := store.DecodeItem(value)
		if err != nil {
			return fmt.Errorf("list items: %w", err)
		}
		if err := fn(item); err != nil {
			return err
		}
	}
	return nil
}
