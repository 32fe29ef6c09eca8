package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// held is how many records there are and what they take, as it is counted.
func held(t *testing.T, from kafka.RecordReader) (n int, cost int64) {
	t.Helper()
	for {
		r, err := from.ReadRecord()
		if errors.Is(err, io.EOF) {
			return n, cost
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		cost += recordCost
		for _, b := range []kafka.Bytes{r.Key, r.Value} {
			if b != nil {
				cost += int64(b.Len())
			}
		}
		for _, h := range r.Headers {
			cost += headerCost + int64(len(h.Key)+len(h.Value))
		}
		release(r)
	}
}

// FuzzWalk puts records of any kind into a batch whose checksum is right. What the walk lets pass kafka-go reads whole,
// without a panic, and it takes what was counted.
func FuzzWalk(f *testing.F) {
	const old, packed = 8, 16 // bits of shape beside the codec and, of 32, the old format
	whole := recordWith([]byte{2, 7, 4, 2, 'k', 2, 'v', 0, 1})
	for codec := range byte(5) {
		for _, record := range [][]byte{
			whole, recordOf(make([]byte, 100)), recordOfHeaders(1<<45, nil), recordOfHeaders(1<<26, nil), recordOfHeaders(5, make([]byte, 10)),
			recordOfHeaders(2000, make([]byte, 4000)), recordWith([]byte{0xfe, 0xff, 0xff, 0xff, 0x1f}),
		} {
			f.Add(record, int32(1), codec|packed)
		}
		f.Add(append(bytes.Clone(whole), whole...), int32(2), codec|packed)
		one := messageOf(0, 0, 0, []byte("k"), []byte("v"))
		f.Add(bytes.Repeat(one, 3), int32(0), codec|packed|old)
		f.Add(bytes.Repeat(one, 3000), int32(0), codec|packed|old)
		f.Add(append(bytes.Clone(one[:8]), 0xff, 0xff, 0xff, 0xfb), int32(0), codec|packed|old|32)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}, int32(1), byte(kafka.Snappy))
	f.Add([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xf0\x01\x02"), int32(1), byte(kafka.Snappy))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 1, 0, 0}, int32(0), byte(kafka.Zstd))
	f.Add(recordOf(nil), int32(math.MaxInt32), byte(0))
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte, count int32, shape byte) {
		codec := kafka.Compression(shape & 7 % 5)
		if shape&packed != 0 {
			data = pack(t, codec, data)
		}
		set := headed(9, codec, count, data)
		if shape&old != 0 {
			set = messageOf(shape>>5&1, byte(codec), 9, nil, data)
		}
		got, err := within(set, limit)
		if err != nil {
			var out *batchError
			if !errors.As(err, &out) || out.first != 9 || out.next <= 9 {
				t.Fatalf("a batch whose checksum is right: %v", err)
			}
			return
		}
		if len(got) != len(set) {
			t.Fatalf("%d bytes of %d", len(got), len(set))
		}
		records, err := recordsIn(got)
		if err != nil {
			if shape&old == 0 { // messages have checksums of their own
				t.Fatalf("what was walked through is not read: %v", err)
			}
			return
		}
		n, cost := held(t, records)
		if shape&old == 0 && n != int(count) || cost > limit {
			t.Fatalf("%d records of %d take %d within %d", n, count, cost, limit)
		}
	})
}

// served is a log of one partition that lies in memory: fetches go through all that those of a broker go through.
type served struct {
	log
	set   []byte
	limit int64
}

func (s *served) fetch(ctx context.Context, _ string, _ int, offset int64) (fetched, error) {
	f, rest := fetched{next: offset}, s.set
	for sent := firstBatch(rest); sent != nil; sent = firstBatch(rest) {
		b, err := openBatch(sent)
		if err != nil {
			return f, err
		}
		if b.next > offset {
			whole, err := within(rest, s.limit)
			if err == nil {
				err = f.readBatches(whole)
			}
			return f, err
		}
		rest = rest[len(sent):]
	}
	<-ctx.Done()
	return f, ctx.Err()
}

// counted is an Appender.
type counted struct{ events int }

func (c *counted) AppendSent(_ context.Context, events []event.Event, _ []int64) (store.Result, error) {
	c.events += len(events)
	return store.Result{Accepted: len(events)}, nil
}

// Batches that are too much or cannot be read stop nobody but themselves, and each is said once.
func TestFollowLeavesOut(t *testing.T) {
	events := someEvents(20, 5)
	var set []byte
	good := func(first int64, some []event.Event) {
		var records [][]byte
		for i, e := range some {
			value, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			key := []byte(e.User)
			body := appendBytes(appendBytes([]byte{0, 0, byte(2 * i)}, key), value)
			records = append(records, appendBytes(nil, append(body, 0)))
		}
		set = append(set, batchOf(t, first, kafka.Snappy, int32(len(records)), records...)...)
	}
	good(0, events[:10])
	set = append(set, batchOf(t, 10, kafka.Gzip, 1, recordOfHeaders(1<<45, nil))...)
	set = append(set, batchOf(t, 11, kafka.Gzip, 1, recordOfHeaders(20_000, bytes.Repeat([]byte{0, 1}, 20_000)))...)
	set = append(set, headed(12, kafka.Snappy, 1, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0})...)
	good(13, events[10:])

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, to := newWatcher(), &counted{}
	opts := Options{Brokers: []string{"a:1"}, Topic: "t", Observer: w, Log: slog.New(slog.DiscardHandler)}.withDefaults()
	var done []int64
	p := &partition{opts: &opts, log: &served{set: set, limit: 1 << 20}, to: to, appended: func(_ int, next int64) {
		if done = append(done, next); next == 23 {
			cancel()
		}
	}}
	p.follow(ctx)
	if to.events != 20 || len(done) != 5 || done[4] != 23 {
		t.Errorf("%d events, done up to %v", to.events, done)
	}
	if w.troubles["unreadable"] != 2 || w.troubles["oversize"] != 1 || len(w.troubles) != 2 {
		t.Errorf("said: %v", w.troubles)
	}
}
