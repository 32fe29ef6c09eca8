package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// ItemChange is the newest that the items topic says of an item.
type ItemChange struct {
	ID   event.ItemID
	Item *store.Item // nil: it was deleted
	At   time.Time   // of the record
}

// Catalogue takes over what the items topic says.
type Catalogue interface {
	// Apply makes changes, in the order given, no item twice. Applying one again must change nothing.
	Apply(ctx context.Context, changes []ItemChange) error
}

// Follower keeps a catalogue equal to the items topic. It is no member of a group: each server follows the whole topic,
// from its first record on.
type Follower struct {
	cluster *cluster
	opts    Options
	to      Catalogue
	caught  chan struct{}
}

// NewFollower checks the options and reads the files that they name.
func NewFollower(opts Options, to Catalogue) (*Follower, error) {
	c, err := connect(opts)
	if err != nil {
		return nil, fmt.Errorf("configure kafka: %w", err)
	}
	c.opts.Batch.Delay = 0 // hiding an item should not wait for others
	return &Follower{cluster: c, opts: c.opts, to: to, caught: make(chan struct{})}, nil
}

// CaughtUp is closed once everything that the topic held when Run began is applied.
func (f *Follower) CaughtUp() <-chan struct{} { return f.caught }

// Run follows until ctx ends. Brokers or a catalogue that are away do not end it.
func (f *Follower) Run(ctx context.Context) error {
	defer f.cluster.close()
	ids := f.find(ctx)
	var behind, all sync.WaitGroup
	for _, id := range ids {
		behind.Add(1)
		all.Go(func() { f.follow(ctx, id, behind.Done) })
	}
	if behind.Wait(); ctx.Err() == nil {
		close(f.caught)
	}
	all.Wait()
	return nil
}

// find asks for the partitions until it gets them or ctx ends.
func (f *Follower) find(ctx context.Context) []int {
	retry := backoff{first: f.opts.Retry}
	for {
		ids, err := f.cluster.partitions(ctx, f.opts.ItemsTopic)
		if err == nil {
			return ids
		}
		if ctx.Err() != nil {
			return nil
		}
		f.opts.Observer.Troubled("items", err)
		if !retry.wait(ctx) {
			return nil
		}
	}
}

// follow is the life of one partition. What is there at the start is read as a whole before it is applied, so that a
// catalogue that others use too never sees what an item was long ago.
func (f *Follower) follow(ctx context.Context, id int, caughtUp func()) {
	caughtUp = sync.OnceFunc(caughtUp)
	defer caughtUp()
	topic, next, end := f.opts.ItemsTopic, int64(-1), int64(-1)
	retry := backoff{first: f.opts.Retry}
	pending := changes{}
	for ctx.Err() == nil {
		var got fetched
		var err error
		if next < 0 {
			if next, err = f.cluster.first(ctx, topic, id); err == nil {
				end, err = f.cluster.end(ctx, topic, id)
			}
		}
		if err == nil {
			got, err = f.cluster.fetch(ctx, topic, id, next)
		}
		if err == nil {
			pending.read(got.records, f.refused)
			next = got.next
			if next >= end || len(got.records) == 0 {
				if err = f.apply(ctx, &pending); err == nil {
					caughtUp()
				}
			}
		}
		var out *batchError
		switch {
		case err == nil:
			retry.reset()
		case errors.As(err, &out): // left out, as the consumer does
			doing, reason := out.trouble()
			f.opts.Observer.Troubled(doing, err)
			f.opts.Log.Error("a batch of items is left out: "+reason, "first", out.first, "next", out.next, "error", err)
			next = out.next
		case errors.Is(err, errGap):
			next = -1
		case ctx.Err() == nil:
			f.opts.Observer.Troubled("items", err)
			retry.wait(ctx)
		}
	}
}

func (f *Follower) refused(r *record, err error) {
	f.opts.Observer.Troubled("item", err)
	f.opts.Log.Warn("bad item record", "offset", r.offset, "error", err)
}

func (f *Follower) apply(ctx context.Context, pending *changes) error {
	if len(pending.list) == 0 {
		return nil
	}
	ctx, cancel := grace(ctx, f.opts.Drain)
	defer cancel()
	if err := f.to.Apply(ctx, pending.list); err != nil {
		return fmt.Errorf("apply %d changes of items: %w", len(pending.list), err)
	}
	*pending = changes{}
	return nil
}

// changes are what is to be applied: the newest of each item, in the order in which the items first came.
type changes struct {
	list []ItemChange
	at   map[event.ItemID]int
}

// read adds records. Bad ones are told of and passed over: the topic is compacted, so their place is there.
func (c *changes) read(records []record, bad func(*record, error)) {
	for i := range records {
		r := &records[i]
		change, err := decodeItem(r)
		if err != nil {
			bad(r, err)
			continue
		}
		if at, again := c.at[change.ID]; again {
			c.list[at] = change
			continue
		}
		if c.at == nil {
			c.at = map[event.ItemID]int{}
		}
		c.at[change.ID] = len(c.list)
		c.list = append(c.list, change)
	}
}

// decodeItem reads a record of the items topic. A change without error is one that every store can take.
func decodeItem(r *record) (ItemChange, error) {
	id := string(r.key)
	if d := event.CheckID(id); d != "" {
		return ItemChange{}, fmt.Errorf("the key, an item id, %s", d)
	}
	change := ItemChange{ID: event.ItemID(id), At: r.time}
	if r.value == nil {
		return change, nil
	}
	if !utf8.Valid(r.value) {
		return ItemChange{}, fmt.Errorf("item %q is not valid UTF-8", id)
	}
	var item store.Item
	if err := json.Unmarshal(r.value, &item); err != nil {
		return ItemChange{}, fmt.Errorf("item %q: %w", id, err)
	}
	if item.ID != change.ID {
		return ItemChange{}, fmt.Errorf("item %q has the key %q", item.ID, id)
	}
	if item.Updated.IsZero() {
		item.Updated = r.time.UTC()
	}
	if _, err := store.EncodeItem(item, item.Updated); err != nil { // what no store takes must not hold the others up
		return ItemChange{}, err
	}
	change.Item = &item
	return change, nil
}
