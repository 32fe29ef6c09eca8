package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"seqrec/internal/event"
)

// A chunk is a run of one user's history in packed form; docs/format/history.md draws it. The newest event is written
// first, so that a reader who wants the newest n stops after n.

// chunkVersion is the first byte of what AppendChunk writes. Its high half marks a chunk, its low half is the version;
// ParseChunk reads all versions up to this one.
const chunkVersion = chunkMark | 1

// chunkMark is the high half of the first byte of a chunk of any version.
const chunkMark = 0xC0

// flagHead marks the newest chunk of a history, which carries a Head.
const flagHead = 1

// MaxChunk is the largest number of events that a reader accepts in one chunk.
const MaxChunk = 1 << 16

// castagnoli is the polynomial of all checksums here; the CPU has an instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Entry is one event of a history in the numbers of the dictionary of its store. Kind 0 is event.DefaultKind.
type Entry struct {
	Time int64 // Unix milliseconds, 0 to event.MaxTime
	Item uint32
	Kind uint32
}

// Head is what the newest chunk of a history says about the whole of it.
type Head struct {
	Touched int64 // when the history last changed, in Unix minutes
	Older   int   // events in all other chunks
}

// Chunk is a parsed chunk: header read, checksum verified, events still packed. It aliases the bytes it came from.
type Chunk struct {
	Head   Head // zero unless IsHead
	IsHead bool
	Count  int   // events, at least 1
	Newest int64 // time of the newest event

	unit int64
	body []byte
}

// AppendChunk appends the packed form of entries, which are sorted oldest first, to dst. head is nil for all chunks but
// the newest. It panics if there are no entries or more than MaxChunk.
func AppendChunk(dst []byte, head *Head, entries []Entry) []byte {
	if len(entries) == 0 || len(entries) > MaxChunk {
		panic("store: chunk of a bad size")
	}
	start := len(dst)
	if head == nil {
		dst = append(dst, chunkVersion, 0)
	} else {
		dst = append(dst, chunkVersion, flagHead)
		dst = binary.AppendUvarint(dst, uint64(head.Touched))
		dst = binary.AppendUvarint(dst, uint64(head.Older))
	}
	last := len(entries) - 1
	unit := timeUnit(entries)
	dst = binary.AppendUvarint(dst, uint64(last+1))
	dst = binary.AppendUvarint(dst, uint64(entries[last].Time))
	dst = binary.AppendUvarint(dst, uint64(unit))
	for i := last; i >= 0; i-- {
		if i < last {
			delta := entries[i+1].Time - entries[i].Time
			if unit > 1 {
				delta /= unit
			}
			dst = binary.AppendUvarint(dst, uint64(delta))
		}
		dst = appendWhat(dst, entries[i])
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// appendWhat writes item and kind; the default kind costs one bit.
func appendWhat(dst []byte, e Entry) []byte {
	if e.Kind == 0 {
		return binary.AppendUvarint(dst, uint64(e.Item)<<1)
	}
	dst = binary.AppendUvarint(dst, uint64(e.Item)<<1|1)
	return binary.AppendUvarint(dst, uint64(e.Kind))
}

// timeUnit returns the greatest common divisor of the time differences, at least 1. Sources count in seconds or days
// more often than in milliseconds, and a difference in their own unit is one to two bytes shorter.
func timeUnit(entries []Entry) int64 {
	unit := int64(0)
	for i := 1; i < len(entries) && unit != 1; i++ {
		a, b := unit, entries[i].Time-entries[i-1].Time
		for b != 0 {
			a, b = b, a%b
		}
		unit = a
	}
	return max(unit, 1)
}

// ParseChunk verifies the checksum and reads the header. Errors: ErrCorrupt, ErrNewerFormat.
func ParseChunk(data []byte) (Chunk, error) {
	// A later format may end in another checksum, so the version is looked at first.
	if len(data) > 0 && data[0] > chunkVersion && data[0] <= chunkMark|0x0f {
		return Chunk{}, fmt.Errorf("chunk format %d: %w", data[0]-chunkMark, ErrNewerFormat)
	}
	if len(data) < 2+3+1+4 || data[0] != chunkVersion {
		return Chunk{}, fmt.Errorf("not a chunk, %d bytes: %w", len(data), ErrCorrupt)
	}
	end := len(data) - 4
	if crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]) {
		return Chunk{}, fmt.Errorf("chunk checksum: %w", ErrCorrupt)
	}
	if data[1]&^flagHead != 0 {
		return Chunk{}, fmt.Errorf("chunk flags %#x: %w", data[1], ErrCorrupt)
	}
	r := reader{data: data[2:end]}
	var c Chunk
	if c.IsHead = data[1] == flagHead; c.IsHead {
		c.Head.Touched = int64(r.uvarint(math.MaxInt64 / 60_000))
		c.Head.Older = int(r.uvarint(math.MaxInt32))
	}
	c.Count = int(r.uvarint(MaxChunk))
	c.Newest = int64(r.uvarint(uint64(event.MaxTime)))
	c.unit = int64(r.uvarint(uint64(event.MaxTime)))
	c.body = r.data
	if r.bad || c.Count == 0 || c.unit == 0 || len(c.body) < 2*c.Count-1 {
		return Chunk{}, fmt.Errorf("chunk header: %w", ErrCorrupt)
	}
	return c, nil
}

// Last appends the newest n entries of the chunk (all, if it has fewer) to dst, oldest first. It reads no further than
// it must; only when it reads to the end does it see that nothing follows.
func (c *Chunk) Last(dst []Entry, n int) ([]Entry, error) {
	n = min(n, c.Count)
	if n <= 0 {
		return dst, nil
	}
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	out := dst[start:]
	r := reader{data: c.body}
	t, farthest := c.Newest, uint64(c.Newest/c.unit) // the bound keeps the product below in range
	for i := n - 1; i >= 0; i-- {
		if i < n-1 {
			t -= int64(r.uvarint(farthest)) * c.unit
			r.bad = r.bad || t < 0
		}
		out[i].Time = t
		what := r.uvarint(math.MaxUint32<<1 | 1)
		out[i].Item = uint32(what >> 1)
		out[i].Kind = 0
		if what&1 == 1 {
			out[i].Kind = uint32(r.uvarint(math.MaxUint32))
			r.bad = r.bad || out[i].Kind == 0
		}
	}
	if r.bad || n == c.Count && len(r.data) > 0 {
		return dst[:start], fmt.Errorf("chunk events: %w", ErrCorrupt)
	}
	return dst, nil
}

// reader takes varints off a slice; after the first fault it is bad and returns zeros.
type reader struct {
	data []byte
	bad  bool
}

// uvarint reads one number of at most limit, in its shortest form.
func (r *reader) uvarint(limit uint64) uint64 {
	if len(r.data) > 0 && r.data[0] < 0x80 && uint64(r.data[0]) <= limit {
		v := uint64(r.data[0])
		r.data = r.data[1:]
		return v
	}
	v, n := binary.Uvarint(r.data)
	if r.bad || n <= 0 || v > limit || n > 1 && r.data[n-1] == 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}
