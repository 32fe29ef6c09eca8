package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"seqrec/internal/event"
)

// Layout says how a history is cut into chunks and how much of it is kept. Backends choose their own.
type Layout struct {
	Tail int           // most events in the newest chunk, which every append rewrites; at most MaxChunk/2
	Seal int           // events moved into a chunk of their own when the newest overflows; less than Tail
	Cap  int           // most events of a user
	TTL  time.Duration // a history that has not changed for longer is forgotten; 0 means never
}

// Expired reports whether a history with this head is to be treated as empty.
func (l *Layout) Expired(h Head, now time.Time) bool {
	return l.TTL > 0 && time.UnixMilli(h.Touched*60_000).Add(l.TTL).Before(now)
}

// Names is the dictionary of a store seen from its numbers. Errors: ErrCorrupt when a number was never given out.
type Names interface {
	Item(n uint32) (event.ItemID, error)
	Kind(n uint32) (event.Kind, error)
}

// SealedKey is the sort key of an event within a user's history: comparing keys bytewise is comparing events by
// event.Compare. A sealed chunk (any but the newest) is stored under the key of its oldest event.
func SealedKey(t int64, item event.ItemID, kind event.Kind) []byte {
	key := make([]byte, 0, 8+len(item)+1+len(kind))
	key = binary.BigEndian.AppendUint64(key, uint64(t))
	key = append(key, item...)
	key = append(key, 0) // ids hold no zero byte, so a shorter item sorts first
	return append(key, kind...)
}

// Sealed gives an Editor the sealed chunks of one user as they are stored.
type Sealed interface {
	// Cover returns the chunk with the greatest key at most key, or else the first chunk, and the key of the chunk
	// after it, nil at the end. Without any sealed chunk value is nil. The slices stay valid until the next call.
	Cover(key []byte) (chunkKey, value, next []byte, err error)
}

// Edit is the change that an Editor has planned. A backend applies it atomically and in the order of the fields.
type Edit struct {
	Clear  bool     // remove all sealed chunks
	Delete [][]byte // remove these sealed chunks
	Put    []Record // write these sealed chunks; none of them is in Delete
	Head   []byte   // write the newest chunk; nil when nothing changes at all
}

// Record is a sealed chunk with its key.
type Record struct{ Key, Value []byte }

// Editor plans the insertion of events into the packed history of one user. It touches the newest chunk and those
// chunks into which late events fall, whatever the length of the history. It keeps its memory from use to use; one
// goroutine uses it at a time.
type Editor struct {
	Layout Layout
	Names  Names

	sealed   Sealed
	tail     []Entry // events of the newest chunk
	older    int     // events of all sealed chunks
	accepted []Entry // new events, sorted
	changes  []change
	edit     Edit
	packed   []byte // what the values of edit point into
	err      error  // first error of a comparison
}

// change replaces one sealed chunk (or none, if key is nil) by pieces.
type change struct {
	key    []byte
	pieces [][]Entry
}

// Apply plans the insertion of entries, which are sorted as event.Compare sorts, into the history with this newest
// chunk (nil for a new history). The edit is valid until the next call and aliases nothing that was passed in.
// Errors: ErrCorrupt, ErrNewerFormat, and those of Names and Sealed.
func (ed *Editor) Apply(head []byte, sealed Sealed, in []Entry, now time.Time) (*Edit, Result, error) {
	ed.reset(sealed)
	if err := ed.load(head, now); err != nil {
		return nil, Result{}, err
	}
	late := 0
	for ed.older > 0 && late < len(in) && ed.compare(in[late], ed.tail[0]) < 0 {
		late++
	}
	if err := ed.insertLate(in[:late]); err != nil {
		return nil, Result{}, err
	}
	ed.tail = ed.insert(ed.tail, in[late:])
	if ed.err != nil {
		return nil, Result{}, ed.err
	}
	result := Result{Accepted: len(ed.accepted), Duplicate: len(in) - len(ed.accepted)}
	if result.Accepted == 0 {
		return &Edit{}, result, nil
	}
	dropped, err := ed.enforceCap()
	if err != nil {
		return nil, Result{}, err
	}
	result.Accepted, result.Dropped = result.Accepted-dropped, dropped
	if err := ed.finish(now); err != nil {
		return nil, Result{}, err
	}
	return &ed.edit, result, nil
}

func (ed *Editor) reset(sealed Sealed) {
	ed.sealed, ed.older, ed.err = sealed, 0, nil
	ed.tail, ed.accepted, ed.changes = ed.tail[:0], ed.accepted[:0], ed.changes[:0]
	ed.packed = ed.packed[:0]
	ed.edit = Edit{Delete: ed.edit.Delete[:0], Put: ed.edit.Put[:0]}
}

// load reads the newest chunk; an expired history counts as none.
func (ed *Editor) load(head []byte, now time.Time) error {
	if head == nil {
		return nil
	}
	c, err := ParseChunk(head)
	if err != nil {
		return err
	}
	if !c.IsHead {
		return fmt.Errorf("newest chunk has no head: %w", ErrCorrupt)
	}
	if ed.Layout.Expired(c.Head, now) {
		ed.edit.Clear = c.Head.Older > 0
		return nil
	}
	ed.older = c.Head.Older
	ed.tail, err = c.Last(ed.tail, c.Count)
	return err
}

// compare orders entries of one user as event.Compare orders their events. Only equal times need the names.
func (ed *Editor) compare(a, b Entry) int {
	if a.Time != b.Time {
		return cmp.Compare(a.Time, b.Time)
	}
	if a.Item != b.Item {
		return strings.Compare(string(name(ed, ed.Names.Item, a.Item)), string(name(ed, ed.Names.Item, b.Item)))
	}
	if a.Kind != b.Kind {
		return strings.Compare(string(name(ed, ed.Names.Kind, a.Kind)), string(name(ed, ed.Names.Kind, b.Kind)))
	}
	return 0
}

// name looks a number up and remembers the first error, so that comparisons need not return one.
func name[T ~string](ed *Editor, lookup func(uint32) (T, error), n uint32) T {
	s, err := lookup(n)
	if err != nil && ed.err == nil {
		ed.err = err
	}
	return s
}

// insert puts sorted new entries into sorted old ones and notes in ed.accepted those that were not there.
func (ed *Editor) insert(old, in []Entry) []Entry {
	for _, e := range in {
		at := len(old)
		if at > 0 && ed.compare(e, old[at-1]) <= 0 {
			var found bool
			if at, found = slices.BinarySearchFunc(old, e, ed.compare); found {
				continue
			}
		}
		old = slices.Insert(old, at, e)
		ed.accepted = append(ed.accepted, e)
	}
	return old
}

// insertLate puts events older than the newest chunk into the sealed chunks that cover them.
func (ed *Editor) insertLate(late []Entry) error {
	for len(late) > 0 {
		key, value, next, err := ed.cover(ed.key(late[0]))
		if err != nil {
			return err
		}
		n := 1
		for n < len(late) && (next == nil || bytes.Compare(ed.key(late[n]), next) < 0) {
			n++
		}
		old, err := readSealed(value)
		if err != nil {
			return err
		}
		before := len(ed.accepted)
		old = ed.insert(old, late[:n])
		if added := len(ed.accepted) - before; added > 0 {
			ed.older += added
			ed.changes = append(ed.changes, change{bytes.Clone(key), pieces(old, 2*ed.Layout.Seal)})
		}
		late = late[n:]
	}
	return ed.err
}

// cover is Sealed.Cover where a chunk must exist.
func (ed *Editor) cover(key []byte) (chunkKey, value, next []byte, err error) {
	chunkKey, value, next, err = ed.sealed.Cover(key)
	if err == nil && value == nil {
		err = fmt.Errorf("newest chunk counts %d older events, but there is no older chunk: %w", ed.older, ErrCorrupt)
	}
	return chunkKey, value, next, err
}

func (ed *Editor) key(e Entry) []byte {
	return SealedKey(e.Time, name(ed, ed.Names.Item, e.Item), name(ed, ed.Names.Kind, e.Kind))
}

func readSealed(value []byte) ([]Entry, error) {
	c, err := ParseChunk(value)
	if err != nil {
		return nil, err
	}
	if c.IsHead {
		return nil, fmt.Errorf("older chunk has a head: %w", ErrCorrupt)
	}
	return c.Last(make([]Entry, 0, c.Count+1), c.Count)
}

// pieces cuts entries into runs of nearly equal length, none above limit.
func pieces(entries []Entry, limit int) [][]Entry {
	n := (len(entries) + limit - 1) / limit
	out := make([][]Entry, 0, n)
	for i := n; i > 0; i-- {
		size := (len(entries) + i - 1) / i
		out = append(out, entries[:size:size])
		entries = entries[size:]
	}
	return out
}

// enforceCap drops the oldest events above the cap and returns how many of the new events were among them.
func (ed *Editor) enforceCap() (int, error) {
	excess := ed.older + len(ed.tail) - ed.Layout.Cap
	if excess <= 0 {
		return 0, nil
	}
	var oldest Entry
	if excess >= ed.older {
		ed.edit.Clear = ed.edit.Clear || ed.older > 0
		ed.changes = ed.changes[:0]
		ed.tail = slices.Delete(ed.tail, 0, excess-ed.older)
		ed.older = 0
		oldest = ed.tail[0]
	} else {
		var err error
		if oldest, err = ed.dropSealed(excess); err != nil {
			return 0, err
		}
	}
	dropped := 0
	for dropped < len(ed.accepted) && ed.compare(ed.accepted[dropped], oldest) < 0 {
		dropped++
	}
	return dropped, ed.err
}

// dropSealed drops the oldest events, fewer than there are in sealed chunks, and returns the oldest one that stays. It
// walks the chunks as they are stored and sees those that were changed already in their new form.
func (ed *Editor) dropSealed(excess int) (Entry, error) {
	ed.older -= excess
	for at := []byte{}; at != nil; {
		key, value, next, err := ed.cover(at)
		if err != nil {
			return Entry{}, err
		}
		i := slices.IndexFunc(ed.changes, func(c change) bool { return bytes.Equal(c.key, key) })
		if i < 0 {
			old, err := readSealed(value)
			if err != nil {
				return Entry{}, err
			}
			i = len(ed.changes)
			ed.changes = append(ed.changes, change{bytes.Clone(key), [][]Entry{old}})
		}
		c := &ed.changes[i]
		for len(c.pieces) > 0 && len(c.pieces[0]) <= excess {
			excess -= len(c.pieces[0])
			c.pieces = c.pieces[1:]
		}
		if len(c.pieces) > 0 {
			c.pieces[0] = c.pieces[0][excess:]
			return c.pieces[0][0], nil
		}
		at = bytes.Clone(next)
	}
	return Entry{}, fmt.Errorf("newest chunk counts more older events than there are: %w", ErrCorrupt)
}

// finish moves the overflow of the newest chunk into sealed ones and packs everything.
func (ed *Editor) finish(now time.Time) error {
	start := 0
	for len(ed.tail)-start > ed.Layout.Tail {
		piece := ed.tail[start : start+ed.Layout.Seal]
		ed.changes = append(ed.changes, change{pieces: [][]Entry{piece}})
		ed.older += len(piece)
		start += len(piece)
	}
	for _, c := range ed.changes {
		moved := c.key != nil
		for _, p := range c.pieces {
			key := ed.key(p[0])
			moved = moved && !bytes.Equal(key, c.key)
			ed.edit.Put = append(ed.edit.Put, Record{key, ed.pack(nil, p)})
		}
		if moved {
			ed.edit.Delete = append(ed.edit.Delete, c.key)
		}
	}
	// Rounding up, a history never expires early.
	head := Head{Touched: (now.UnixMilli() + 59_999) / 60_000, Older: ed.older}
	ed.edit.Head = ed.pack(&head, ed.tail[start:])
	return ed.err
}

// pack is AppendChunk into memory that is kept; should it have to grow, values packed before stay where they are.
func (ed *Editor) pack(head *Head, entries []Entry) []byte {
	start := len(ed.packed)
	ed.packed = AppendChunk(ed.packed, head, entries)
	return ed.packed[start:len(ed.packed):len(ed.packed)]
}
