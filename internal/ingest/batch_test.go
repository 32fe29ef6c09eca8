package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
)

const (
	// headOfBatch are the bytes of a batch before its records.
	headOfBatch = 61
	// noCodec is no codec.
	noCodec = kafka.Compression(0)
)

// stamp sets the checksum of the first batch of a set to what it should be.
func stamp(set []byte) []byte {
	sent := firstBatch(set)
	if len(sent) <= 21 {
		return set
	}
	if sent[magicAt] < 2 {
		binary.BigEndian.PutUint32(sent[12:], crc32.ChecksumIEEE(sent[magicAt:]))
	} else {
		binary.BigEndian.PutUint32(sent[17:], crc32.Checksum(sent[21:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return set
}

// pack is data as a codec packs it.
func pack(t testing.TB, codec kafka.Compression, data []byte) []byte {
	t.Helper()
	if codec == noCodec {
		return data
	}
	var out bytes.Buffer
	w := codec.Codec().NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// headed is a batch of the present format that says that it holds count records, whatever its records are.
func headed(first int64, codec kafka.Compression, count int32, records []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(first))
	b = binary.BigEndian.AppendUint32(b, uint32(headOfBatch-batchStart+len(records)))
	b = append(b, 0, 0, 0, 0, 2, 0, 0, 0, 0) // leader's epoch, format, checksum
	b = binary.BigEndian.AppendUint16(b, uint16(codec))
	b = binary.BigEndian.AppendUint32(b, uint32(max(count-1, 0)))
	b = binary.BigEndian.AppendUint64(b, 1<<42) // times, in the year 2109
	b = binary.BigEndian.AppendUint64(b, 1<<42)
	b = append(b, bytes.Repeat([]byte{0xff}, 8+2+4)...)
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	return stamp(append(b, records...))
}

func batchOf(t testing.TB, first int64, codec kafka.Compression, count int32, records ...[]byte) []byte {
	t.Helper()
	return headed(first, codec, count, pack(t, codec, bytes.Join(records, nil)))
}

// recordWith is a record without a key whose content from its value on is given.
func recordWith(content []byte) []byte {
	return appendBytes(nil, append([]byte{0, 0, 0, 1}, content...)) // attributes, time, offset, no key
}

func recordOf(value []byte) []byte { return recordWith(append(appendBytes(nil, value), 0)) }

// appendBytes appends b with its length before it.
func appendBytes(to, b []byte) []byte {
	return append(binary.AppendVarint(to, int64(len(b))), b...)
}

// recordOfHeaders is a record without a value that says that it has count headers, and has those.
func recordOfHeaders(count int64, headers []byte) []byte {
	return recordWith(append(binary.AppendVarint([]byte{1}, count), headers...))
}

// messageOf is a message of an old format.
func messageOf(magic, codec byte, offset int64, key, value []byte) []byte {
	body := []byte{magic, codec}
	if magic == 1 {
		body = append(body, make([]byte, 8)...)
	}
	for _, b := range [][]byte{key, value} {
		if b == nil {
			body = binary.BigEndian.AppendUint32(body, math.MaxUint32)
			continue
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(b))), b...)
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(offset))
	out = binary.BigEndian.AppendUint32(out, uint32(4+len(body)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}

// allocated is how much memory do asks for, and live how much of it is there afterwards.
func allocated(do func()) (total, live int64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc), int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// wants fails the test unless err leaves out the one batch at an offset, for a reason that is said.
func wants(t *testing.T, what string, err error, first int64, doing, says string) {
	t.Helper()
	var out *batchError
	if !errors.As(err, &out) || out.first != first || out.next <= first || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v; want the batch at %d left out: %q", what, err, first, says)
		return
	}
	if got, _ := out.trouble(); got != doing {
		t.Errorf("%s: it is %s, want %s", what, got, doing)
	}
}

// What records say of their parts is not believed: kafka-go would ask for that much memory before it looks.
func TestWithinOfClaims(t *testing.T) {
	long := func(n int64) []byte { return binary.AppendVarint(nil, n) }
	short := recordOfHeaders(1, []byte{0, 6, 1, 2, 3})
	short[0] -= 4 // two bytes: kafka-go does not look at it, and must find no other parts than the walk
	for name, record := range map[string][]byte{
		"2^45 headers":                   recordOfHeaders(1<<45, nil),
		"2^26 headers":                   recordOfHeaders(1<<26, nil),
		"a header more than it has":      recordOfHeaders(3, []byte{0, 1, 0, 1}),
		"a header's key of 2^40 bytes":   recordOfHeaders(1, append(long(1<<40), 1)),
		"a header's value of 2^40 bytes": recordOfHeaders(1, append([]byte{0}, long(1<<40)...)),
		"a value of 2^33 bytes":          recordWith(long(1 << 33)),
		"more bytes than it needs":       recordWith([]byte{1, 0, 7}),
		"a number of 11 bytes":           recordWith(bytes.Repeat([]byte{0xff}, 11)),
		"2^62 bytes of 2^61 headers":     append(long(1<<62), append([]byte{0, 0, 0, 1, 1}, long(1<<61)...)...),
		"less than no bytes":             long(-5),
		"an offset of another batch":     append(long(6), 0, 0, 2, 1, 1, 0),
		"an offset before the batch":     append(long(6), 0, 0, 1, 1, 1, 0),
		"nothing":                        nil,
		"fewer bytes than it needs":      short,
	} {
		for _, codec := range []kafka.Compression{noCodec, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
			set := batchOf(t, 7, codec, 1, record)
			total, _ := allocated(func() {
				_, err := within(set, 1<<20)
				wants(t, fmt.Sprintf("%s, %s", name, codec), err, 7, "unreadable", "record 1 of 1")
			})
			if total > 48<<20 { // codecs have buffers
				t.Errorf("%s, %s: %d bytes take %d to be refused", name, codec, len(set), total)
			}
		}
	}
	_, err := within(headed(7, 6, 1, recordOf(nil)), 1<<20)
	wants(t, "a codec that is not known", err, 7, "unreadable", "codec 6")
	_, err = within(batchOf(t, 7, noCodec, 1, recordOfHeaders(1<<45, nil)), 1<<20)
	wants(t, "a number of headers", err, 7, "unreadable", "35184372088832 headers in 0 bytes")
}

// What lies behind the last record is unpacked too.
func TestWithinBehindRecords(t *testing.T) {
	for _, codec := range []kafka.Compression{noCodec, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		set := batchOf(t, 4, codec, 1, recordOf(nil), make([]byte, 100_000))
		_, err := within(set, 100_000)
		wants(t, codec.String(), err, 4, "oversize", "unpacks to more")
		if got, err := within(set, 101_000); err != nil || len(got) != len(set) {
			t.Errorf("%s: %d bytes, %v", codec, len(got), err)
		}
	}
	packed := pack(t, kafka.Gzip, recordOf(nil))
	packed[len(packed)-1] ^= 1 // how long it was
	_, err := within(headed(4, kafka.Gzip, 1, packed), 1<<20)
	wants(t, "a codec's own checksum", err, 4, "unreadable", "gzip")
}

// Headers count: one without a key and a value is two bytes, and eighty in memory.
func TestWithinCountsHeaders(t *testing.T) {
	if is := reflect.TypeFor[kafka.Header]().Size() + reflect.TypeFor[header]().Size(); is != headerCost {
		t.Errorf("a header takes %d bytes, and is counted as %d", is, headerCost)
	}
	const n = 200_000
	record := recordOfHeaders(n, bytes.Repeat([]byte{0, 1}, n))
	exact := int64(len(record)) + recordCost + n*headerCost
	for _, codec := range []kafka.Compression{noCodec, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		set := batchOf(t, 0, codec, 1, record)
		_, err := within(set, exact-1)
		wants(t, codec.String(), err, 0, "oversize", "unpacks to more")
		whole, err := within(set, exact)
		if err != nil || len(whole) != len(set) {
			t.Fatalf("%s: %d bytes, %v", codec, len(whole), err)
		}
		var f fetched
		_, live := allocated(func() {
			if err := f.readBatches(whole); err != nil || len(f.records) != 1 || len(f.records[0].headers) != n {
				t.Errorf("%s: %d records, %v", codec, len(f.records), err)
			}
		})
		runtime.KeepAlive(f)
		if live > 2*exact {
			t.Errorf("%s: %d bytes are held for a bound of %d", codec, live, exact)
		}
	}
}

// Snappy says what it unpacks to before it is unpacked, and the codec makes room for it: it is believed only if it can be
// true and is within the bound.
func TestWithinOfSnappy(t *testing.T) {
	const frames = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	whole := pack(t, kafka.Snappy, recordOf(make([]byte, 100_000)))
	good := string(pack(t, kafka.Snappy, recordOf(nil))[len(frames):])
	for name, tt := range map[string]struct {
		data        string
		doing, says string
	}{
		"a block that says 4 GB":         {"\xff\xff\xff\xff\x0f\x00\x00", "unreadable", "not snappy"},
		"a frame of 4 GB":                {frames + "\xff\xff\xff\xf0\x01\x02", "unreadable", "unexpected EOF"},
		"a frame with a block of 4 GB":   {frames + "\x00\x00\x00\x06\xff\xff\xff\xff\x0f\x00", "unreadable", "not snappy"},
		"a frame of nothing":             {frames + "\x00\x00\x00\x00", "unreadable", "not snappy"},
		"a length without an end":        {"\xff\xff", "unreadable", "not snappy"},
		"a frame that is cut off":        {frames + "\x00\x00", "unreadable", "unexpected EOF"},
		"a bad frame between good ones":  {frames + good + "\x00\x00\x00\x03\x05\xf0\xf0" + good, "unreadable", "corrupt"},
		"a head that is cut off":         {frames[:10], "unreadable", "record 1 of 1"},
		"a block that is too much":       {"\x80\x80\x80\x01" + strings.Repeat("\x00", 100_000), "oversize", "unpacks to more"},
		"frames that are together":       {frames + strings.Repeat(string(whole[16:]), 20), "oversize", "unpacks to more"},
		"records of a size that is less": {string(whole[:len(whole)-1]), "unreadable", "unexpected EOF"},
	} {
		set := headed(3, kafka.Snappy, 1+int32(strings.Count(tt.data, good)/2), []byte(tt.data))
		total, _ := allocated(func() {
			_, err := within(set, 1<<20)
			wants(t, name, err, 3, tt.doing, tt.says)
		})
		if total > 4<<20 {
			t.Errorf("%s: %d bytes take %d to be refused", name, len(set), total)
		}
	}
	if n, err := snappySize(whole); err != nil || n != int64(len(recordOf(make([]byte, 100_000)))) {
		t.Errorf("frames as they are made: %d, %v", n, err)
	}
}

// Messages of the old formats count one by one, and must fill what they say.
func TestWithinOfOldFormats(t *testing.T) {
	const n = 100_000
	for magic := range byte(2) {
		one := messageOf(magic, 0, 0, []byte("k"), []byte("v"))
		set := messageOf(magic, byte(kafka.Gzip), n-1, nil, pack(t, kafka.Gzip, bytes.Repeat(one, n)))
		exact := int64(len(set)+n*len(one)) + (n+1)*recordCost
		_, err := within(set, exact-1)
		wants(t, "many", err, n-1, "oversize", "unpacks to more")
		whole, err := within(set, exact)
		if err != nil || len(whole) != len(set) {
			t.Fatalf("format %d: %d bytes, %v", magic, len(whole), err)
		}
		var f fetched
		_, live := allocated(func() {
			if err := f.readBatches(whole); err != nil || len(f.records) == 0 {
				t.Errorf("format %d: %d records, %v", magic, len(f.records), err)
			}
		})
		runtime.KeepAlive(f)
		if live > exact {
			t.Errorf("format %d: %d bytes are held for a bound of %d", magic, live, exact)
		}
		in := func(at int, b ...byte) []byte {
			out := bytes.Clone(one)
			copy(out[at:], b)
			return messageOf(magic, byte(kafka.Gzip), 5, nil, pack(t, kafka.Gzip, append(bytes.Clone(one), out...)))
		}
		key := 18 + 8*int(magic)
		for name, set := range map[string][]byte{
			"a size below zero": in(8, 0xff, 0xff, 0xff, 0xfb), "a size of nothing": in(8, 0, 0, 0, 0), "a huge size": in(8, 0x7f),
			"a huge key": in(key, 0x7f), "a huge value": in(key+5, 0x7f), "a format of today": in(magicAt, 2), "a short value": in(key+5, 0, 0, 0, 0),
		} {
			_, err := within(set, 1<<20)
			wants(t, fmt.Sprintf("%s, format %d", name, magic), err, 5, "unreadable", "message 2")
		}
		_, err = within(stamp(append(one[:8:8], append([]byte{0, 0, 0, 40}, append(one[12:], make([]byte, 40)...)...)...)), 1<<20)
		wants(t, "trailing bytes", err, 0, "unreadable", "message 1")
	}
}

// A batch that kafka-go cannot read although nothing was found against it is left out alone: what is before it is kept.
func TestReadBatches(t *testing.T) {
	good := func(first int64) []byte { return packedAs(t, 2, kafka.Gzip, first, 5, 100) }
	inner := messageOf(1, 0, 0, nil, []byte("v"))
	inner[12] ^= 1 // its checksum, which the one around it does not know to be wrong
	bad := messageOf(1, byte(kafka.Gzip), 5, nil, pack(t, kafka.Gzip, inner))
	panics := headed(5, noCodec, 1, recordOfHeaders(1<<45, nil))
	for name, bad := range map[string][]byte{"an error": bad, "a panic": panics} {
		f := fetched{}
		if err := f.readBatches(append(good(0), append(bytes.Clone(bad), good(6)...)...)); err != nil || len(f.records) != 5 || f.next != 5 {
			t.Errorf("%s: %d records up to %d, %v", name, len(f.records), f.next, err)
		}
		f.records = nil
		err := f.readBatches(append(bytes.Clone(bad), good(6)...))
		wants(t, name, err, 5, "unreadable", "cannot be read")
		if len(f.records) != 0 || f.next != 5 {
			t.Errorf("%s: %d records up to %d are kept", name, len(f.records), f.next)
		}
	}
	f := fetched{next: 8}
	if err := f.readBatches(append(good(0), good(5)...)); err != nil || len(f.records) != 2 || f.next != 10 {
		t.Errorf("from 8 on: %d records up to %d, %v", len(f.records), f.next, err)
	}
}

// A batch of one record must not take a page of kafka-go, and many of them not many.
func TestReadBatchesOfOne(t *testing.T) {
	const n = 4000
	var set, old []byte
	for i := range int64(n) {
		set = append(set, packedAs(t, 2, noCodec, i, 1, 10)...)
		old = append(old, messageOf(1, 0, i, []byte("k"), []byte("v"))...)
	}
	for name, set := range map[string][]byte{"batches": set, "messages": old} {
		var f fetched
		total, live := allocated(func() {
			if err := f.readBatches(set); err != nil || len(f.records) != n || f.next != n {
				t.Errorf("%s: %d records up to %d, %v", name, len(f.records), f.next, err)
			}
		})
		runtime.KeepAlive(f)
		if total > n<<15 || live > n*recordCost+(1<<20) { // a page is 2^16
			t.Errorf("%d %s take %d bytes, of which %d stay", n, name, total, live)
		}
	}
}
