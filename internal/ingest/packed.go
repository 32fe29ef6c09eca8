package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

// kafka-go unpacks what a broker sends before anybody can look at it, and brokers bound only what is sent: 20 KB may unpack
// to a gigabyte. So a fetch here brings the batches as they are, measures what they unpack to without keeping it, and
// only then lets kafka-go read them.

// ErrOversize says that batches were left out that unpack to more than Batch.Unpacked; all the rest is done.
var ErrOversize = errors.New("batches are left out")

// leftOut are the batches of a span that were left out, when all the rest of it is done.
type leftOut []error

func (l leftOut) Error() string { return fmt.Errorf("%w: %w", ErrOversize, errors.Join(l...)).Error() }

// Unwrap lets errors.Is find ErrOversize.
func (l leftOut) Unwrap() []error { return append([]error{ErrOversize}, l...) }

// oversizeError says that a batch unpacks to more than may be held. Reading can go on behind it.
type oversizeError struct {
	first, next int64 // offsets: of its first record, and after its last
	packed      int
	limit       int64
}

func (e *oversizeError) Error() string {
	return fmt.Sprintf("the batch of the records %d to %d has %d bytes and unpacks to more than kafka.batch_unpacked, %d", e.first, e.next-1, e.packed, e.limit)
}

// packedFetch asks for records as the broker has them. It is a fetch request that reads its answer itself.
type packedFetch struct {
	*fetchapi.Request
	version int16
}

var (
	_ protocol.BrokerMessage = (*packedFetch)(nil)
	_ protocol.RawExchanger  = (*packedFetch)(nil)
)

// Required implements protocol.RawExchanger: always, in the version that both sides know.
func (p *packedFetch) Required(versions map[protocol.ApiKey]int16) bool {
	p.version = versions[protocol.Fetch]
	return true
}

// correlation marks request and answer. A connection has one at a time.
const correlation = 1

// RawExchange implements protocol.RawExchanger.
func (p *packedFetch) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if err := protocol.WriteRequest(rw, p.version, correlation, clientID, p.Request); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size, id := int32(binary.BigEndian.Uint32(head[:])), binary.BigEndian.Uint32(head[4:])
	if size < 4 || id != correlation {
		return nil, fmt.Errorf("an answer of %d bytes to request %d, want one to %d", size, id, correlation)
	}
	var body bytes.Buffer // grows with what comes, whatever was announced
	body.Grow(int(min(int64(size), int64(p.MaxBytes)+bytes.MinRead)))
	if _, err := io.CopyN(&body, rw, int64(size)-4); err != nil {
		return nil, err
	}
	return readPacked(body.Bytes(), p.version)
}

// packed is the answer of one partition.
type packed struct {
	fault int16 // a kafka.Error
	high  int64
	set   []byte // batches as producers made them; the last may be cut off
}

// ApiKey implements protocol.Message.
func (*packed) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive,staticcheck // kafka-go names it

// readPacked reads the body of an answer about one partition, in the versions 0 to 11: what fetchapi.Response says.
func readPacked(body []byte, version int16) (*packed, error) {
	r, out := &cursor{rest: body}, &packed{}
	if version >= 1 {
		r.skip(4) // throttled for
	}
	if version >= 7 {
		out.fault = int16(r.uint(2))
		r.skip(4) // session
	}
	if topics := r.uint(4); topics == 0 && out.fault != 0 {
		return out, nil
	} else if topics != 1 {
		return nil, errors.New("the answer to a fetch is not about one topic")
	}
	r.skip(int(r.uint(2))) // its name
	if r.uint(4) != 1 {
		return nil, errors.New("the answer to a fetch is not about one partition")
	}
	r.skip(4) // its number
	if fault := int16(r.uint(2)); out.fault == 0 {
		out.fault = fault
	}
	out.high = int64(r.uint(8))
	if version >= 4 {
		r.skip(8) // last stable offset
		if version >= 5 {
			r.skip(8) // first offset
		}
		if aborted := int32(r.uint(4)); aborted > 0 {
			r.skip(int(aborted) * 16)
		}
	}
	if version >= 11 {
		r.skip(4) // preferred replica
	}
	if size := int32(r.uint(4)); size > 0 {
		out.set = r.take(int(size))
	}
	if r.short {
		return nil, fmt.Errorf("the answer to a fetch is cut off: %w", io.ErrUnexpectedEOF)
	}
	return out, nil
}

// cursor reads numbers from the front of bytes. Behind the end all are zero and short is set.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.short = nil, true
		return nil
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) uint(size int) (n uint64) {
	for _, b := range c.take(size) {
		n = n<<8 | uint64(b)
	}
	return n
}

// little is uint with the lowest byte first.
func (c *cursor) little(size int) (n uint64) {
	for i, b := range c.take(size) {
		n |= uint64(b) << (8 * i)
	}
	return n
}

const (
	batchStart = 12 // bytes of a batch before those that its length counts
	magicAt    = 16 // both in batches and in messages of the old formats
	// usualWindow is how far back a frame of zstd may refer that was made at a usual level.
	usualWindow = 8 << 20
	// zstdBlock is the most that a block of zstd unpacks to.
	zstdBlock = 128 << 10
	// recordCost is about what a record takes in memory beside its bytes, in kafka-go and here.
	recordCost = 256
)

// within gives the whole batches of a set that can be held together, at least the first; where that one alone is too much
// the error is an oversizeError.
func within(set []byte, limit int64) ([]byte, error) {
	left := limit
	for at := 0; ; {
		rest := set[at:]
		if len(rest) <= magicAt {
			return set[:at], nil
		}
		size := int64(int32(binary.BigEndian.Uint32(rest[8:]))) + batchStart
		if size <= magicAt || size > int64(len(rest)) {
			return set[:at], nil
		}
		b, err := openBatch(rest[:size])
		var cost int64
		if err == nil {
			cost, err = b.cost(left)
		}
		if err == nil && cost > left {
			err = &oversizeError{first: b.first, next: b.next, packed: int(size), limit: limit}
		}
		switch {
		case err != nil && at > 0: // the next fetch begins with it
			return set[:at], nil
		case err != nil:
			return nil, err
		}
		left -= cost
		at += int(size)
	}
}

// packedBatch is what the head of a batch says, and its records as they were sent.
type packedBatch struct {
	first, next int64
	records     int64
	codec       compress.Compression
	data        []byte
}

func openBatch(b []byte) (packedBatch, error) {
	r := &cursor{rest: b}
	out := packedBatch{first: int64(r.uint(8)), records: 1}
	out.next = out.first + 1
	r.skip(8) // length, and leader's epoch or checksum
	switch magic := r.uint(1); magic {
	case 0, 1: // a message; one that is packed holds others, and has the offset of the last
		out.codec = compress.Compression(r.uint(1) & 7)
		r.skip(8 * int(magic)) // time
		if key := int32(r.uint(4)); key > 0 {
			r.skip(int(key))
		}
		out.data = r.take(max(int(int32(r.uint(4))), 0))
	case 2:
		r.skip(4) // checksum
		out.codec = compress.Compression(r.uint(2) & 7)
		out.next = out.first + int64(int32(r.uint(4))) + 1
		r.skip(8 + 8 + 8 + 2 + 4) // times, producer, its epoch, sequence
		out.records = int64(uint32(r.uint(4)))
		out.data = r.rest
	default:
		return out, fmt.Errorf("the batch at %d is of format %d, which is unknown", out.first, magic)
	}
	if r.short || out.next <= out.first {
		return out, fmt.Errorf("the batch at %d is damaged", out.first)
	}
	return out, nil
}

// cost is about what a batch takes in memory; what is above most is more than that, and not looked at further.
func (b *packedBatch) cost(most int64) (int64, error) {
	fixed := b.records * recordCost
	if b.codec == compress.None || b.codec.Codec() == nil { // kafka-go says what is wrong with a codec that it does not know
		return fixed + int64(len(b.data)), nil
	}
	if fixed+int64(len(b.data)) > most {
		return most + 1, nil
	}
	if b.codec == compress.Zstd {
		size, asks, err := zstdSize(b.data)
		switch {
		case err != nil:
			return 0, fmt.Errorf("unpack the batch at %d: %w", b.first, err)
		case asks > max(most, usualWindow):
			return most + 1, nil
		case fixed+size <= most:
			return fixed + size, nil
		}
	}
	r := b.codec.Codec().NewReader(bytes.NewReader(b.data))
	n, err := io.Copy(io.Discard, io.LimitReader(r, most-fixed+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return 0, fmt.Errorf("unpack the batch at %d: %w", b.first, err)
	}
	return fixed + n, nil
}

// zstdSize is the most that frames of zstd unpack to, as the heads of frames and blocks (RFC 8878) say, up to twice what it
// is; and the memory that unpacking asks for at once. To unpack them would cost as much as reading them.
func zstdSize(data []byte) (size, asks int64, err error) {
	for r := (&cursor{rest: data}); len(r.rest) > 0; {
		switch magic := r.little(4); {
		case magic == 0xfd2fb528:
			blocks, window := zstdFrame(r)
			size, asks = size+blocks, max(asks, window)
		case magic&^0xf == 0x184d2a50:
			r.skip(int(r.little(4)))
		case !r.short:
			return 0, 0, errors.New("it is not zstd")
		}
		if r.short {
			return 0, 0, io.ErrUnexpectedEOF
		}
	}
	return size, asks, nil
}

// zstdFrame is zstdSize of one frame behind its first four bytes, and moves behind it.
func zstdFrame(r *cursor) (size, asks int64) {
	flags := r.little(1)
	single, checksum := flags&32 != 0, flags&4 != 0
	window := uint64(0)
	if !single {
		b := r.little(1)
		window = 1 << (10 + b>>3)
		window += window / 8 * (b & 7)
	}
	r.skip([]int{0, 1, 2, 4}[flags&3]) // dictionary
	content, known := uint64(0), true
	switch flags >> 6 {
	case 0:
		if content, known = 0, single; single {
			content = r.little(1)
		}
	case 1:
		content = r.little(2) + 256
	case 2:
		content = r.little(4)
	case 3:
		content = r.little(8)
	}
	if single {
		window = content
	}
	size = zstdBlocks(r, int64(min(window, zstdBlock)))
	if checksum {
		r.skip(4)
	}
	if known { // a frame that holds more is refused when it is unpacked
		size = int64(min(content, math.MaxInt32))
	}
	return size, int64(min(window, math.MaxInt32))
}

// zstdBlocks is the most that the blocks of a frame unpack to, each to most at most, and moves behind them.
func zstdBlocks(r *cursor, most int64) (size int64) {
	for last := false; !last && !r.short; {
		head := int(r.little(3))
		last = head&1 == 1
		switch kind, length := head>>1&3, head>>3; kind {
		case 0: // as it is
			r.skip(length)
			size += int64(length)
		case 1: // one byte, again and again
			r.skip(1)
			size += int64(length)
		default:
			r.skip(length)
			size += most
		}
	}
	return size
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
