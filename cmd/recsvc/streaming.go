package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"seqrec/internal/event"
	"seqrec/internal/ingest"
	"seqrec/internal/recommend"
	"seqrec/internal/store"
)

// streaming is the part of a server that talks to Kafka. Events that come over REST are produced instead of stored, and
// reach the store by whoever ingests them. Items are produced and stored, and what others produce is followed.
type streaming struct {
	producer *ingest.Producer
	follower *ingest.Follower
	consumer *ingest.Consumer // nil: another process ingests
}

// catchUp is how long a starting server waits for the items topic, so that its first answers hide what is hidden.
const catchUp = 5 * time.Second

// openStreaming prepares what the configuration asks for; nothing is connected yet. What is ingested goes to to.
func openStreaming(s *server, to ingest.Appender, metrics *prometheus.Registry) (st *streaming, err error) {
	watch, err := newIngestObserver(metrics, s.log)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	opts, err := s.cfg.Kafka.options(s.log, watch)
	if err != nil {
		return nil, err
	}
	st = &streaming{}
	if st.producer, err = ingest.NewProducer(opts); err != nil {
		return nil, err
	}
	if st.follower, err = ingest.NewFollower(opts, following{s}); err != nil {
		return nil, errors.Join(err, st.producer.Close())
	}
	if s.cfg.Kafka.Ingest {
		if st.consumer, err = ingest.NewConsumer(opts, to); err != nil {
			return nil, errors.Join(err, st.producer.Close())
		}
	}
	return st, nil
}

// follow starts following the items, and waits a moment for those there are.
func (s *server) follow(ctx context.Context) {
	s.wg.Go(func() {
		if err := s.stream.follower.Run(ctx); err != nil {
			s.log.Error("following of items ended", "error", err)
		}
	})
	timer := time.NewTimer(catchUp)
	defer timer.Stop()
	select {
	case <-s.stream.follower.CaughtUp():
	case <-ctx.Done():
	case <-timer.C:
		s.log.Warn("starting without the newest items; Kafka did not give them yet", "topic", s.cfg.Kafka.ItemsTopic)
	}
}

// produced is a storage whose appends go to Kafka.
type produced struct {
	storage
	to *ingest.Producer
}

// Append returns once the brokers have the events. How many of them the store holds already cannot be known here.
func (p produced) Append(ctx context.Context, events []event.Event) (recommend.AppendResult, error) {
	if err := p.to.Produce(ctx, events); err != nil {
		return recommend.AppendResult{}, err
	}
	return recommend.AppendResult{Accepted: len(events)}, nil
}

// broadcast is a service whose changes of items go to Kafka, and to its own store at once.
type broadcast struct {
	*recommend.Service
	held recommend.Catalogue
	to   *ingest.Producer
	now  func() time.Time
}

// PutItems shows the items here when it returns, and on the other servers a moment later.
func (b broadcast) PutItems(ctx context.Context, items []recommend.CatalogItem) error {
	stamped := make([]recommend.CatalogItem, len(items))
	for i, item := range items {
		item.Updated = b.now().UnixMilli()
		stamped[i] = item
	}
	records, err := storedItems(stamped)
	if err != nil {
		return err
	}
	if err := b.to.PutItems(ctx, records); err != nil {
		return unavailable(ctx, err)
	}
	return b.Service.PutItems(ctx, stamped)
}

// DeleteItem works as PutItems does. What the store does not hold is ErrNotFound.
func (b broadcast) DeleteItem(ctx context.Context, id event.ItemID) error {
	if _, err := b.held.Item(ctx, id); err != nil {
		return b.Service.DeleteItem(ctx, id) // which says what is wrong
	}
	if err := b.to.DeleteItem(ctx, id); err != nil {
		return unavailable(ctx, err)
	}
	if err := b.Service.DeleteItem(ctx, id); !errors.Is(err, recommend.ErrNotFound) {
		return err
	}
	return nil // the follower was faster
}

// unavailable says of a failed write to Kafka what recommend says of a failed write to the store.
func unavailable(ctx context.Context, err error) error {
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", recommend.ErrDeadline, err)
	case cause != nil:
		return cause
	}
	return fmt.Errorf("%w: %w", recommend.ErrStore, err)
}

// following applies the items topic to a server.
type following struct{ server *server }

// changesAtOnce bounds the items of one write to the store.
const changesAtOnce = 2000

// Apply implements ingest.Catalogue. A store may be shared and ahead of us: what it says is newer stays.
func (f following) Apply(ctx context.Context, changes []ingest.ItemChange) error {
	for len(changes) > 0 {
		some := changes[:min(len(changes), changesAtOnce)]
		changes = changes[len(some):]
		ids := make([]event.ItemID, len(some))
		for i, c := range some {
			ids[i] = c.ID
		}
		held, err := f.server.store.Items(ctx, ids)
		if err != nil {
			return err
		}
		newest := map[event.ItemID]store.Item{}
		for _, item := range held {
			newest[item.ID] = item
		}
		if err := f.apply(ctx, some, newest); err != nil {
			return err
		}
	}
	return nil
}

func (f following) apply(ctx context.Context, changes []ingest.ItemChange, held map[event.ItemID]store.Item) error {
	var put []recommend.CatalogItem
	for _, c := range changes {
		item, known := held[c.ID]
		changed := c.At
		if c.Item != nil {
			changed = c.Item.Updated
		}
		switch {
		case known && item.Updated.After(changed): // shown again: others may have written it past us
			put = append(put, catalogItem(item))
		case c.Item != nil:
			put = append(put, catalogItem(*c.Item))
		default:
			if err := f.server.service.DeleteItem(ctx, c.ID); err != nil && !errors.Is(err, recommend.ErrNotFound) {
				return err
			}
		}
	}
	if len(put) == 0 {
		return nil
	}
	return f.server.service.PutItems(ctx, put)
}
