package store

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// NameCache keeps entries of a dictionary in bounded memory. The numbers of a dictionary are dense, so it is two plain
// tables with one place for each number (modulo their size) and each hash of a name. A newcomer takes the place of
// whoever was there, which bounds memory and needs no lock to read. All methods may be called concurrently.
type NameCache struct {
	byNumber []atomic.Pointer[named]
	byName   []atomic.Pointer[named]
	seed     maphash.Seed
}

// named is one entry of the dictionary.
type named struct {
	number uint32
	name   string
}

// NewNameCache returns an empty cache of at least size entries.
func NewNameCache(size int) *NameCache {
	slots := 1 << bits.Len(uint(max(size, 2)-1))
	return &NameCache{
		seed: maphash.MakeSeed(), byNumber: make([]atomic.Pointer[named], slots), byName: make([]atomic.Pointer[named], 2*slots),
	}
}

func (c *NameCache) slot(name string) *atomic.Pointer[named] {
	return &c.byName[maphash.String(c.seed, name)&uint64(len(c.byName)-1)]
}

// Add remembers an entry. It keeps name, which should not be part of something larger.
func (c *NameCache) Add(number uint32, name string) {
	e := &named{number, name}
	c.byNumber[number&uint32(len(c.byNumber)-1)].Store(e)
	c.slot(name).Store(e)
}

// Name returns the name of a number and whether the cache has it.
func (c *NameCache) Name(number uint32) (string, bool) {
	if e := c.byNumber[number&uint32(len(c.byNumber)-1)].Load(); e != nil && e.number == number {
		return e.name, true
	}
	return "", false
}

// Number returns the number of a name and whether the cache has it.
func (c *NameCache) Number(name string) (uint32, bool) {
	if e := c.slot(name).Load(); e != nil && e.name == name {
		return e.number, true
	}
	return 0, false
}
