package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Producer writes events and items to their topics. Its methods may be called concurrently: what comes at the same time
// shares batches. A write whose caller has left goes on until the brokers have answered or have failed to, so that what
// waits for them is known and bounded.
type Producer struct {
	cluster *cluster
	writer  *kafka.Writer
	writes  sync.WaitGroup
	waiting atomic.Int64 // bytes of records, and what keeping them costs
}

// ErrBacklog says that too much waits for brokers that do not answer. The same call may succeed later.
var ErrBacklog = errors.New("too many records wait for brokers that do not answer")

const (
	// maxWaiting bounds Producer.waiting, but for the last write that was let in.
	maxWaiting = 64 << 20
	// messageSize is about what a record costs beside its bytes while it waits.
	messageSize = 256
	// writeTimeout bounds one try of a batch.
	writeTimeout = 5 * time.Second
	// produceDelay is how long a batch waits for more records; each write is later by it.
	produceDelay = 2 * time.Millisecond
	// produceBytes keeps a batch below the million bytes that brokers take unless they are told otherwise.
	produceBytes = 900_000
)

// NewProducer checks the options and reads the files that they name. Close must be called.
func NewProducer(opts Options) (*Producer, error) {
	c, err := connect(opts)
	if err != nil {
		return nil, fmt.Errorf("configure kafka: %w", err)
	}
	return &Producer{cluster: c, writer: &kafka.Writer{
		Addr: c.client.Addr, Transport: c.transport, RequiredAcks: kafka.RequireAll,
		Balancer: kafka.Murmur2Balancer{}, BatchTimeout: produceDelay, BatchBytes: produceBytes, BatchSize: 2000,
		WriteBackoffMin: c.opts.Retry, WriteBackoffMax: 20 * c.opts.Retry, WriteTimeout: writeTimeout,
	}}, nil
}

// Close waits for the writes under way, for as long as Options.Drain. What the brokers have not answered by then is left:
// nobody was told that they have it.
func (p *Producer) Close() error {
	defer p.cluster.close()
	closed := make(chan error, 1)
	go func() {
		err := p.writer.Close()
		p.writes.Wait()
		closed <- err
	}()
	timer := time.NewTimer(p.cluster.opts.Drain)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return fmt.Errorf("close producer: %w", ErrBacklog)
	}
}

// Produce writes events to their topic, keyed by user, and returns when all replicas in sync have them. On error some
// may have been written; writing them again is harmless. The events must be valid.
func (p *Producer) Produce(ctx context.Context, events []event.Event) error {
	return p.produceSent(ctx, batch{events: events})
}

// produceSent is Produce of events that were given to the log before, if it is known when.
func (p *Producer) produceSent(ctx context.Context, in batch) error {
	messages := make([]kafka.Message, len(in.events))
	for i, e := range in.events {
		value, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("write event as JSON: %w", err)
		}
		messages[i] = kafka.Message{Topic: p.cluster.opts.Topic, Key: []byte(e.User), Value: value}
		if len(in.sent) > 0 {
			messages[i].Headers = []kafka.Header{{Key: headerSent, Value: strconv.AppendInt(nil, in.sent[i], 10)}}
		}
	}
	return p.write(ctx, "produce events", messages)
}

// PutItems writes items to their topic, keyed by item, as Produce does with events.
func (p *Producer) PutItems(ctx context.Context, items []store.Item) error {
	messages := make([]kafka.Message, len(items))
	for i := range items {
		value, err := json.Marshal(&items[i])
		if err != nil {
			return fmt.Errorf("write item as JSON: %w", err)
		}
		messages[i] = kafka.Message{Topic: p.cluster.opts.ItemsTopic, Key: []byte(items[i].ID), Value: value}
	}
	return p.write(ctx, "produce items", messages)
}

// DeleteItem writes a tombstone for an item.
func (p *Producer) DeleteItem(ctx context.Context, id event.ItemID) error {
	return p.write(ctx, "produce tombstone", []kafka.Message{{Topic: p.cluster.opts.ItemsTopic, Key: []byte(id)}})
}

// write hands messages to the writer and waits for it, or for ctx.
func (p *Producer) write(ctx context.Context, doing string, messages []kafka.Message) error {
	size := int64(0)
	for i := range messages {
		size += messageSize + int64(len(messages[i].Key)+len(messages[i].Value))
	}
	if p.waiting.Add(size)-size > maxWaiting {
		p.waiting.Add(-size)
		return fmt.Errorf("%s: %w", doing, ErrBacklog)
	}
	written := make(chan error, 1)
	p.writes.Go(func() {
		defer p.waiting.Add(-size)
		written <- p.writer.WriteMessages(context.WithoutCancel(ctx), messages...)
	})
	select {
	case err := <-written:
		return writeError(doing, err, len(messages))
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
}

// writeError makes one error of those of many messages, most of which are the same.
func writeError(doing string, err error, all int) error {
	if many := kafka.WriteErrors(nil); errors.As(err, &many) {
		for _, first := range many {
			if first != nil {
				return fmt.Errorf("%s: %d of %d records were not taken: %w", doing, many.Count(), all, first)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
