package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Dictionaries: the second byte of their keys.
const (
	itemNames = 'i'
	kindNames = 'k'
	// kindCache is the size of the cache of kinds, of which a service has a few.
	kindCache = 1 << 10
)

// names is a dictionary: names get small numbers at first sight and keep them for ever.
type names struct {
	db    *pebble.DB
	space byte
	cache *store.NameCache

	mu   sync.Mutex // held while numbers are given out
	next uint32

	misses atomic.Uint64
}

// loadNames opens a dictionary with a cache of at least size entries.
func loadNames(db *pebble.DB, space byte, size int) (*names, error) {
	d := &names{db: db, space: space, cache: store.NewNameCache(size)}
	last := d.numberKey(nil, math.MaxUint32)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: d.numberKey(nil, 0), UpperBound: append(last, 0)})
	if err != nil {
		return nil, fmt.Errorf("read dictionary: %w", classify(err))
	}
	if it.Last() {
		if len(it.Key()) != len(last) {
			return nil, errors.Join(fmt.Errorf("read dictionary: key of %d bytes: %w", len(it.Key()), store.ErrCorrupt), it.Close())
		}
		d.next = binary.BigEndian.Uint32(it.Key()[3:]) + 1
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("read dictionary: %w", classify(err))
	}
	return d, nil
}

func (d *names) numberKey(dst []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, nameSpace, d.space, 'n'), n)
}

func (d *names) nameKey(dst []byte, name string) []byte {
	return append(append(dst, nameSpace, d.space, 's'), name...)
}

// name returns the name of a number. Errors: store.ErrCorrupt if the number was never given out.
func (d *names) name(n uint32) (string, error) {
	if name, ok := d.cache.Name(n); ok {
		return name, nil
	}
	d.misses.Add(1)
	value, closer, err := d.db.Get(d.numberKey(make([]byte, 0, 16), n))
	if errors.Is(err, pebble.ErrNotFound) {
		return "", fmt.Errorf("dictionary has no number %d: %w", n, store.ErrCorrupt)
	} else if err != nil {
		return "", fmt.Errorf("read dictionary number %d: %w", n, classify(err))
	}
	name := string(value)
	closer.Close()
	if detail := event.CheckID(name); detail != "" {
		return "", fmt.Errorf("dictionary name of %d %s: %w", n, detail, store.ErrCorrupt)
	}
	d.cache.Add(n, name)
	return name, nil
}

// number returns the number of a name and whether it has one.
func (d *names) number(name string) (uint32, bool, error) {
	if n, ok := d.cache.Number(name); ok {
		return n, true, nil
	}
	d.misses.Add(1)
	return d.stored(name)
}

// stored is number without a look into the cache.
func (d *names) stored(name string) (uint32, bool, error) {
	value, closer, err := d.db.Get(d.nameKey(make([]byte, 0, 64), name))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	} else if err != nil {
		return 0, false, fmt.Errorf("read dictionary name %q: %w", name, classify(err))
	}
	defer closer.Close()
	if len(value) != 4 {
		return 0, false, fmt.Errorf("dictionary number of %q has %d bytes: %w", name, len(value), store.ErrCorrupt)
	}
	n := binary.BigEndian.Uint32(value)
	d.cache.Add(n, strings.Clone(name))
	return n, true, nil
}

// assign gives numbers to those of the names that have none. The new entries are in the log before anyone can see them,
// hence before any history that uses them: whenever such a history has reached the disk, they have too.
func (d *names) assign(list []string) error {
	if len(list) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.db.NewBatch()
	defer b.Close()
	fresh := make(map[string]uint32, len(list))
	for _, name := range list {
		if _, given := fresh[name]; given {
			continue
		}
		if _, found, err := d.stored(name); err != nil {
			return err
		} else if found {
			continue
		}
		if d.next == math.MaxUint32 {
			return fmt.Errorf("dictionary is full at %d names", d.next)
		}
		// A batch in memory takes every write.
		_ = b.Set(d.numberKey(nil, d.next), []byte(name), nil)
		_ = b.Set(d.nameKey(nil, name), binary.BigEndian.AppendUint32(nil, d.next), nil)
		fresh[strings.Clone(name)] = d.next // the caller's may be part of a large body
		d.next++
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := d.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("write dictionary: %w", err)
	}
	for name, n := range fresh {
		d.cache.Add(n, name)
	}
	return nil
}

// size returns how many numbers have been given out.
func (d *names) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.next)
}

// lookup presents both dictionaries as store.Names.
type lookup struct{ items, kinds *names }

func (l lookup) Item(n uint32) (event.ItemID, error) {
	s, err := l.items.name(n)
	return event.ItemID(s), err
}

func (l lookup) Kind(n uint32) (event.Kind, error) {
	s, err := l.kinds.name(n)
	return event.Kind(s), err
}
