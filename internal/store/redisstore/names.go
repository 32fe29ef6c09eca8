package redisstore

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// names is a dictionary: names get small numbers at first sight and keep them for ever. The entry of a name is its number
// (4 bytes, big-endian) and a token; that of a number the same token and the name. A token is drawn for each call that
// gives out numbers, so the entry of the newest number that a process knows tells it whether all older ones still hold.
type names struct {
	s                       *Store
	byName, byNumber, touch string // keys
	size                    int    // of the cache
	cache                   atomic.Pointer[store.NameCache]
	misses                  atomic.Uint64

	mu     sync.Mutex
	newest tip
	// safe is a bound below which every number is on all replicas that were connected when it was set.
	safe uint64
}

// tokenSize is the length of a token in bytes.
const tokenSize = 8

// tip is the newest entry of a dictionary that this process knows; the zero value is none.
type tip struct {
	next  uint64 // its number plus one
	token string
}

// field is the field that the entry lies under.
func (t tip) field() string { return strconv.FormatUint(max(t.next, 1)-1, 10) }

// holds reports whether value, read from field, is still the entry.
func (t tip) holds(value string) bool { return t.next == 0 || strings.HasPrefix(value, t.token) }

func newNames(s *Store, space string, size int) *names {
	d := &names{
		s: s, size: size,
		byName: s.keys.shared(space), byNumber: s.keys.shared(strings.ToUpper(space)), touch: s.keys.shared("n"),
	}
	d.cache.Store(store.NewNameCache(size))
	return d
}

func (d *names) tip() tip {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newest
}

// forget drops all that is known.
func (d *names) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.newest, d.safe = tip{}, 0
	d.cache.Store(store.NewNameCache(d.size))
}

// numbers returns the numbers of names, all of them safe to use. New names get one.
func (d *names) numbers(ctx context.Context, list []string) (map[string]uint32, error) {
	cache := d.cache.Load()
	out := make(map[string]uint32, len(list))
	var missing []string
	for _, name := range list {
		if _, have := out[name]; have {
			continue
		}
		n, ok := cache.Number(name)
		if !ok {
			missing = append(missing, name)
		}
		out[name] = n
	}
	if len(missing) == 0 {
		return out, nil
	}
	d.misses.Add(uint64(len(missing)))
	unknown, err := d.find(ctx, cache, missing, out)
	if err == nil && len(unknown) > 0 {
		err = d.learn(ctx, cache, unknown, out)
	}
	return out, err
}

// find reads the numbers of names into out and returns the names that have none, or none that is safe.
func (d *names) find(ctx context.Context, cache *store.NameCache, list []string, out map[string]uint32) ([]string, error) {
	values, err := d.s.client.HMGet(ctx, d.byName, list...).Result()
	if err != nil {
		return nil, foreign(fmt.Errorf("read dictionary %s: %w", d.byName, err))
	}
	d.mu.Lock()
	safe := d.safe
	d.mu.Unlock()
	var unknown []string
	for i, v := range values {
		entry, ok := v.(string)
		if !ok {
			unknown = append(unknown, list[i])
			continue
		}
		n, err := d.take(entry, list[i])
		if err != nil {
			return nil, err
		}
		if uint64(n) >= safe {
			unknown = append(unknown, list[i])
			continue
		}
		out[list[i]] = n
		cache.Add(n, strings.Clone(list[i]))
	}
	return unknown, nil
}

// take reads the entry of a name and moves the tip.
func (d *names) take(entry, name string) (uint32, error) {
	if len(entry) != 4+tokenSize {
		return 0, fmt.Errorf("dictionary number of %q has %d bytes: %w", name, len(entry), store.ErrCorrupt)
	}
	n := binary.BigEndian.Uint32([]byte(entry))
	d.raise(n, entry[4:])
	return n, nil
}

// raise moves the tip to an entry that is newer.
func (d *names) raise(n uint32, token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if uint64(n)+1 > d.newest.next {
		d.newest = tip{uint64(n) + 1, strings.Clone(token)}
	}
}

// maxLearn is the number of names that one call of the script takes: it holds the server up.
const maxLearn = 4096

// learn gives numbers to names and returns when every connected replica has them.
func (d *names) learn(ctx context.Context, cache *store.NameCache, list []string, out map[string]uint32) error {
	for len(list) > 0 {
		part := list[:min(len(list), maxLearn)]
		list = list[len(part):]
		if err := d.learnPart(ctx, cache, part, out); err != nil {
			return fmt.Errorf("give numbers to %d names: %w", len(part), err)
		}
	}
	return nil
}

func (d *names) learnPart(ctx context.Context, cache *store.NameCache, list []string, out map[string]uint32) error {
	node, err := d.s.node(ctx, d.byName)
	if err != nil {
		return err
	}
	conn := node.Conn() // WAIT is about the writes of its own connection
	defer conn.Close()
	token := make([]byte, tokenSize)
	rand.Read(token)
	args := make([]any, 0, 1+len(list))
	args = append(args, token)
	for _, name := range list {
		args = append(args, name)
	}
	answer, err := learnScript.Run(ctx, conn, []string{d.byName, d.byNumber, d.touch}, args...).Slice()
	if err != nil {
		return d.s.moved(ctx, err)
	}
	if err := waitAll(ctx, conn); err != nil {
		return err
	}
	if len(answer) != len(list)+1 {
		return fmt.Errorf("dictionary answered %d entries for %d names", len(answer)-1, len(list))
	}
	for i, name := range list {
		entry, _ := answer[i].(string)
		n, err := d.take(entry, name)
		if err != nil {
			return err
		}
		out[name] = n
		cache.Add(n, strings.Clone(name))
	}
	size, _ := answer[len(list)].(int64)
	d.mu.Lock()
	defer d.mu.Unlock()
	// Unless all was forgotten meanwhile.
	if d.cache.Load() == cache {
		d.safe = max(d.safe, uint64(size))
	}
	return nil
}

// waitAll waits until every replica that follows the server of conn has all that conn wrote.
func waitAll(ctx context.Context, conn *redis.Conn) error {
	info, err := conn.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	online := 0
	for in := bufio.NewScanner(strings.NewReader(info)); in.Scan(); {
		if strings.HasPrefix(in.Text(), "slave") && strings.Contains(in.Text(), "state=online") {
			online++
		}
	}
	if online == 0 {
		return nil
	}
	return waitFor(ctx, conn, online)
}

// waitFor waits for n replicas for as long as ctx lasts, less what the answer needs.
func waitFor(ctx context.Context, conn *redis.Conn, n int) error {
	got, err := conn.Do(ctx, "WAIT", n, patience(ctx).Milliseconds()).Int64()
	if err == nil && got < int64(n) {
		err = fmt.Errorf("%d of %d replicas have it: %w", got, n, store.ErrUnavailable)
	}
	return err
}

// name returns the name of a number. Errors: store.ErrCorrupt if the number was never given out.
func (d *names) name(ctx context.Context, n uint32) (string, error) {
	if name, ok := d.cache.Load().Name(n); ok {
		return name, nil
	}
	found, err := d.named(ctx, []uint32{n})
	return found[n], err
}

// named returns the names of numbers that the cache does not have. Errors: store.ErrCorrupt if one was never given out.
func (d *names) named(ctx context.Context, list []uint32) (map[uint32]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	cache := d.cache.Load()
	d.misses.Add(uint64(len(list)))
	fields := make([]string, len(list))
	for i, n := range list {
		fields[i] = strconv.FormatUint(uint64(n), 10)
	}
	values, err := d.s.client.HMGet(ctx, d.byNumber, fields...).Result()
	if err != nil {
		return nil, foreign(fmt.Errorf("read dictionary %s: %w", d.byNumber, err))
	}
	out := make(map[uint32]string, len(list))
	for i, n := range list {
		entry, ok := values[i].(string)
		if !ok {
			return nil, fmt.Errorf("dictionary has no number %d: %w", n, store.ErrCorrupt)
		}
		token, name, err := parseName(entry)
		if err != nil {
			return nil, fmt.Errorf("dictionary name of %d %w", n, err)
		}
		out[n] = name
		d.raise(n, token)
		cache.Add(n, name)
	}
	return out, nil
}

// parseName reads the entry of a number. Errors: store.ErrCorrupt.
func parseName(entry string) (token, name string, err error) {
	if len(entry) <= tokenSize {
		return "", "", fmt.Errorf("has %d bytes: %w", len(entry), store.ErrCorrupt)
	}
	token, name = entry[:tokenSize], entry[tokenSize:]
	if detail := event.CheckID(name); detail != "" {
		return "", "", fmt.Errorf("%s: %w", detail, store.ErrCorrupt)
	}
	return token, name, nil
}

// lookup presents both dictionaries as store.Names for the time of one call.
type lookup struct {
	ctx          context.Context //nolint:containedctx // store.Names has no room for it, and the call outlives nothing
	items, kinds *names
}

func (l *lookup) Item(n uint32) (event.ItemID, error) {
	s, err := l.items.name(l.ctx, n)
	return event.ItemID(s), err
}

func (l *lookup) Kind(n uint32) (event.Kind, error) {
	s, err := l.kinds.name(l.ctx, n)
	return event.Kind(s), err
}

// patience is how long a command may wait in the server so that its answer is still in time.
func patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Second
	}
	return max(time.Until(deadline)*9/10, time.Millisecond)
}

// errMoved: a cluster has given the slot to another node since its plan was read.
var errMoved = errors.New("slot has moved")

// moved notes the news if err is about a slot that lies elsewhere now.
func (s *Store) moved(ctx context.Context, err error) error {
	if s.cluster != nil && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK")) {
		s.cluster.ReloadState(ctx)
		return fmt.Errorf("%w: %w: %w", store.ErrUnavailable, errMoved, err)
	}
	return err
}

// node returns the client of the server that holds a key.
func (s *Store) node(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster != nil {
		return s.cluster.MasterForKey(ctx, key)
	}
	return s.client.(*redis.Client), nil
}
