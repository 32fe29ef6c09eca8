package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress/zstd"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

// packedAs is one batch of n records of zeros, as a producer makes it.
func packedAs(t testing.TB, version int8, codec kafka.Compression, first int64, n, size int) []byte {
	t.Helper()
	records := make([]kafka.Record, n)
	for i := range records {
		records[i] = kafka.Record{Time: time.UnixMilli(1_700_000_000_000), Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes(make([]byte, size))}
	}
	set := protocol.RecordSet{Version: version, Attributes: protocol.Attributes(codec), Records: kafka.NewRecordReader(records...)}
	var b bytes.Buffer
	if _, err := set.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	out := b.Bytes()[4:]
	binary.BigEndian.PutUint64(out, uint64(first))
	return out
}

func TestWithin(t *testing.T) {
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		one := packedAs(t, 2, codec, 0, 10, 1000) // 10,000 bytes of values, 2,560 for ten records
		set := bytes.Join([][]byte{one, packedAs(t, 2, codec, 10, 10, 1000), packedAs(t, 2, codec, 20, 10, 1000)}, nil)
		for _, tt := range []struct {
			limit int64
			whole int // batches
		}{{1 << 20, 3}, {38_500, 3}, {37_000, 2}, {12_900, 1}} {
			got, err := within(set, tt.limit)
			if err != nil || !bytes.Equal(got, set[:tt.whole*len(one)]) {
				t.Errorf("%s within %d: %d bytes of %d, %v; want %d batches of %d", codec, tt.limit, len(got), len(set), err, tt.whole, len(one))
			}
			records, err := recordsIn(got)
			f := fetched{}
			if err == nil {
				err = f.read(records)
			}
			if err != nil || len(f.records) != 10*tt.whole || f.next != int64(10*tt.whole) || len(f.records[0].value) != 1000 {
				t.Errorf("%s within %d: read %d records up to %d, %v", codec, tt.limit, len(f.records), f.next, err)
			}
		}
		var over *batchError
		if _, err := within(set[2*len(one):], 12_000); !errors.As(err, &over) || over.first != 20 || over.next != 30 || over.packed != len(one) {
			t.Errorf("%s: %v", codec, err)
		}
		for cut := range len(one) - 1 { // a last batch that is cut off
			if got, err := within(set[:len(one)+cut], 1<<20); err != nil || len(got) != len(one) {
				t.Fatalf("%s cut at %d: %d bytes, %v", codec, cut, len(got), err)
			}
		}
		if codec == kafka.Zstd { // there is no such thing in the old format
			continue
		}
		old := packedAs(t, 1, codec, 5, 1, 10_000)
		if got, err := within(old, 1<<20); err != nil || len(got) != len(old) {
			t.Errorf("old format, %s: %d bytes, %v", codec, len(got), err)
		}
		if _, err := within(old, 5000); !errors.As(err, &over) || over.next != 6 {
			t.Errorf("old format, %s: %v", codec, err)
		}
	}
}

// Zstd is measured to the byte, and a frame that asks for more than may be held is not unpacked.
func TestWithinMeasuresZstd(t *testing.T) {
	value := bytes.Repeat([]byte("an event of some user, "), 50_000)
	unpacked := batchOf(t, 0, noCodec, 1, recordOf(value))
	b, err := openBatch(batchOf(t, 0, kafka.Zstd, 1, recordOf(value)))
	exact := int64(len(unpacked)) - headOfBatch + recordCost
	if err != nil || exact < int64(len(value)) || len(b.data) > len(value)/100 {
		t.Fatalf("%d bytes of %d, %v", len(b.data), exact, err)
	}
	for most, want := range map[int64]int64{exact + 1000: exact, exact: exact, exact - 1: exact, exact - 1000: exact - 999} {
		if got, err := b.cost(most); err != nil || got != want {
			t.Errorf("at most %d: %d, %v; want %d", most, got, err, want)
		}
	}
	b.data = []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 1, 0, 0} // asks for a gigabyte, to unpack to nothing
	if got, err := b.cost(100_000); err != nil || got != 100_001 {
		t.Errorf("a huge window: %d, %v", got, err)
	}
}

// What a batch unpacks to costs nothing before it is known to be within the limit, whatever it says of itself.
func TestWithinOfABomb(t *testing.T) {
	const unpacked = 256 << 20
	bomb := packedAs(t, 2, kafka.Zstd, 7, 1, unpacked)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := within(bomb, 1<<20)
	runtime.ReadMemStats(&after)
	var over *batchError
	if !errors.As(err, &over) || over.first != 7 || over.next != 8 || !strings.Contains(err.Error(), "kafka.batch_unpacked, 1048576") {
		t.Errorf("%d bytes that unpack to %d: %v", len(bomb), unpacked, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("%d bytes of memory to see it", took)
	}
}

func TestWithinDamaged(t *testing.T) {
	whole := packedAs(t, 2, kafka.Gzip, 0, 3, 100)
	damage := func(at int, b ...byte) []byte {
		out := bytes.Clone(whole)
		copy(out[at:], b)
		return stamp(out)
	}
	for name, tt := range map[string]struct {
		set  []byte
		says string
	}{
		"format":             {damage(magicAt, 9), "format 9"},
		"ends before it is":  {damage(23, 0xff, 0xff, 0xff, 0xfe), "damaged"},
		"packed part":        {damage(61, 0, 0, 0), "cannot be read: record 1 of 3: gzip"},
		"checksum":           {append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), "its checksum is"},
		"number of records":  {damage(57, 0x7f, 0xff, 0xff, 0xff), "unpacks to more"},
		"negative number":    {damage(57, 0xff, 0xff, 0xff, 0xff), "unpacks to more"},
		"shorter than heads": {damage(8, 0, 0, 0, 20), "damaged"},
	} {
		set := tt.set
		if _, err := within(set, 1<<20); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
		if got, err := within(append(bytes.Clone(whole), set...), 1<<20); err != nil || len(got) != len(whole) {
			t.Errorf("%s behind a whole one: %d bytes, %v", name, len(got), err)
		}
	}
	for cut := range whole[:61] { // no length is too short to be looked at
		_, _ = within(whole[:cut], 1<<20)
	}
}

// The heads of frames say what unpacking asks for, and what is cut off is known without it.
func TestZstdWindow(t *testing.T) {
	noise := make([]byte, 300_000)
	for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(rng.Uint32() >> 24)
	}
	text := bytes.Repeat([]byte("an event of some user, "), 50_000)
	skipped := []byte{0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	for name, data := range map[string][]byte{"nothing": {}, "one": {1}, "zeros": make([]byte, 3_000_000), "noise": noise, "text": text, "short text": text[:1000]} {
		for _, level := range []int{1, 3, 12} {
			var frame bytes.Buffer
			z := (&zstd.Codec{Level: level}).NewWriter(&frame)
			for some := range slices.Chunk(data, 70_000) {
				if _, err := z.Write(some); err != nil {
					t.Fatal(err)
				}
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			for frames := range 4 {
				in := append(bytes.Repeat(frame.Bytes(), frames), skipped...)
				if window, err := zstdWindow(in); err != nil || window > usualWindow || frames > 0 && window < int64(min(len(data), 1<<20)) {
					t.Errorf("%s, level %d, %d frames: a window of %d, %v", name, level, frames, window, err)
				}
				if _, err := zstdWindow(in[:len(in)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: cut off: %v", name, err)
				}
				if frames > 0 && len(frame.Bytes()) < 1<<12 {
					for cut := 1; cut < frame.Len(); cut++ {
						if _, err := zstdWindow(frame.Bytes()[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("%s: cut at %d: %v", name, cut, err)
						}
					}
				}
			}
		}
	}
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for _, tt := range []struct {
		name  string
		frame []byte
		want  int64
	}{
		{"window of a gigabyte for nothing", []byte{0, 20 << 3, 1, 0, 0}, 1 << 30},
		{"window of 1.25 KiB and a block", []byte{0, 2, 13, 0, 0, 0}, 1280},
		{"one segment of 200 bytes, a dictionary", []byte{32 | 1, 7, 200, 3, 100, 0, 9}, 200},
		{"content of 256 and 2 bytes", []byte{1 << 6, 0, 2, 0, 1, 0, 0}, 1024},
		{"one segment of more than there can be", []byte{3<<6 | 32, 0, 0, 0, 0, 0, 255, 0, 0, 1, 0, 0}, math.MaxInt32},
		{"content of 8 bytes, checksum", []byte{3<<6 | 4, 0, 0, 0, 0, 0, 255, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, 1024},
		{"the same byte 4096 times", []byte{0, 0, 3, 128, 0, 9}, 1024},
	} {
		if got, err := zstdWindow(append(bytes.Clone(magic), tt.frame...)); err != nil || got != tt.want {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
	if _, err := zstdWindow([]byte("hello, world")); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("not zstd: %v", err)
	}
}

// readPacked finds what kafka-go writes, in each version of the protocol.
func TestReadPacked(t *testing.T) {
	set := packedAs(t, 2, kafka.Lz4, 0, 5, 10)
	for version := int16(0); version <= 11; version++ {
		records, err := recordsIn(set)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = protocol.WriteResponse(&b, version, correlation, &fetchapi.Response{
			ThrottleTimeMs: 1, SessionID: 2,
			Topics: []fetchapi.ResponseTopic{{Topic: "events", Partitions: []fetchapi.ResponsePartition{{
				Partition: 3, ErrorCode: 6, HighWatermark: 99, LastStableOffset: 98, LogStartOffset: 1,
				AbortedTransactions: []fetchapi.ResponseTransaction{{ProducerID: 1, FirstOffset: 2}, {ProducerID: 3}},
				RecordSet:           protocol.RecordSet{Version: 2, Records: records},
			}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		body := b.Bytes()[8:]
		p, err := readPacked(body, version)
		if err != nil || p.fault != 6 || p.high != 99 {
			t.Fatalf("version %d: %+v, %v", version, p, err)
		}
		if records, err = recordsIn(p.set); err != nil {
			t.Fatal(err)
		}
		f := fetched{}
		if err := f.read(records); err != nil || len(f.records) != 5 {
			t.Errorf("version %d: %d records, %v", version, len(f.records), err)
		}
		for cut := range body {
			if _, err := readPacked(body[:cut], version); err == nil {
				t.Errorf("version %d: cut at %d of %d and whole", version, cut, len(body))
			}
		}
	}
}

// Batches that are too much, by their bytes or by their headers, are left out of the store and said; what is around them is
// stored. Replay does the same, ends with their names, and takes them under a larger limit.
func TestOversizeBatch(t *testing.T) {
	opts := options(t, 1)
	w := newWatcher()
	opts.Observer, opts.Batch.Unpacked = w, 4<<20
	events := someEvents(200, 10)
	produce(t, opts, events[:100])
	c, err := connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, much := range []kafka.Record{
		{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes(make([]byte, 32<<20))},
		{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte("v")), Headers: make([]kafka.Header, 100_000)}, // 200 KB
	} {
		res, err := c.client.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: opts.Topic, RequiredAcks: kafka.RequireAll, Compression: kafka.Zstd, Records: kafka.NewRecordReader(much),
		})
		if err = errors.Join(err, res.Error); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, opts, events[100:])
	s := openStore(t, t.TempDir())
	consume(t, opts, s)
	w.wait(t, "all events", func() bool { return w.accepted == len(events) })
	compare(t, s, events)
	w.wait(t, "the word of it", func() bool { return w.troubles["oversize"] == 2 })

	into := openStore(t, t.TempDir())
	read, err := Replay(t.Context(), opts, Window{}, into, nil)
	if !errors.Is(err, ErrLeftOut) || !strings.Contains(err.Error(), "the records 100 to 100") || !strings.Contains(err.Error(), "the records 101 to 101") || read.Records != int64(len(events)) {
		t.Errorf("replayed %+v, %v", read, err)
	}
	compare(t, into, events)
	opts.Batch.Unpacked = 64 << 20
	sum, err := Replay(t.Context(), opts, Window{}, into, nil)
	if err != nil || sum.Records != int64(len(events))+2 || sum.Bad[reasonLarge] != 1 || sum.Bad[reasonJSON] != 1 {
		t.Errorf("under a larger limit: %+v, %v", sum, err)
	}
}

// BenchmarkWithin is what measuring costs: a batch of a hundred events like ours.
func BenchmarkWithin(b *testing.B) {
	for _, codec := range []kafka.Compression{noCodec, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			var records []kafka.Record
			for i, e := range someEvents(100, 50) {
				records = append(records, kafka.Record{Time: time.UnixMilli(int64(i)), Key: kafka.NewBytes([]byte(e.User)), Value: kafka.NewBytes(fmt.Appendf(nil, `{"user":%q,"item":%q,"kind":"view","time":%d}`, e.User, e.Item, e.Time))})
			}
			var set bytes.Buffer
			if _, err := (&protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(codec), Records: kafka.NewRecordReader(records...)}).WriteTo(&set); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(set.Len()), "packed_bytes")
			for b.Loop() {
				if _, err := within(set.Bytes()[4:], 128<<20); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/record")
		})
	}
}

// FuzzWithin reads what a broker may send: nothing breaks, nothing is held beyond the bound, and what an oversize batch
// says leads onwards.
func FuzzWithin(f *testing.F) {
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		f.Add(packedAs(f, 2, codec, 3, 4, 100))
		if codec != kafka.Zstd {
			f.Add(packedAs(f, 1, codec, 3, 1, 100))
		}
	}
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, set []byte) {
		for rest := set; len(firstBatch(rest)) > 0; rest = rest[len(firstBatch(rest)):] {
			stamp(rest) // else every change that is tried ends there
		}
		whole, err := within(set, limit)
		var over *batchError
		if errors.As(err, &over) && over.next <= over.first {
			t.Fatalf("an oversize batch from %d to %d", over.first, over.next)
		}
		if err == nil && !bytes.HasPrefix(set, whole) {
			t.Fatal("what is read was not sent")
		}
		if records, fault := recordsIn(whole); err == nil && fault == nil { // which may not panic
			_ = (&fetched{}).read(records) // an error is one of its answers
		}
	})
}

// FuzzReadPacked reads answers to a fetch in every version.
func FuzzReadPacked(f *testing.F) {
	for version := range int16(12) {
		f.Add(version, make([]byte, 80))
		f.Add(version, bytes.Repeat([]byte{0, 0, 0, 1}, 20))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if p, err := readPacked(body, version%12); err == nil && len(p.set) > len(body) {
			t.Fatalf("%d bytes of records in %d", len(p.set), len(body))
		}
	})
}
