package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"seqrec/internal/event"
)

// Copied says how far a Copy is.
type Copied struct {
	Pass     int // from 1
	Users    int // looked at in this pass
	Items    int // the same
	Changed  int // users and items of those, written again because they differed from what the pass before saw
	Erased   int // users and items that were gone from the source in this pass
	Events   int // written in all passes
	Dropped  int // events of the first pass that the cap of the target does not keep
	Receipts int // of erasures in the source; they are not copied, since each store hashes users under a secret of its own
}

// copyBatch is the number of events that Copy writes at once.
const copyBatch = 2048

// Copy writes all events and items of one store into another while the source may be written. After the first pass it
// goes over the source again and copies the histories and items that have changed since, and erases what is gone, until a
// pass finds nothing new, at most passes of them. A user who was erased meanwhile and came back is erased in the target
// before the new history is written. What the target held before stays: its histories are merged. Events beyond the cap of
// the target are dropped; times to live begin anew. It keeps the id and a hash of every user and item in memory.
// progress, if not nil, is called now and then. An error means that the copy is not complete; copying again goes on, since
// events are never doubled.
func Copy(ctx context.Context, from, to Store, passes int, progress func(Copied)) (Copied, error) {
	if progress == nil {
		progress = func(Copied) {}
	}
	c := copier{
		from: from, to: to, progress: progress,
		seen: map[event.UserID][32]byte{}, listed: map[event.ItemID][32]byte{}, receipts: map[string]bool{},
	}
	if err := c.lookForErasures(ctx); err != nil {
		return c.state, fmt.Errorf("copy: %w", err)
	}
	for c.state.Pass < max(passes, 1) {
		if err := c.pass(ctx); err != nil {
			return c.state, fmt.Errorf("copy, pass %d: %w", c.state.Pass, err)
		}
		if c.state.Pass > 1 && c.state.Changed+c.state.Erased == 0 {
			return c.state, nil
		}
	}
	if c.state.Pass > 1 && passes > 1 {
		return c.state, fmt.Errorf("copy: %w after %d passes: %d users and items still changed in the last", ErrRestless, passes, c.state.Changed+c.state.Erased)
	}
	return c.state, nil
}

type copier struct {
	from, to Store
	state    Copied
	progress func(Copied)
	seen     map[event.UserID][32]byte // hash of the history as copied
	listed   map[event.ItemID][32]byte // hash of the item as copied
	receipts map[string]bool           // ids of all erasures known of
	fresh    *ErasureList              // those that the pass before did not know
	batch    []event.Event
}

func (c *copier) pass(ctx context.Context) error {
	c.state = Copied{Pass: c.state.Pass + 1, Events: c.state.Events, Dropped: c.state.Dropped, Receipts: c.state.Receipts}
	if err := c.lookForErasures(ctx); err != nil {
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
	if err := c.items(ctx); err != nil { // last: it is quick, so little can be missed after it
		return err
	}
	c.progress(c.state)
	return nil
}

// user copies one history if it is not as it was.
func (c *copier) user(ctx context.Context, user event.UserID) error {
	events, err := c.from.Recent(ctx, user, math.MaxInt32)
	if err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	c.state.Users++
	if _, known := c.seen[user]; known && len(c.fresh.Receipts) > 0 {
		if _, erased := c.fresh.Until(user); erased { // and came back: what was copied before must go
			delete(c.seen, user)
			if _, err := c.to.Erase(ctx, user); err != nil {
				return err
			}
		}
	}
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
		if c.state.Pass == 1 { // later ones would count them again
			c.state.Dropped += r.Dropped
		}
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

// lookForErasures finds the receipts that are new since it was called last.
func (c *copier) lookForErasures(ctx context.Context) error {
	list, err := ListErasures(ctx, c.from)
	if err != nil {
		return err
	}
	var fresh []Receipt
	for _, r := range list.Receipts {
		if !c.receipts[r.ID] {
			c.receipts[r.ID] = true
			fresh = append(fresh, r)
		}
	}
	c.state.Receipts = len(list.Receipts)
	c.fresh = NewErasureList(list.Secret, fresh)
	return nil
}

// items copies what has changed of the catalogue, which is small, and removes what is gone from it.
func (c *copier) items(ctx context.Context) error {
	var batch []Item
	gone := maps.Clone(c.listed)
	err := c.from.AllItems(ctx, func(item Item) error {
		c.state.Items++
		delete(gone, item.ID)
		hash, err := hashItem(item)
		if err != nil || c.listed[item.ID] == hash {
			return err
		}
		c.listed[item.ID] = hash
		c.state.Changed++
		if batch = append(batch, item); len(batch) < 500 {
			return nil
		}
		err = c.to.PutItems(ctx, batch)
		batch = batch[:0]
		return err
	})
	if err == nil {
		err = c.to.PutItems(ctx, batch)
	}
	if err != nil {
		return err
	}
	for id := range gone {
		delete(c.listed, id)
		c.state.Erased++
		if err := c.to.DeleteItem(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}
