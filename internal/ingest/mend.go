package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
)

// Mended says what ReplayDeadLetters did.
type Mended struct {
	Letters int64            // looked at
	Back    int64            // good now, and in the topic of events
	Bad     map[string]int64 // still bad, by reason; they went to the end of the dead-letter topic
}

// ReplayDeadLetters looks at every dead letter that was there when it began and was not dealt with before. One that is a
// good event by now (its time has come, the rules or the store were mended, or all that it lacked was a key) goes back to
// the topic of events, with a note of when it was first sent: if its user was erased since, it does not bring him back.
// The others go to the end of the dead-letter topic, as they are. How far it came is committed in the group with
// ".dead-letter" behind its name, after the broker has acknowledged both, so nothing is lost if it is interrupted; what is
// done twice is harmless. Two of them must not run at once. ErrLeftOut: all is done but for some batches.
func ReplayDeadLetters(ctx context.Context, opts Options) (Mended, error) {
	c, err := connect(opts)
	if err != nil {
		return Mended{}, fmt.Errorf("configure kafka: %w", err)
	}
	defer c.close()
	p, err := NewProducer(opts)
	if err != nil {
		return Mended{}, err
	}
	defer p.Close() //nolint:errcheck // every write was waited for
	m := mending{cluster: c, producer: p, sum: Mended{Bad: map[string]int64{}}}
	ids, err := c.partitions(ctx, c.opts.DeadLetterTopic)
	if err != nil {
		return Mended{}, err
	}
	spans := make([]span, len(ids)) // all found first: what is put back must not be met again
	for i, id := range ids {
		if spans[i], err = m.span(ctx, id); err != nil {
			return Mended{}, err
		}
	}
	var left []error
	for _, s := range spans {
		err := c.each(ctx, c.opts.DeadLetterTopic, s, func(ctx context.Context, letters []record) error {
			return m.take(ctx, s.id, letters)
		})
		if errors.Is(err, ErrLeftOut) {
			left = append(left, err)
		} else if err != nil {
			return m.sum, err
		}
	}
	return m.sum, errors.Join(left...)
}

type mending struct {
	cluster  *cluster
	producer *Producer
	sum      Mended
}

func (m *mending) group() string { return m.cluster.opts.Group + ".dead-letter" }

// span is what is to be looked at in one partition.
func (m *mending) span(ctx context.Context, id int) (span, error) {
	topic := m.cluster.opts.DeadLetterTopic
	s := span{id: id}
	var err error
	if s.next, err = m.cluster.first(ctx, topic, id); err != nil {
		return s, err
	}
	if s.end, err = m.cluster.end(ctx, topic, id); err != nil {
		return s, err
	}
	var committed int64
	err = m.cluster.insist(ctx, func() (err error) {
		committed, err = m.cluster.committed(ctx, m.group(), topic, id)
		return err
	})
	if committed <= s.end { // else the topic was made anew
		s.next = max(s.next, committed)
	}
	return s, err
}

// take sorts letters of one partition.
func (m *mending) take(ctx context.Context, partition int, letters []record) error {
	var good batch
	var bad []record
	for i := range letters {
		r := &letters[i]
		e, why := m.judge(r)
		if why == nil {
			good.add(e, r.sent().UnixMilli())
			continue
		}
		bad = append(bad, *r)
		m.sum.Bad[why.reason]++
	}
	if err := m.producer.produceSent(ctx, good); err != nil {
		return err
	}
	if err := send(ctx, m.cluster, m.cluster.opts.DeadLetterTopic, partition, bad); err != nil {
		return fmt.Errorf("put %d dead letters back: %w", len(bad), err)
	}
	m.sum.Letters += int64(len(letters))
	m.sum.Back += int64(len(good.events))
	return m.cluster.insist(ctx, func() error {
		return m.cluster.commit(ctx, m.group(), m.cluster.opts.DeadLetterTopic, partition, letters[len(letters)-1].offset+1)
	})
}

// judge reads a letter by the rules of today. A missing key is mended on the way back, since events are keyed by user.
func (m *mending) judge(r *record) (event.Event, *fault) {
	if r.header(headerCut) != "" {
		return event.Event{}, &fault{reasonLarge, "was cut"}
	}
	fresh := *r
	fresh.time = time.Time{}
	e, why := decode(&fresh, m.cluster.opts.Batch.Record, m.cluster.opts.Now())
	if why != nil && why.reason == reasonNullKey {
		why = nil
	}
	return e, why
}

// insist asks again what brokers may refuse for a while, such as a group that they are still loading.
func (c *cluster) insist(ctx context.Context, ask func() error) error {
	retry := backoff{first: c.opts.Retry}
	for i := 1; ; i++ {
		err := ask()
		if err == nil || i == tries || !retry.wait(ctx) {
			return err
		}
	}
}

// committed is the offset that a group without members has committed, -1 if none.
func (c *cluster) committed(ctx context.Context, group, topic string, partition int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {partition}}})
	if err == nil {
		err = res.Error
	}
	if err == nil && len(res.Topics[topic]) != 1 {
		err = kafka.UnknownTopicOrPartition
	}
	if err == nil {
		err = res.Topics[topic][0].Error
	}
	if err != nil {
		return 0, fmt.Errorf("look up what group %s has committed: %w", group, err)
	}
	return res.Topics[topic][0].CommittedOffset, nil
}

// commit commits an offset for a group without members.
func (c *cluster) commit(ctx context.Context, group, topic string, partition int, next int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: next}}},
	})
	if err == nil {
		for _, p := range res.Topics[topic] {
			err = p.Error
		}
	}
	if err != nil {
		return fmt.Errorf("commit offset %d of %s/%d for group %s: %w", next, topic, partition, group, err)
	}
	return nil
}
