package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// maxPiece is the number of events that one commit takes; a longer Append is cut, since it holds locks meanwhile.
const maxPiece = 4096

// Append implements store.Histories.
func (s *Store) Append(ctx context.Context, events []event.Event) (store.Result, error) {
	return s.AppendSent(ctx, events, nil)
}

// AppendSent implements store.Histories.
func (s *Store) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	if err := s.enter(); err != nil {
		return store.Result{}, err
	}
	defer s.calls.Done()
	var total store.Result
	if err := checkEvents(events); err != nil {
		return total, fmt.Errorf("append: %w", err)
	}
	if sent != nil {
		if err := s.erased.load(ctx, s); err != nil {
			return total, fmt.Errorf("append: %w", err)
		}
	}
	a := s.appenders.Get().(*appender)
	defer s.appenders.Put(a)
	for len(events) > 0 {
		if err := ctx.Err(); err != nil {
			return total, fmt.Errorf("append: %w", err)
		}
		n := min(len(events), maxPiece)
		r, err := a.append(events[:n], sent[:min(n, len(sent))])
		if err != nil {
			return total, fmt.Errorf("append: %w", classify(err))
		}
		total.Add(r)
		events, sent = events[n:], sent[min(n, len(sent)):]
	}
	s.counters.add(total)
	return total, nil
}

func checkEvents(events []event.Event) error {
	for i, e := range events {
		if faults := e.Validate(time.Time{}); faults != nil {
			return fmt.Errorf("%w: event %d: %w", store.ErrInvalid, i, &event.InvalidError{Faults: faults})
		}
	}
	return nil
}

// appender does the work of one Append; it is kept for its memory.
type appender struct {
	s      *Store
	editor store.Editor
	sealed sealedReader
	rows   []row
	in     []store.Entry
	locks  []int
	key    []byte
}

// row is an event with its numbers.
type row struct {
	event event.Event
	entry store.Entry
	sent  int64 // see AppendSent
}

func newAppender(s *Store) *appender {
	a := &appender{s: s, editor: store.Editor{Layout: s.layout, Names: lookup{s.items, s.kinds}}}
	a.sealed.db = s.db
	return a
}

// append stores at most maxPiece valid events and returns when they are durable.
func (a *appender) append(events []event.Event, sent []int64) (store.Result, error) {
	defer a.forget()
	if err := a.number(events); err != nil {
		return store.Result{}, err
	}
	for i := range a.rows {
		a.rows[i].sent = math.MaxInt64
		if i < len(sent) {
			a.rows[i].sent = sent[i]
		}
	}
	slices.SortFunc(a.rows, func(x, y row) int { return event.Compare(x.event, y.event) })
	b := a.s.db.NewBatch()
	result, err := a.apply(b)
	if err != nil {
		return store.Result{}, errors.Join(err, b.Close())
	}
	if b.Empty() {
		return result, errors.Join(b.Close(), a.s.settle())
	}
	err = b.SyncWait()
	a.s.pending.Add(-1)
	return result, errors.Join(err, b.Close())
}

// forget lets go of the strings of the caller.
func (a *appender) forget() {
	clear(a.rows)
	a.rows = a.rows[:0]
}

// number fills a.rows and gives numbers to new items and kinds.
func (a *appender) number(events []event.Event) error {
	items, kinds := a.s.items, a.s.kinds
	var newItems, newKinds []string
	for _, e := range events {
		e = e.Canonical()
		r := row{event: e, entry: store.Entry{Time: e.Time}}
		var err error
		var found bool
		if r.entry.Item, found, err = items.number(string(e.Item)); err != nil {
			return err
		} else if !found {
			newItems = append(newItems, string(e.Item))
		}
		if r.entry.Kind, found, err = kinds.number(string(e.Kind)); err != nil {
			return err
		} else if !found {
			newKinds = append(newKinds, string(e.Kind))
		}
		a.rows = append(a.rows, r)
	}
	if newItems == nil && newKinds == nil {
		return nil
	}
	if err := errors.Join(items.assign(newItems), kinds.assign(newKinds)); err != nil {
		return err
	}
	for i := range a.rows {
		r := &a.rows[i]
		var err1, err2 error
		r.entry.Item, _, err1 = items.number(string(r.event.Item))
		r.entry.Kind, _, err2 = kinds.number(string(r.event.Kind))
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
	}
	return nil
}

// apply plans the change of each user's history into b and makes it visible, all under the locks of these users.
func (a *appender) apply(b *pebble.Batch) (store.Result, error) {
	a.lock()
	defer a.unlock()
	defer a.sealed.close()
	var total store.Result
	now := a.s.opts.Now()
	for rows := a.rows; len(rows) > 0; {
		n := 1
		for n < len(rows) && rows[n].event.User == rows[0].event.User {
			n++
		}
		r, err := a.user(b, rows[:n], now)
		if err != nil {
			return total, fmt.Errorf("history of a user: %w", err)
		}
		total.Add(r)
		rows = rows[n:]
	}
	if b.Empty() {
		return total, nil
	}
	a.s.pending.Add(1) // before anyone can see the events
	if err := a.s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		a.s.pending.Add(-1)
		return total, err
	}
	return total, nil
}

// user plans the change of one user's history into b. The rows are sorted.
func (a *appender) user(b *pebble.Batch, rows []row, now time.Time) (store.Result, error) {
	user := rows[0].event.User
	a.in = a.in[:0]
	for i := range rows {
		if !a.s.erased.covers(user, rows[i].sent) {
			a.in = append(a.in, rows[i].entry)
		}
	}
	erased := len(rows) - len(a.in)
	if len(a.in) == 0 {
		return store.Result{Erased: erased}, nil
	}
	a.key = appendUser(a.key[:0], user, headPart)
	head, closer, err := a.s.db.Get(a.key)
	if errors.Is(err, pebble.ErrNotFound) {
		head = nil
	} else if err != nil {
		return store.Result{}, err
	} else {
		defer closer.Close()
	}
	a.sealed.user = user
	edit, result, err := a.editor.Apply(head, &a.sealed, a.in, now)
	result.Erased = erased
	if err != nil || edit.Head == nil {
		return result, err
	}
	return result, a.write(b, user, edit)
}

func (a *appender) write(b *pebble.Batch, user event.UserID, edit *store.Edit) error {
	if err := b.Set(a.key, edit.Head, nil); err != nil {
		return err
	}
	prefix := appendUser(nil, user, sealedPart)
	if edit.Clear {
		if err := b.DeleteRange(prefix, a.key, nil); err != nil {
			return err
		}
	}
	for _, key := range edit.Delete {
		if err := b.Delete(append(prefix, key...), nil); err != nil {
			return err
		}
	}
	for _, r := range edit.Put {
		if err := b.Set(append(prefix, r.Key...), r.Value, nil); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until everything that was visible when it was called is durable. A duplicate may only be acknowledged
// once the first of its kind is on disk, and the caller who brought that one may still be waiting.
func (s *Store) settle() error {
	if s.pending.Load() == 0 {
		return nil
	}
	return s.db.LogData(nil, pebble.Sync)
}

// stripe returns the lock of a user.
func (s *Store) stripe(user event.UserID) int {
	return int(maphash.String(s.seed, string(user)) % stripes)
}

// lock takes the locks of all users of a.rows, in the one order that all callers keep.
func (a *appender) lock() {
	a.locks = a.locks[:0]
	for i := range a.rows {
		if i == 0 || a.rows[i].event.User != a.rows[i-1].event.User {
			a.locks = append(a.locks, a.s.stripe(a.rows[i].event.User))
		}
	}
	slices.Sort(a.locks)
	a.locks = slices.Compact(a.locks)
	for _, i := range a.locks {
		a.s.users[i].Lock()
	}
}

func (a *appender) unlock() {
	for _, i := range a.locks {
		a.s.users[i].Unlock()
	}
}

// sealedReader is store.Sealed for one user after the other. Its iterator is made when it is first needed and shows the
// moment of its making, which serves: the locks are held, and no user comes twice.
type sealedReader struct {
	db         *pebble.DB
	user       event.UserID
	it         *pebble.Iterator
	bounds     event.UserID // whose bounds the iterator has
	low, high  []byte
	seek       []byte
	key, value []byte
}

func (r *sealedReader) open() error {
	if r.it != nil && r.bounds == r.user {
		return nil
	}
	r.low = appendUser(r.low[:0], r.user, sealedPart)
	r.high = appendUser(r.high[:0], r.user, headPart)
	r.bounds = r.user
	if r.it != nil {
		r.it.SetBounds(r.low, r.high)
		return nil
	}
	var err error
	r.it, err = r.db.NewIter(&pebble.IterOptions{LowerBound: r.low, UpperBound: r.high})
	return err
}

// Cover implements store.Sealed.
func (r *sealedReader) Cover(key []byte) (chunkKey, value, next []byte, err error) {
	if err := r.open(); err != nil {
		return nil, nil, nil, err
	}
	// The smallest key above key: everything before it is at most key.
	r.seek = append(append(append(r.seek[:0], r.low...), key...), 0)
	if !r.it.SeekLT(r.seek) && !r.it.First() {
		return nil, nil, nil, r.it.Error()
	}
	r.key = append(r.key[:0], bytes.TrimPrefix(r.it.Key(), r.low)...)
	v, err := r.it.ValueAndErr()
	if err != nil {
		return nil, nil, nil, err
	}
	r.value = append(r.value[:0], v...)
	if r.it.Next() {
		next = bytes.TrimPrefix(r.it.Key(), r.low)
	}
	return r.key, r.value, next, r.it.Error()
}

func (r *sealedReader) close() {
	if r.it != nil {
		// Reading errors have been returned where they were met.
		_ = r.it.Close()
		r.it = nil
	}
}
