package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Of the codecs gzip and lz4 unpack piece by piece, 32 KiB and 8 MiB at most, whatever they are told. What the two others ask
// for at once stands in what they read.

const (
	// usualWindow is how far back a frame of zstd may refer that was made at a usual level.
	usualWindow = 8 << 20
	// snappyMost is above what a byte of snappy unpacks to: a copy of 64 bytes is 3.
	snappyMost = 22
)

var errSnappy = errors.New("it is not snappy")

// snappySize is what snappy unpacks to, as its blocks say: one, or frames of snappy-java (8 bytes that name them, two numbers
// of versions, then the length of each block before it).
func snappySize(data []byte) (size int64, err error) {
	const frames = "\x82SNAPPY\x00"
	if len(data) < len(frames) || string(data[:len(frames)]) != frames {
		return snappyBlock(data)
	}
	for r := (&cursor{rest: data[min(len(frames)+8, len(data)):]}); len(r.rest) > 0; {
		block := r.take(int(r.uint(4)))
		if r.short {
			return 0, io.ErrUnexpectedEOF
		}
		n, err := snappyBlock(block)
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

func snappyBlock(block []byte) (int64, error) {
	size, n := binary.Uvarint(block)
	switch {
	case n <= 0:
		return 0, errSnappy
	case size > uint64(len(block))*snappyMost:
		return 0, fmt.Errorf("%w: %d bytes in %d", errSnappy, size, len(block))
	}
	return int64(size), nil
}

// zstdWindow is the most memory that unpacking frames of zstd asks for at once, as their heads say (RFC 8878).
func zstdWindow(data []byte) (window int64, err error) {
	for r := (&cursor{rest: data}); len(r.rest) > 0; {
		switch magic := r.little(4); {
		case magic == 0xfd2fb528:
			window = max(window, zstdFrame(r))
		case magic&^0xf == 0x184d2a50:
			r.skip(int(r.little(4)))
		case !r.short:
			return 0, errors.New("it is not zstd")
		}
		if r.short {
			return 0, io.ErrUnexpectedEOF
		}
	}
	return window, nil
}

// zstdFrame is zstdWindow of one frame behind its first four bytes, and moves behind it.
func zstdFrame(r *cursor) int64 {
	flags := r.little(1)
	single, checksum := flags&32 != 0, flags&4 != 0
	window := uint64(0)
	if !single {
		b := r.little(1)
		window = 1 << (10 + b>>3)
		window += window / 8 * (b & 7)
	}
	r.skip([]int{0, 1, 2, 4}[flags&3]) // dictionary
	content := uint64(0)
	switch flags >> 6 {
	case 0:
		if single {
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
	for last := false; !last && !r.short; { // blocks
		head := int(r.little(3))
		last = head&1 == 1
		if kind, length := head>>1&3, head>>3; kind == 1 { // one byte, again and again
			r.skip(1)
		} else {
			r.skip(length)
		}
	}
	if checksum {
		r.skip(4)
	}
	return int64(min(window, math.MaxInt32))
}
