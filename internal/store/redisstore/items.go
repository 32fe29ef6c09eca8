package redisstore

import (
	"context"
	"fmt"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// PutItems implements store.Items.
func (s *Store) PutItems(ctx context.Context, items []store.Item) error {
	pairs := make([]any, 0, 2*len(items))
	now := s.opts.Now()
	for _, item := range items {
		data, err := store.EncodeItem(item, now)
		if err != nil {
			return fmt.Errorf("put items: %w", err)
		}
		pairs = append(pairs, string(item.ID), data)
	}
	return s.call(ctx, "put items", s.opts.WriteTimeout, func(ctx context.Context) error {
		if len(pairs) == 0 {
			return nil
		}
		return s.client.HSet(ctx, s.keys.shared("c"), pairs...).Err()
	})
}

// Items implements store.Items.
func (s *Store) Items(ctx context.Context, ids []event.ItemID) (out []store.Item, err error) {
	fields := make([]string, len(ids))
	for i, id := range ids {
		fields[i] = string(id)
	}
	err = s.call(ctx, "read items", s.opts.Timeout, func(ctx context.Context) error {
		if len(fields) == 0 {
			return nil
		}
		values, err := s.client.HMGet(ctx, s.keys.shared("c"), fields...).Result()
		if err != nil {
			return err
		}
		for i, v := range values {
			data, ok := v.(string)
			if !ok {
				continue
			}
			item, err := store.DecodeItem([]byte(data))
			if err != nil {
				return fmt.Errorf("item %q: %w", ids[i], err)
			}
			out = append(out, item)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteItem implements store.Items.
func (s *Store) DeleteItem(ctx context.Context, id event.ItemID) error {
	return s.call(ctx, "delete item", s.opts.WriteTimeout, func(ctx context.Context) error {
		n, err := s.client.HDel(ctx, s.keys.shared("c"), string(id)).Result()
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		if err != nil {
			err = fmt.Errorf("%q: %w", id, err)
		}
		return err
	})
}

// AllItems implements store.Items.
func (s *Store) AllItems(ctx context.Context, fn func(store.Item) error) error {
	return s.eachField(ctx, "list items", s.keys.shared("c"), func(id, value string) error {
		item, err := store.DecodeItem([]byte(value))
		if err != nil {
			return fmt.Errorf("list items: item %q: %w", id, err)
		}
		return fn(item)
	})
}

// eachField calls fn for each field of a shared hash. Redis may name a field twice; fn hears of it once.
func (s *Store) eachField(ctx context.Context, doing, key string, fn func(field, value string) error) error {
	seen := map[string]bool{}
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var pairs []string
		err := s.call(ctx, doing, s.opts.WriteTimeout, func(ctx context.Context) (err error) {
			pairs, cursor, err = s.client.HScan(ctx, key, cursor, "", scanCount).Result()
			return err
		})
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if seen[pairs[i]] {
				continue
			}
			seen[pairs[i]] = true
			if err := fn(pairs[i], pairs[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}
