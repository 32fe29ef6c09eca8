package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// idleFetch is how long a fetch waits for a first record.
	idleFetch = 500 * time.Millisecond
	// callTimeout bounds every other call of a broker, and what a fetch may take beyond its waiting.
	callTimeout = 15 * time.Second
	// clientID is what we call ourselves to brokers.
	clientID = "seqrec"
	// metadataAge is how long the transport believes what it knows of topics and leaders.
	metadataAge = 2 * time.Second
)

// errGap: the offset asked for is not in the log: deleted by retention, or the topic was made anew.
var errGap = kafka.OffsetOutOfRange

// cluster is the brokers as this package needs them: single calls that succeed or fail, nothing in the background but
// connections. Its methods may be called concurrently.
type cluster struct {
	opts      Options
	transport *kafka.Transport
	dialer    *kafka.Dialer
	client    *kafka.Client
}

// connect reads the files that the options name. It opens no connection yet.
func connect(opts Options) (*cluster, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	mechanism, err := opts.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	secure, err := opts.TLS.config()
	if err != nil {
		return nil, err
	}
	c := &cluster{
		opts:      opts,
		transport: &kafka.Transport{TLS: secure, SASL: mechanism, MetadataTTL: metadataAge, ClientID: clientID},
		dialer:    &kafka.Dialer{TLS: secure, SASLMechanism: mechanism, ClientID: clientID, Timeout: callTimeout, DualStack: true},
	}
	c.client = &kafka.Client{Addr: kafka.TCP(opts.Brokers...), Transport: c.transport}
	return c, nil
}

func (c *cluster) close() { c.transport.CloseIdleConnections() }

// fetched is what one fetch brought.
type fetched struct {
	records []record
	bytes   int    // of keys and values
	next    int64  // offset to go on from
	high    int64  // offset after the last record of the partition
	memory  []byte // of the records; see take
}

// fetch reads records from an offset on, at least one if there is any within the waiting time. The records share one
// piece of memory. Errors: errGap, a batchError for a batch to be left out, and those of the network.
func (c *cluster) fetch(ctx context.Context, topic string, partition int, offset int64) (fetched, error) {
	least, wait := 1, idleFetch
	if d := c.opts.Batch.Delay; d > 0 {
		least, wait = c.opts.Batch.Bytes, d
	}
	ctx, cancel := context.WithTimeout(ctx, wait+callTimeout)
	defer cancel()
	f := fetched{next: offset}
	err := c.fetchInto(ctx, &f, &packedFetch{Request: &fetchapi.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: int32(least), MaxBytes: int32(c.opts.Batch.Bytes), SessionID: -1, SessionEpoch: -1,
		Topics: []fetchapi.RequestTopic{{Topic: topic, Partitions: []fetchapi.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: int32(c.opts.Batch.Bytes),
		}}}},
	}})
	if err != nil {
		return fetched{}, fmt.Errorf("fetch %s/%d at %d: %w", topic, partition, offset, err)
	}
	return f, nil
}

func (c *cluster) fetchInto(ctx context.Context, f *fetched, req *packedFetch) error {
	answer, err := c.transport.RoundTrip(ctx, c.client.Addr, req)
	if err != nil {
		return err
	}
	p, ok := answer.(*packed)
	if !ok {
		return fmt.Errorf("an answer of type %T", answer)
	}
	if p.fault != 0 {
		return kafka.Error(p.fault)
	}
	f.high = p.high
	whole, err := within(p.set, c.opts.Batch.Unpacked)
	if err != nil {
		return err
	}
	return f.readBatches(whole)
}

// read takes over the records from f.next on. Brokers send whole batches, so some may lie before it.
func (f *fetched) read(from kafka.RecordReader) error {
	if end, only := controlEnd(from); end > f.next {
		defer func() { f.next = max(f.next, end) }()
		if only {
			return nil
		}
	}
	for {
		r, err := from.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Offset < f.next {
			release(r)
			continue
		}
		out := record{offset: r.Offset, time: r.Time}
		if f.memory, out.key, err = take(f.memory, r.Key); err == nil {
			f.memory, out.value, err = take(f.memory, r.Value)
		}
		release(r)
		if err != nil {
			return err
		}
		if len(r.Headers) > 0 {
			out.headers = make([]header, len(r.Headers))
		}
		for i, h := range r.Headers {
			out.headers[i] = header{h.Key, h.Value}
		}
		f.records = append(f.records, out)
		f.bytes += len(out.key) + len(out.value)
		f.next = r.Offset + 1
	}
}

// controlEnd finds the offset after a last batch that holds no records but the mark of a transaction, and whether that
// is all there is. Without it a reader would stand before such a mark for ever.
func controlEnd(from kafka.RecordReader) (end int64, only bool) {
	if s, ok := from.(*protocol.RecordStream); ok && len(s.Records) > 0 {
		end, _ = controlEnd(s.Records[len(s.Records)-1])
		return end, false
	}
	if b, ok := from.(*protocol.ControlBatch); ok {
		return b.BaseOffset + 1, true
	}
	return 0, false
}

// memoryPiece is how much memory take asks for at once.
const memoryPiece = 64 << 10

// take copies b behind memory and returns the copy, nil for a null. What was copied before stays where it is.
func take(memory []byte, b kafka.Bytes) (rest, out []byte, err error) {
	if b == nil {
		return memory, nil, nil
	}
	n := b.Len()
	if memory == nil || cap(memory)-len(memory) < n { // an empty one is no null
		memory = make([]byte, 0, max(memoryPiece, n))
	}
	at := len(memory)
	memory = memory[:at+n]
	out = memory[at : at+n : at+n]
	_, err = io.ReadFull(b, out)
	return memory, out, err
}

func release(r *kafka.Record) {
	for _, b := range []kafka.Bytes{r.Key, r.Value} {
		if b != nil {
			b.Close() //nolint:errcheck // it is memory
		}
	}
}

// produce writes records to one partition and returns when all replicas in sync have them.
func (c *cluster) produce(ctx context.Context, topic string, partition int, records []record) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out := make([]kafka.Record, len(records))
	for i, r := range records {
		out[i] = kafka.Record{Key: kafka.NewBytes(r.key), Value: kafka.NewBytes(r.value), Time: r.time}
		for _, h := range r.headers {
			out[i].Headers = append(out[i].Headers, kafka.Header{Key: h.key, Value: h.value})
		}
	}
	res, err := c.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(out...),
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("produce to %s/%d: %w", topic, partition, err)
	}
	return nil
}

// partitions returns the numbers of a topic's partitions.
func (c *cluster) partitions(ctx context.Context, topic string) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err == nil && (len(res.Topics) != 1 || len(res.Topics[0].Partitions) == 0) {
		err = kafka.UnknownTopicOrPartition
	}
	if err == nil {
		err = res.Topics[0].Error
	}
	if err != nil {
		return nil, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	var ids []int
	for _, p := range res.Topics[0].Partitions {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids, nil
}

// first is the offset of the oldest record of a partition, or of the next one when there is none.
func (c *cluster) first(ctx context.Context, topic string, partition int) (int64, error) {
	o, err := c.offsets(ctx, topic, kafka.FirstOffsetOf(partition))
	return o.FirstOffset, err
}

// end is the offset after the newest record of a partition.
func (c *cluster) end(ctx context.Context, topic string, partition int) (int64, error) {
	o, err := c.offsets(ctx, topic, kafka.LastOffsetOf(partition))
	return o.LastOffset, err
}

// since is the offset of the first record that is not older than at; the end when all are.
func (c *cluster) since(ctx context.Context, topic string, partition int, at time.Time) (int64, error) {
	o, err := c.offsets(ctx, topic, kafka.OffsetRequest{Partition: partition, Timestamp: max(at.UnixMilli(), 0)})
	if err != nil {
		return 0, err
	}
	for offset := range o.Offsets {
		if offset >= 0 {
			return offset, nil
		}
	}
	return c.end(ctx, topic, partition)
}

func (c *cluster) offsets(ctx context.Context, topic string, of kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {of}}})
	if err == nil && len(res.Topics[topic]) != 1 {
		err = kafka.UnknownTopicOrPartition
	}
	if err == nil {
		err = res.Topics[topic][0].Error
	}
	if err != nil {
		return kafka.PartitionOffsets{}, fmt.Errorf("look up offsets of %s/%d: %w", topic, of.Partition, err)
	}
	return res.Topics[topic][0], nil
}

// CreateTopics makes the three topics that do not exist yet: that of events and that of dead letters with so many
// partitions, that of items compacted with one. The dead letters may be long: they hold what was too long elsewhere.
func CreateTopics(ctx context.Context, opts Options, partitions, replicas int) error {
	c, err := connect(opts)
	if err != nil {
		return err
	}
	defer c.close()
	topic := func(name string, partitions int, config ...kafka.ConfigEntry) kafka.TopicConfig {
		return kafka.TopicConfig{Topic: name, NumPartitions: partitions, ReplicationFactor: replicas, ConfigEntries: config}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		topic(c.opts.Topic, partitions),
		topic(c.opts.DeadLetterTopic, partitions, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "16777216"}),
		topic(c.opts.ItemsTopic, 1, kafka.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"}),
	}})
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var faults []error
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			faults = append(faults, fmt.Errorf("create topic %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}
