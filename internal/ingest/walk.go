package ingest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// walker reads records as they are unpacked, keeps nothing, and counts what they will take. kafka-go believes what records
// say of their parts: it makes a slice of any length that is claimed. So what does not add up is refused here.
type walker struct {
	in   *bufio.Reader
	from io.Reader
	left int64 // bytes that may still be taken; below 0 it is too much
	rest int64 // bytes of the record under way that are still to come
	end  error // of what is unpacked, once it has come
	err  error // of the walk, the first one
}

var (
	errTooMuch = errors.New("it is too much")
	errBeyond  = errors.New("it says more than it holds")
	errLonger  = errors.New("it holds more than it says")
)

// walkers keep their buffers: a fetch may bring thousands of batches.
var walkers = sync.Pool{New: func() any { return &walker{in: bufio.NewReaderSize(nil, 16<<10)} }}

func newWalker(most int64) *walker {
	w := walkers.Get().(*walker)
	w.left = most
	return w
}

func (w *walker) release() {
	*w = walker{in: w.in}
	w.in.Reset(nil)
	walkers.Put(w)
}

// begin sets w before the records that come from there.
func (w *walker) begin(from io.Reader) {
	w.from, w.end, w.err = from, nil, nil
	w.in.Reset(meter{w})
}

// meter is what a walker buffers: no more than may be taken comes out of it.
type meter struct{ *walker }

func (m meter) Read(p []byte) (int, error) {
	if m.left < 0 {
		return 0, errTooMuch
	}
	if m.end != nil { // what is peeked at ends more than once
		return 0, m.end
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.left+1)])
	m.left, m.end = m.left-int64(n), err
	return n, err
}

func (w *walker) take(n int64) error {
	if w.left -= n; w.left < 0 {
		w.fail(errTooMuch)
	}
	return w.err
}

func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// records walks through n records of the present format whose offsets lie up to last behind the first, and whatever is
// behind them.
func (w *walker) records(n, last int64) error {
	for i := range n {
		if w.record(last); w.err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, n, cutOff(w.err))
		}
	}
	if _, err := io.Copy(io.Discard, w.in); err != nil {
		return err
	}
	return w.take(0)
}

func (w *walker) record(last int64) {
	w.rest = binary.MaxVarintLen64
	w.rest = w.varint()
	w.skip(1)  // attributes
	w.varint() // time
	if offset := w.varint(); offset < 0 || offset > last {
		w.fail(fmt.Errorf("its offset lies %d behind the first, at most %d is in the batch", offset, last))
	}
	w.skip(w.varint()) // key
	w.skip(w.varint()) // value
	headers := w.varint()
	if headers > w.rest/2 { // each has two lengths
		w.fail(fmt.Errorf("%d headers in %d bytes: %w", headers, w.rest, errBeyond))
	}
	for i := int64(0); i < headers && w.err == nil; i++ {
		w.skip(w.varint())
		w.skip(w.varint())
		_ = w.take(headerCost) // kept in w.err
	}
	if w.rest > 0 {
		w.fail(errLonger)
	}
}

// messages walks through the messages of the old formats that there are.
func (w *walker) messages() error {
	for i := 1; ; i++ {
		if _, err := w.in.Peek(1); errors.Is(err, io.EOF) {
			return w.take(0)
		}
		if w.message(); w.err != nil {
			return fmt.Errorf("message %d: %w", i, cutOff(w.err))
		}
	}
}

func (w *walker) message() {
	if w.take(recordCost) != nil {
		return
	}
	w.rest = batchStart
	w.skip(8) // offset
	w.rest = w.length()
	w.skip(4) // checksum
	switch magic := w.fixed(1); magic {
	case 0:
		w.skip(1) // attributes
	case 1:
		w.skip(1 + 8) // and time
	default:
		w.fail(fmt.Errorf("format %d within an old one", magic))
	}
	w.skip(w.length()) // key
	w.skip(w.length()) // value
	if w.rest > 0 {
		w.fail(errLonger)
	}
}

// cutOff names an end in the middle of something.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// peek shows the next bytes of the record under way, as many as there are of n. The error says why there are no more.
func (w *walker) peek(n int64) ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	b, err := w.in.Peek(int(max(min(n, w.rest), 0)))
	if err == nil && int64(len(b)) < n {
		err = errBeyond
	}
	return b, err
}

func (w *walker) varint() int64 {
	b, err := w.peek(binary.MaxVarintLen64)
	n, size := binary.Varint(b)
	switch {
	case size > 0:
		w.skip(int64(size))
	case size < 0 || len(b) == binary.MaxVarintLen64:
		w.fail(errors.New("it has a number of more than 64 bits"))
	default:
		w.fail(err)
	}
	return n
}

// fixed reads a number of a fixed size, of size bytes.
func (w *walker) fixed(size int64) (n uint64) {
	b, err := w.peek(size)
	if err != nil {
		w.fail(err)
		return 0
	}
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	w.skip(size)
	return n
}

// length reads one of 32 bits.
func (w *walker) length() int64 { return int64(int32(w.fixed(4))) }

// skip passes over bytes; a length below zero is a null.
func (w *walker) skip(n int64) {
	if n > w.rest {
		w.fail(errBeyond)
	}
	if w.err != nil || n <= 0 {
		return
	}
	w.rest -= n
	_, err := w.in.Discard(int(n))
	w.fail(err)
}
