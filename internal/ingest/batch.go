package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrLeftOut says that batches were left out: those that unpack to more than Batch.Unpacked, and those whose checksum is
// right and that cannot be read all the same. All the rest is done.
var ErrLeftOut = errors.New("batches are left out")

// leftOut are the batches of a span that were left out, when all the rest of it is done.
type leftOut []error

func (l leftOut) Error() string { return fmt.Errorf("%w: %w", ErrLeftOut, errors.Join(l...)).Error() }

// Unwrap lets errors.Is find ErrLeftOut.
func (l leftOut) Unwrap() []error { return append([]error{ErrLeftOut}, l...) }

// batchError says that a batch must be left out: no waiting mends it. Reading can go on behind it.
type batchError struct {
	first, next int64 // offsets: of its first record, and after its last
	packed      int
	limit       int64 // of what may be held
	damage      error // why it cannot be read; nil when it is only too much
}

func (e *batchError) Error() string {
	batch := fmt.Sprintf("the batch of the records %d to %d has %d bytes and ", e.first, e.next-1, e.packed)
	if e.damage != nil {
		return batch + "cannot be read: " + e.damage.Error()
	}
	return batch + fmt.Sprintf("unpacks to more than kafka.batch_unpacked, %d", e.limit)
}

func (e *batchError) Unwrap() error { return e.damage }

// trouble is what an Observer is told that it is, and reason the same for the log.
func (e *batchError) trouble() (doing, reason string) {
	if e.damage != nil {
		return "unreadable", "it cannot be read"
	}
	return "oversize", "it is too much to unpack"
}

const (
	batchStart = 12 // bytes of a batch before those that its length counts
	magicAt    = 16 // both in batches and in messages of the old formats
	// recordCost is about what a record takes in memory beside its bytes, in kafka-go and here.
	recordCost = 256
	// headerCost is what a header takes beside its bytes: one in kafka-go and one here, a string and a slice each.
	headerCost = 80
)

// firstBatch is the first batch of a set as it was sent, nil where there is none that is whole.
func firstBatch(set []byte) []byte {
	if len(set) <= magicAt {
		return nil
	}
	size := int64(int32(binary.BigEndian.Uint32(set[8:]))) + batchStart
	if size <= magicAt || size > int64(len(set)) {
		return nil
	}
	return set[:size]
}

// within gives the whole batches of a set that can be held together, at least the first; where that one alone is too much
// or cannot be read the error is a batchError.
func within(set []byte, limit int64) ([]byte, error) {
	left := limit
	for at := 0; ; {
		sent := firstBatch(set[at:])
		if sent == nil {
			return set[:at], nil
		}
		b, err := openBatch(sent)
		var cost int64
		if err == nil {
			if cost, err = b.cost(left); err != nil || cost > left {
				err = b.leaveOut(limit, err)
			}
		}
		switch {
		case err != nil && at > 0: // the next fetch begins with it
			return set[:at], nil
		case err != nil:
			return nil, err
		}
		left -= cost
		at += len(sent)
	}
}

// packedBatch is what the head of a batch says, and its records as they were sent.
type packedBatch struct {
	sent        []byte
	first, next int64
	records     int64 // 0 for messages, which do not say
	message     bool  // it is a message of an old format; one that is packed holds others, and has the offset of the last
	codec       compress.Compression
	data        []byte
}

// openBatch reads the head of a whole batch. An error says that it cannot be told what is there, so waiting is all there is.
func openBatch(sent []byte) (packedBatch, error) {
	r := &cursor{rest: sent}
	b := packedBatch{sent: sent, first: int64(r.uint(8))}
	b.next = b.first + 1
	r.skip(8) // length, and leader's epoch or checksum
	var sum, want uint32
	switch magic := r.uint(1); magic {
	case 0, 1:
		b.message = true
		want, sum = binary.BigEndian.Uint32(sent[batchStart:]), crc32.ChecksumIEEE(sent[magicAt:])
		b.codec = compress.Compression(r.uint(1) & 7)
		r.skip(8 * int(magic)) // time
		r.skip(max(int(int32(r.uint(4))), 0))
		b.data = r.take(max(int(int32(r.uint(4))), 0))
		r.short = false // the walk says what is wrong with it
	case 2:
		want = uint32(r.uint(4))
		sum = crc32.Checksum(r.rest, crc32.MakeTable(crc32.Castagnoli))
		b.codec = compress.Compression(r.uint(2) & 7)
		b.next = b.first + int64(int32(r.uint(4))) + 1
		r.skip(8 + 8 + 8 + 2 + 4) // times, producer, its epoch, sequence
		b.records = int64(uint32(r.uint(4)))
		b.data = r.rest
	default:
		return b, fmt.Errorf("the batch at %d is of format %d, which is unknown", b.first, magic)
	}
	if r.short || b.next <= b.first {
		return b, fmt.Errorf("the batch at %d is damaged", b.first)
	}
	if sum != want {
		return b, fmt.Errorf("the batch at %d is damaged: its checksum is %08x, and %08x is that of its bytes", b.first, want, sum)
	}
	return b, nil
}

func (b *packedBatch) leaveOut(limit int64, damage error) *batchError {
	return &batchError{first: b.first, next: b.next, packed: len(b.sent), limit: limit, damage: damage}
}

// cost is about what a batch takes in memory; what is above most is more than that, and not looked at further. An error
// says that it cannot be read.
func (b *packedBatch) cost(most int64) (int64, error) {
	w := newWalker(most)
	defer w.release()
	err := guarded(func() error { return b.walk(w) })
	switch {
	case errors.Is(err, errTooMuch):
		return most + 1, nil
	case err != nil:
		return 0, err
	}
	return most - w.left, nil
}

// walk takes from w what a batch takes in memory.
func (b *packedBatch) walk(w *walker) error {
	if b.message {
		w.begin(bytes.NewReader(b.sent))
		if err := w.messages(); err != nil || b.codec == compress.None {
			return err
		}
	} else if err := w.take(b.records * recordCost); err != nil {
		return err
	}
	in, err := b.open(w.left)
	if err != nil {
		return err
	}
	w.begin(in)
	if b.message {
		err = w.messages()
	} else {
		err = w.records(b.records, b.next-b.first-1)
	}
	if fault := in.Close(); err == nil {
		err = fault
	}
	return err
}

// open unpacks the records of a batch. Codecs ask for memory before they have read what they are to fill it with, so what
// they would ask for is looked at first: errTooMuch if it is more than most.
func (b *packedBatch) open(most int64) (io.ReadCloser, error) {
	if b.codec == compress.None || len(b.data) == 0 {
		return io.NopCloser(bytes.NewReader(b.data)), nil
	}
	codec := b.codec.Codec()
	if codec == nil {
		return nil, fmt.Errorf("it is packed by the codec %d, which is unknown", int(b.codec))
	}
	asks, err := int64(len(b.data)), error(nil)
	switch b.codec {
	case compress.Snappy:
		asks, err = snappySize(b.data)
	case compress.Zstd:
		if asks, err = zstdWindow(b.data); asks <= usualWindow {
			asks = 0
		}
	}
	if err != nil {
		return nil, fmt.Errorf("unpack it: %w", err)
	}
	if max(asks, int64(len(b.data))) > most {
		return nil, errTooMuch
	}
	return codec.NewReader(bytes.NewReader(b.data)), nil
}

// guarded makes an error of a panic of kafka-go or of a codec: what somebody sent must not end the process, which would
// read it again when it is back.
func guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}

// recordsIn reads whole batches.
func recordsIn(set []byte) (kafka.RecordReader, error) {
	if len(set) == 0 {
		return kafka.NewRecordReader(), nil
	}
	var in bytes.Buffer
	in.Grow(4 + len(set))
	in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(set))))
	in.Write(set)
	var out protocol.RecordSet
	if _, err := out.ReadFrom(&in); err != nil {
		return nil, err
	}
	if out.Records == nil {
		return kafka.NewRecordReader(), nil
	}
	return out.Records, nil
}

// readBatches takes over the records of whole batches from f.next on. kafka-go reads them one by one: for each, however
// small, it takes a page of 64 KiB. The error of a batch that cannot be read is a batchError; what lies before it is kept.
func (f *fetched) readBatches(set []byte) error {
	for sent := firstBatch(set); sent != nil; sent = firstBatch(set) {
		had := *f
		err := guarded(func() error {
			records, err := recordsIn(sent)
			if err != nil {
				return err
			}
			return f.read(records)
		})
		if err != nil {
			if *f = had; len(f.records) > 0 {
				return nil // the next fetch begins with it
			}
			b, fault := openBatch(sent)
			if fault != nil {
				return fault
			}
			return b.leaveOut(0, err)
		}
		set = set[len(sent):]
	}
	return nil
}
