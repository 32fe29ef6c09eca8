package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Recent implements store.Histories. The newest 200 events are one round trip.
func (s *Store) Recent(ctx context.Context, user event.UserID, n int) (out []event.Event, err error) {
	err = s.call(ctx, "read recent events", s.opts.Timeout, func(ctx context.Context) error {
		buf := s.readers.Get().(*[]store.Entry)
		defer s.readers.Put(buf)
		entries, err := s.recent(ctx, (*buf)[:0], user, n)
		if err != nil {
			return err
		}
		*buf = entries
		out, err = s.events(ctx, user, entries)
		return err
	})
	return out, err
}

// recent appends the newest n entries of a user, oldest first.
func (s *Store) recent(ctx context.Context, dst []store.Entry, user event.UserID, n int) ([]store.Entry, error) {
	key := s.keys.head(user)
	value, err := s.readHead(ctx, key)
	if err != nil || value == nil {
		return dst, err
	}
	head, err := s.parseHead(value)
	if err != nil {
		return dst, err
	}
	if n <= head.Count || head.Head.Older == 0 {
		return head.Last(dst, n)
	}
	h, err := s.whole(ctx, key)
	if err != nil {
		return dst, err
	}
	var parts [][]store.Entry
	for i := len(h.chunks); n > 0 && i >= 0; i-- {
		part, err := h.entries(nil, i, n)
		if err != nil {
			return dst, err
		}
		parts = append(parts, part)
		n -= len(part)
	}
	for _, part := range slices.Backward(parts) {
		dst = append(dst, part...)
	}
	return dst, nil
}

// readHead reads the newest chunk, nil if there is none. Once a second it also looks whether the cached names still hold.
func (s *Store) readHead(ctx context.Context, key string) ([]byte, error) {
	if !s.due() {
		return found(s.client.Get(ctx, key))
	}
	p := s.client.Pipeline()
	look := s.ask(ctx, p)
	head := p.Get(ctx, key)
	if err := exec(ctx, p); err != nil {
		return nil, err
	}
	if _, err := s.settle(ctx, look); err != nil {
		return nil, err
	}
	return found(head)
}

// found returns the value of a command, nil if there is none.
func found(cmd *redis.StringCmd) ([]byte, error) {
	value, err := cmd.Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
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

// whole is a user's history as it was at one moment.
type whole struct {
	head   store.Chunk
	chunks []store.Record // sealed ones, oldest first
}

// whole reads all of a history in one transaction: all chunks must be of the same moment, or an event that moves from one
// to the next would be seen twice.
func (s *Store) whole(ctx context.Context, key string) (*whole, error) {
	p := s.client.TxPipeline()
	head, sealed := p.Get(ctx, key), p.HGetAll(ctx, s.keys.sealed(key))
	if err := exec(ctx, p); err != nil {
		return nil, err
	}
	value, err := found(head)
	if err != nil || value == nil {
		return &whole{}, err
	}
	all, err := sealed.Result()
	if err != nil {
		return nil, fmt.Errorf("read older chunks: %w", err)
	}
	return s.parseWhole(value, all)
}

// parseWhole makes a history of what is stored of it.
func (s *Store) parseWhole(value []byte, sealed map[string]string) (*whole, error) {
	h := &whole{}
	var err error
	if h.head, err = s.parseHead(value); err != nil || h.head.Head.Older == 0 {
		return h, err
	}
	h.chunks = sortedChunks(sealed)
	return h, h.check()
}

// check compares the chunks with what the newest says about them.
func (h *whole) check() error {
	left := h.head.Head.Older
	for i := range h.chunks {
		c, err := h.chunk(i)
		if err != nil {
			return err
		}
		left -= c.Count
	}
	if left != 0 {
		return fmt.Errorf("newest chunk counts %d older events, %d are missing: %w", h.head.Head.Older, left, store.ErrCorrupt)
	}
	return nil
}

// chunk reads the header of a chunk; the newest comes after the sealed ones.
func (h *whole) chunk(i int) (store.Chunk, error) {
	if i == len(h.chunks) {
		return h.head, nil
	}
	c, err := store.ParseChunk(h.chunks[i].Value)
	if err == nil && c.IsHead {
		err = fmt.Errorf("older chunk has a head: %w", store.ErrCorrupt)
	}
	return c, err
}

// entries appends the newest n entries of a chunk, oldest first.
func (h *whole) entries(dst []store.Entry, i, n int) ([]store.Entry, error) {
	c, err := h.chunk(i)
	if err != nil {
		return dst, err
	}
	return c.Last(dst, n)
}

// sortedChunks turns the fields of a hash into records, oldest first.
func sortedChunks(all map[string]string) []store.Record {
	out := make([]store.Record, 0, len(all))
	for key, value := range all {
		if key != revisionField {
			out = append(out, store.Record{Key: []byte(key), Value: []byte(value)})
		}
	}
	slices.SortFunc(out, func(a, b store.Record) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// after returns the index of the first chunk whose key is above key.
func after(chunks []store.Record, key []byte) int {
	return sort.Search(len(chunks), func(i int) bool { return bytes.Compare(chunks[i].Key, key) > 0 })
}

// events gives names to entries, with at most one round trip for each dictionary.
func (s *Store) events(ctx context.Context, user event.UserID, entries []store.Entry) ([]event.Event, error) {
	itemName, err := s.items.resolve(ctx, entries, func(e store.Entry) uint32 { return e.Item })
	if err != nil {
		return nil, err
	}
	kindName, err := s.kinds.resolve(ctx, entries, func(e store.Entry) uint32 { return e.Kind })
	if err != nil {
		return nil, err
	}
	out := make([]event.Event, len(entries))
	for i, e := range entries {
		out[i] = event.Event{User: user, Item: event.ItemID(itemName(e.Item)), Kind: event.Kind(kindName(e.Kind)), Time: e.Time}
	}
	return out, nil
}

// resolve returns a function that knows the names of all numbers of entries.
func (d *names) resolve(ctx context.Context, entries []store.Entry, of func(store.Entry) uint32) (func(uint32) string, error) {
	cache := d.cache.Load()
	var missing []uint32
	known := map[uint32]string{}
	for _, e := range entries {
		n := of(e)
		if _, ok := known[n]; ok {
			continue
		}
		name, ok := cache.Name(n)
		if !ok {
			missing = append(missing, n)
		}
		known[n] = name
	}
	found, err := d.named(ctx, missing)
	for n, name := range found {
		known[n] = name
	}
	return func(n uint32) string { return known[n] }, err
}

// History implements store.Histories. A page is one round trip, two if it has names that the cache lacks.
func (s *Store) History(ctx context.Context, user event.UserID, page store.Page) (out []event.Event, next string, err error) {
	err = s.call(ctx, "read history", s.opts.Timeout, func(ctx context.Context) error {
		secret, err := s.Secret(ctx)
		if err != nil {
			return err
		}
		p := selection{s: s, user: user, limit: page.Size()}
		if page.Before != "" {
			before, err := secret.ParseCursor(page.Before, user, page.Kind)
			if err != nil {
				return err
			}
			p.before = &before
		}
		if p.kind = page.Kind; p.kind != "" {
			known, err := s.kinds.has(ctx, string(p.kind))
			if err != nil || !known {
				return err // no event is of a kind that has no number
			}
		}
		if err := p.read(ctx); err != nil {
			return err
		}
		if out = p.out; p.more {
			next = secret.Cursor(out[len(out)-1], page.Kind)
		}
		return nil
	})
	return out, next, err
}

// has reports whether a name has a number.
func (d *names) has(ctx context.Context, name string) (bool, error) {
	if _, ok := d.cache.Load().Number(name); ok {
		return true, nil
	}
	return d.s.client.HExists(ctx, d.byName, name).Result()
}

// selection collects one page.
type selection struct {
	s      *Store
	user   event.UserID
	before *event.Event // nil at the first page
	kind   event.Kind   // "" for all
	limit  int

	out  []event.Event // newest first
	more bool          // whether there is an event after those
}

// read walks the chunks from the newest towards the oldest until the page is full.
func (p *selection) read(ctx context.Context) error {
	h, err := p.s.whole(ctx, p.s.keys.head(p.user))
	if err != nil {
		return err
	}
	start := len(h.chunks)
	if p.before != nil && start > 0 {
		oldest := h.oldestOfHead()
		if p.before.Time < oldest {
			// The last chunk that begins before the cursor.
			start = after(h.chunks, store.SealedKey(p.before.Time, p.before.Item, p.before.Kind)) - 1
		}
	}
	var buf []store.Entry
	for i := start; i >= 0 && !p.more; i-- {
		if buf, err = h.entries(buf[:0], i, store.MaxChunk); err != nil {
			return err
		}
		events, err := p.s.events(ctx, p.user, buf)
		if err != nil {
			return err
		}
		p.take(events)
	}
	return nil
}

// oldestOfHead is the time of the oldest event of the newest chunk.
func (h *whole) oldestOfHead() int64 {
	entries, err := h.head.Last(nil, h.head.Count)
	if err != nil || len(entries) == 0 {
		return 0 // whoever reads it next meets the error
	}
	return entries[0].Time
}

// take adds what belongs to the page of the events of one chunk, which are sorted oldest first.
func (p *selection) take(events []event.Event) {
	for _, e := range slices.Backward(events) {
		if p.kind != "" && e.Kind != p.kind || p.before != nil && compareInUser(e, *p.before) >= 0 {
			continue
		}
		if len(p.out) == p.limit {
			p.more = true
			return
		}
		p.out = append(p.out, e)
	}
}

// compareInUser is event.Compare for canonical events of one user.
func compareInUser(a, b event.Event) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(string(a.Item), string(b.Item)),
		strings.Compare(string(a.Kind), string(b.Kind)))
}

// scanCount is how many keys one step of a walk over all keys asks for.
const scanCount = 1000

// Users implements store.Histories. It keeps the ids it has called fn for in memory, since Redis may name a key twice.
func (s *Store) Users(ctx context.Context, fn func(event.UserID) error) error {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return err
	}
	seen := map[event.UserID]struct{}{}
	for _, node := range nodes {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			var users []event.UserID
			err := s.call(ctx, "list users", s.opts.WriteTimeout, func(ctx context.Context) (err error) {
				users, cursor, err = s.scan(ctx, node, cursor)
				return err
			})
			if err != nil {
				return err
			}
			for _, u := range users {
				if _, twice := seen[u]; twice {
					continue
				}
				seen[u] = struct{}{}
				if err := fn(u); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// scan takes one step over the keys of a node and returns the users among them whose history has not expired. One whose
// history cannot be read is among them: whoever reads it meets the error, and the others are not kept back.
func (s *Store) scan(ctx context.Context, node *redis.Client, cursor uint64) ([]event.UserID, uint64, error) {
	found, cursor, err := node.Scan(ctx, cursor, s.keys.heads(), scanCount).Result()
	if err != nil || len(found) == 0 {
		return nil, cursor, err
	}
	p := node.Pipeline()
	heads := make([]*redis.StringCmd, len(found))
	for i, key := range found {
		heads[i] = p.Get(ctx, key)
	}
	if err := exec(ctx, p); err != nil {
		return nil, 0, err
	}
	var users []event.UserID
	for i, key := range found {
		value, err := heads[i].Bytes()
		if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") {
			continue // expired, erased or moved meanwhile
		}
		if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, 0, fmt.Errorf("key %q: %w", key, err)
		}
		if err == nil {
			if c, err := s.parseHead(value); err == nil && c.Count == 0 {
				continue
			}
		}
		user, err := s.keys.user(key)
		if err != nil {
			return nil, 0, err
		}
		users = append(users, user)
	}
	return users, cursor, nil
}
