package store

import (
	"context"
	"fmt"
	"math"
	"slices"

	"seqrec/internal/event"
)

// Copied says how far a Copy is.
type Copied struct {
	Pass    int // from 1
	Users   int // looked at in this pass
	Changed int // of those, copied again because they differed from what the pass before saw
	Events  int // written in all passes
	Items   int // in the catalogue of the source
	Erased  int // users that were gone from the source in this pass
}

// copyBatch is the number of events that Copy writes at once.
const copyBatch = 2048

// Copy writes all events and items of one store into another while the source may be written. After the first pass it
// goes over the source again and copies the histories that have changed since, and erases users that are gone, until a
// pass finds nothing new, at most passes of them. What the target held before stays: its histories are merged. Events
// beyond the cap of the target are dropped; times to live begin anew. It keeps the id and a hash of every user in memory.
// progress, if not nil, is called now and then. An error means that the copy is not complete; copying again goes on, since
// events are never doubled.
func Copy(ctx context.Context, from, to Store, passes int, progress func(Copied)) (Copied, error) {
	if progress == nil {
		progress = func(Copied) {}
	}
	c := copier{from: from, to: to, seen: map[event.UserID][32]byte{}, progress: progress}
	for c.state.Pass < max(passes, 1) {
		if err := c.pass(ctx); err != nil {
			return c.state, fmt.Errorf("copy, pass %d: %w", c.state.Pass, err)
		}
		if c.state.Pass > 1 && c.state.Changed+c.state.Erased == 0 {
			return c.state, nil
		}
	}
	if c.state.Pass > 1 && passes > 1 {
		return c.state, fmt.Errorf("copy: %w after %d passes: %d users still changed in the last", ErrRestless, passes, c.state.Changed+c.state.Erased)
	}
	return c.state, nil
}

type copier struct {
	from, to Store
	state    Copied
	progress func(Copied)
	seen     map[event.UserID][32]byte // hash of the history as copied
	batch    []event.Event
}

func (c *copier) pass(ctx context.Context) error {
	c.state = Copied{Pass: c.state.Pass + 1, Events: c.state.Events}
	if err := c.items(ctx); err != nil {
		return err
	}
	gone := make(map[event.UserID]bool, len(c.seen))
	for user := range c.seen {
		gone[user] = true
	}
	err := c.from.Users(ctx, func(user event.UserID) error {
		delete(gone, user)
		return c.user(ctx, user)
	})
	if err == nil {
		err = c.flush(ctx)
	}
	if err != nil {
		return err
	}
	for user := range gone {
		if err := c.erase(ctx, user); err != nil {
			return err
		}
	}
	c.progress(c.state)
	return nil
}

// user copies one history if it is not as it was.
func (c *copier) user(ctx context.Context, user event.UserID) error {
	events, err := c.from.Recent(ctx, user, math.MaxInt32)
	if err != nil {
		return err
	}
	c.state.Users++
	hash := HashEvents(events)
	if c.seen[user] == hash || len(events) == 0 {
		return nil
	}
	c.seen[user] = hash
	c.state.Changed++
	c.batch = append(c.batch, events...)
	if len(c.batch) < copyBatch {
		return nil
	}
	return c.flush(ctx)
}

func (c *copier) flush(ctx context.Context) error {
	for part := range slices.Chunk(c.batch, copyBatch) {
		r, err := c.to.Append(ctx, part)
		if err != nil {
			return err
		}
		c.state.Events += r.Accepted
	}
	c.batch = c.batch[:0]
	c.progress(c.state)
	return nil
}

// erase follows an erasure in the source, unless the user came back since.
func (c *copier) erase(ctx context.Context, user event.UserID) error {
	events, err := c.from.Recent(ctx, user, 1)
	if err != nil || len(events) > 0 {
		return err
	}
	delete(c.seen, user)
	c.state.Erased++
	_, err = c.to.Erase(ctx, user)
	return err
}

// items copies the catalogue, which is small.
func (c *copier) items(ctx context.Context) error {
	var batch []Item
	err := c.from.AllItems(ctx, func(item Item) error {
		c.state.Items++
		if batch = append(batch, item); len(batch) < 500 {
			return nil
		}
		err := c.to.PutItems(ctx, batch)
		batch = batch[:0]
		return err
	})
	if err != nil {
		return err
	}
	return c.to.PutItems(ctx, batch)
}
