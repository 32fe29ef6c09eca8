package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Producer writes events and items to their topics. Its methods may be called concurrently: what comes at the same time
// shares batches.
type Producer struct {
	cluster *cluster
	writer  *kafka.Writer
}

const (
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
		WriteBackoffMin: c.opts.Retry, WriteBackoffMax: 20 * c.opts.Retry,
	}}, nil
}

// Close waits for the writes under way.
func (p *Producer) Close() error {
	defer p.cluster.close()
	return p.writer.Close()
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

func (p *Producer) write(ctx context.Context, doing string, messages []kafka.Message) error {
	err := p.writer.WriteMessages(ctx, messages...)
	if many := kafka.WriteErrors(nil); errors.As(err, &many) { // one for each message, most of them the same
		for _, first := range many {
			if first != nil {
				return fmt.Errorf("%s: %d of %d records were not taken: %w", doing, many.Count(), len(messages), first)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
