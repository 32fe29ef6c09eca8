package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

// kafka-go unpacks what a broker sends before anybody can look at it, and brokers bound only what is sent: 20 KB may unpack
// to a gigabyte. It also makes room for as many headers as a record says that it has: 70 bytes may ask for a terabyte. So a
// fetch here brings the batches as they are, walks through what they unpack to without keeping it, and only then lets
// kafka-go read them, one after the other.

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
