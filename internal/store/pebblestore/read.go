package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Recent implements store.Histories. The newest 200 events are one point read.
func (s *Store) Recent(ctx context.Context, user event.UserID, n int) ([]event.Event, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read recent events: %w", err)
	}
	buf := s.readers.Get().(*[]store.Entry)
	defer s.readers.Put(buf)
	entries, err := s.recent((*buf)[:0], user, n)
	if err != nil {
		return nil, fmt.Errorf("read recent events: %w", classify(err))
	}
	*buf = entries
	return s.events(user, entries)
}

// recent appends the newest n entries of a user, oldest first.
func (s *Store) recent(dst []store.Entry, user event.UserID, n int) ([]store.Entry, error) {
	value, closer, err := s.db.Get(appendUser(make([]byte, 0, 300), user, headPart))
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, nil
	} else if err != nil {
		return dst, err
	}
	defer closer.Close()
	head, err := s.parseHead(value)
	if err != nil {
		return dst, err
	}
	if n <= head.Count || head.Head.Older == 0 {
		return head.Last(dst, n)
	}
	return s.recentFar(dst, user, n)
}

// recentFar is recent for more events than the newest chunk holds. It reads that chunk again: all chunks must be of the
// same moment, or an event that moves from one to the next would be seen twice.
func (s *Store) recentFar(dst []store.Entry, user event.UserID, n int) ([]store.Entry, error) {
	w, err := s.walk(user)
	if err != nil {
		return dst, err
	}
	defer w.close()
	var parts [][]store.Entry
	for ; n > 0 && w.valid(); w.previous() {
		part, err := w.entries(nil, n)
		if err != nil {
			return dst, err
		}
		parts = append(parts, part)
		n -= len(part)
	}
	for _, part := range slices.Backward(parts) {
		dst = append(dst, part...)
	}
	return dst, w.error()
}

// events gives names to entries.
func (s *Store) events(user event.UserID, entries []store.Entry) ([]event.Event, error) {
	out := make([]event.Event, len(entries))
	for i, e := range entries {
		var err error
		if out[i], err = s.event(user, e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) event(user event.UserID, e store.Entry) (event.Event, error) {
	item, err := s.items.name(e.Item)
	if err != nil {
		return event.Event{}, err
	}
	kind, err := s.kinds.name(e.Kind)
	return event.Event{User: user, Item: event.ItemID(item), Kind: event.Kind(kind), Time: e.Time}, err
}

// parseHead reads a newest chunk; one that has expired comes back empty.
func (s *Store) parseHead(value []byte) (store.Chunk, error) {
	c, err := store.ParseChunk(value)
	if err == nil && !c.IsHead {
		err = fmt.Errorf("newest chunk has no head: %w", store.ErrCorrupt)
	}
	if err != nil || s.layout.Expired(c.Head, s.opts.Now()) {
		return store.Chunk{}, err
	}
	return c, nil
}

// History implements store.Histories.
func (s *Store) History(ctx context.Context, user event.UserID, page store.Page) ([]event.Event, string, error) {
	if err := s.enter(); err != nil {
		return nil, "", err
	}
	defer s.calls.Done()
	events, next, err := s.history(ctx, user, page)
	if err != nil {
		return nil, "", fmt.Errorf("read history: %w", classify(err))
	}
	return events, next, nil
}

func (s *Store) history(ctx context.Context, user event.UserID, page store.Page) ([]event.Event, string, error) {
	sel := selection{s: s, user: user, limit: page.Size()}
	if page.Before != "" {
		before, err := s.secret.ParseCursor(page.Before, user, page.Kind)
		if err != nil {
			return nil, "", err
		}
		sel.before = &before
	}
	if page.Kind != "" {
		var found bool
		var err error
		if sel.kind, found, err = s.kinds.number(string(page.Kind)); err != nil || !found {
			return nil, "", err // no event is of a kind that has no number
		}
		sel.byKind = true
	}
	if err := sel.read(ctx); err != nil {
		return nil, "", err
	}
	if !sel.more {
		return sel.out, "", nil
	}
	return sel.out, s.secret.Cursor(sel.out[len(sel.out)-1], page.Kind), nil
}

// selection collects one page.
type selection struct {
	s      *Store
	user   event.UserID
	before *event.Event // nil at the first page
	byKind bool
	kind   uint32
	limit  int

	out  []event.Event // newest first
	more bool          // whether there is an event after those
}

// read walks the chunks from the newest towards the oldest until the page is full.
func (p *selection) read(ctx context.Context) error {
	w, err := p.s.walk(p.user)
	if err != nil {
		return err
	}
	defer w.close()
	var buf []store.Entry
	for first := true; w.valid() && !p.more; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		if buf, err = w.entries(buf[:0], store.MaxChunk); err != nil {
			return err
		}
		if err := p.take(buf); err != nil {
			return err
		}
		if first && p.before != nil {
			w.seekBefore(*p.before)
		} else {
			w.previous()
		}
	}
	return w.error()
}

// take adds what belongs to the page of the entries of one chunk, which are sorted oldest first.
func (p *selection) take(entries []store.Entry) error {
	for _, e := range slices.Backward(entries) {
		if p.byKind && e.Kind != p.kind || p.before != nil && e.Time > p.before.Time {
			continue
		}
		ev, err := p.s.event(p.user, e)
		if err != nil {
			return err
		}
		if p.before != nil && compareInUser(ev, *p.before) >= 0 {
			continue
		}
		if len(p.out) == p.limit {
			p.more = true
			return nil
		}
		p.out = append(p.out, ev)
	}
	return nil
}

// compareInUser is event.Compare for canonical events of one user.
func compareInUser(a, b event.Event) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(string(a.Item), string(b.Item)),
		strings.Compare(string(a.Kind), string(b.Kind)))
}

// walker steps through the chunks of one user, newest first, as they were at one moment.
type walker struct {
	s      *Store
	it     *pebble.Iterator
	prefix []byte // of the sealed chunks
	onHead bool
	ok     bool
	left   int // events in the chunks to come, by the word of the newest; -1 if unknown
}

func (s *Store) walk(user event.UserID) (*walker, error) {
	w := &walker{s: s, prefix: appendUser(nil, user, sealedPart), onHead: true}
	var err error
	w.it, err = s.db.NewIter(&pebble.IterOptions{LowerBound: w.prefix, UpperBound: appendUser(nil, user, userEnd)})
	if err != nil {
		return nil, err
	}
	w.ok = w.it.Last()
	return w, nil
}

func (w *walker) valid() bool { return w.ok }

// entries appends the newest n entries of the current chunk, oldest first.
func (w *walker) entries(dst []store.Entry, n int) ([]store.Entry, error) {
	value, err := w.it.ValueAndErr()
	if err != nil {
		return dst, err
	}
	var c store.Chunk
	if w.onHead {
		if w.it.Key()[len(w.prefix)-1] != headPart {
			return dst, fmt.Errorf("older chunks without a newest one: %w", store.ErrCorrupt)
		}
		if c, err = w.s.parseHead(value); err != nil {
			return dst, err
		}
		w.left = c.Head.Older // 0 if the history has expired, whatever is still stored
		return c.Last(dst, n)
	}
	if c, err = store.ParseChunk(value); err != nil {
		return dst, err
	}
	if c.IsHead {
		return dst, fmt.Errorf("older chunk has a head: %w", store.ErrCorrupt)
	}
	if w.left >= 0 {
		if w.left -= c.Count; w.left < 0 {
			return dst, fmt.Errorf("more events than the newest chunk counts: %w", store.ErrCorrupt)
		}
	}
	return c.Last(dst, n)
}

// previous steps to the next older chunk.
func (w *walker) previous() {
	w.onHead = false
	w.ok = w.left != 0 && w.it.Prev()
}

// seekBefore steps to the newest sealed chunk that holds any event before e.
func (w *walker) seekBefore(e event.Event) {
	w.onHead = false
	key := append(bytes.Clone(w.prefix), store.SealedKey(e.Time, e.Item, e.Kind)...)
	w.ok = w.left != 0 && w.it.SeekLT(key)
	w.left = -1
}

// error returns what has ended the walk early.
func (w *walker) error() error {
	if err := w.it.Error(); err != nil {
		return err
	}
	if !w.ok && w.left > 0 {
		return fmt.Errorf("%d events are missing: %w", w.left, store.ErrCorrupt)
	}
	return nil
}

func (w *walker) close() {
	// What can go wrong has been returned by error.
	_ = w.it.Close()
}

// Users implements store.Histories.
func (s *Store) Users(ctx context.Context, fn func(event.UserID) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{userSpace}, UpperBound: []byte{userSpace + 1}})
	if err != nil {
		return fmt.Errorf("list users: %w", classify(err))
	}
	err = s.eachHead(ctx, it, func(user event.UserID, value []byte) error {
		if c, err := s.parseHead(value); err != nil {
			return fmt.Errorf("list users: %w", err)
		} else if c.Count == 0 {
			return nil
		}
		return fn(user)
	})
	if closeErr := it.Close(); err == nil && closeErr != nil {
		return fmt.Errorf("list users: %w", classify(closeErr))
	}
	return err
}

// eachHead calls fn for the newest chunk of every user, expired or not.
func (s *Store) eachHead(ctx context.Context, it *pebble.Iterator, fn func(event.UserID, []byte) error) error {
	for ok := it.First(); ok; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		end := bytes.IndexByte(it.Key(), 0)
		if end < 0 {
			return fmt.Errorf("list users: key without a user: %w", store.ErrCorrupt)
		}
		user := event.UserID(it.Key()[1:end])
		head := appendUser(nil, user, headPart)
		if !it.SeekGE(head) || !bytes.Equal(it.Key(), head) {
			return errors.Join(fmt.Errorf("list users: older chunks without a newest one: %w", store.ErrCorrupt), it.Error())
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("list users: %w", classify(err))
		}
		if err := fn(user, value); err != nil {
			return err
		}
		ok = it.Next()
	}
	return nil
}
