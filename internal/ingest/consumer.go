package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Appender keeps events; a store.Store does. Appending an event again must change nothing. sent has, for each event, when
// it was given to the log, in Unix milliseconds: those of users erased since then are not to be kept.
type Appender interface {
	AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error)
}

// Consumer reads the events of a topic as a member of a consumer group and appends them to a store.
type Consumer struct {
	cluster *cluster
	opts    Options
	to      Appender
}

// NewConsumer checks the options and reads the files that they name.
func NewConsumer(opts Options, to Appender) (*Consumer, error) {
	c, err := connect(opts)
	if err != nil {
		return nil, fmt.Errorf("configure kafka: %w", err)
	}
	return &Consumer{cluster: c, opts: c.opts, to: to}, nil
}

// joinPause is how long a consumer waits after it could not join its group.
const joinPause = time.Second

// Run reads until ctx ends, then finishes the batches under way, commits them and leaves the group. Brokers or a store
// that are away do not end it: it waits for them and tells the observer. A Consumer is run once.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.cluster.close()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: c.opts.Group, Brokers: c.opts.Brokers, Dialer: c.cluster.dialer, Topics: []string{c.opts.Topic},
		GroupBalancers:    []kafka.GroupBalancer{kafka.RangeGroupBalancer{}, kafka.RoundRobinGroupBalancer{}},
		HeartbeatInterval: c.opts.Session / 4, SessionTimeout: c.opts.Session, RebalanceTimeout: c.opts.Drain + c.opts.Session,
		WatchPartitionChanges: true, JoinGroupBackoff: joinPause, Timeout: callTimeout,
		StartOffset: nothingCommitted,
	})
	if err != nil {
		return fmt.Errorf("configure consumer group: %w", err)
	}
	var loops sync.WaitGroup
	for {
		gen, err := group.Next(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			if !errors.Is(err, kafka.RebalanceInProgress) { // that is how a group says that it is busy
				c.opts.Observer.Troubled("join", err)
			}
			continue
		}
		c.begin(gen, &loops)
	}
	err = group.Close() // ends the generation, waits for its loops, leaves
	loops.Wait()
	c.opts.Observer.Assigned(nil)
	return err
}

// nothingCommitted is the offset that a new generation carries for a partition of which nothing was committed.
const nothingCommitted = kafka.FirstOffset

// begin starts a loop for each partition that a generation gave us, and one that commits for all of them. They end with
// the generation, and it with the first of them.
func (c *Consumer) begin(gen *kafka.Generation, loops *sync.WaitGroup) {
	assigned := gen.Assignments[c.opts.Topic]
	ids := make([]int, len(assigned))
	for i, a := range assigned {
		ids[i] = a.ID
	}
	slices.Sort(ids)
	c.opts.Observer.Assigned(ids)
	c.opts.Log.Info("consumer group joined", "group", gen.GroupID, "generation", gen.ID, "partitions", ids)
	commits := newCommitter(c.opts.Observer, func(offsets map[int]int64) error {
		return gen.CommitOffsets(map[string]map[int]int64{c.opts.Topic: offsets})
	})
	var partitions sync.WaitGroup
	for _, a := range assigned {
		p := &partition{
			id: a.ID, next: a.Offset, opts: &c.opts, log: c.cluster, to: c.to, appended: commits.mark,
			retry: backoff{first: c.opts.Retry},
		}
		partitions.Add(1)
		loops.Add(1)
		gen.Start(func(ctx context.Context) {
			defer loops.Done()
			defer partitions.Done()
			p.follow(ctx)
		})
	}
	loops.Add(2)
	gen.Start(func(ctx context.Context) {
		defer loops.Done()
		commits.run(ctx, &partitions)
	})
	gen.Start(func(ctx context.Context) { // the next generation begins when this has returned
		defer loops.Done()
		<-ctx.Done()
		c.opts.Observer.Assigned(nil)
	})
}
