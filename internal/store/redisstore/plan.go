package redisstore

import (
	"math"
	"math/bits"
	"strconv"
	"time"
)

// Load says what a Redis is to hold, for Plan. Zero lengths and gaps have defaults.
type Load struct {
	Users   int           // with a history
	Events  int           // of each; those above the cap are not kept
	Cap     int           // most events kept of each; 0 means 10,000, as in Options
	Items   int           // distinct items in all histories
	Gap     time.Duration // mean time between two events of a user; 0 means a day
	UserLen int           // bytes of a user id; 0 means 12
	ItemLen int           // bytes of an item id; 0 means 10
	Prefix  string        // of the keys; "" means "sr"
	Cluster bool          // entries of a cluster's keys are larger
}

// Memory is what Plan expects a Redis to use, in bytes.
type Memory struct {
	User       float64 // keys and values of one user, with their share of the hash tables
	Histories  float64 // of all users
	Dictionary float64 // of all items
	Base       float64 // a Redis without data
	Total      float64 // compares with used_memory
}

const (
	entrySize  = 24      // dictEntry: key, value, next
	metaSize   = 16      // more of it in a cluster: neighbours within the slot
	objectSize = 16      // robj
	dictSize   = 56      // dict
	baseMemory = 5 << 18 // measured: about 1.2 MiB with our scripts loaded and some connections
)

// Plan predicts the memory of a Redis: packed events, plus what Redis and its allocator add to each key.
// docs/format/redis.md derives it. Fragmentation, the buffers of connections and copy-on-write are not part of it.
func Plan(l Load) Memory {
	l = l.withDefaults()
	var m Memory
	m.User = l.user()
	m.Histories = float64(l.Users) * m.User
	m.Dictionary = float64(l.Items) * l.item()
	m.Base = baseMemory
	m.Total = m.Histories + m.Dictionary + m.Base
	return m
}

func (l Load) withDefaults() Load {
	if l.Gap == 0 {
		l.Gap = 24 * time.Hour
	}
	if l.UserLen == 0 {
		l.UserLen = 12
	}
	if l.ItemLen == 0 {
		l.ItemLen = 10
	}
	if l.Prefix == "" {
		l.Prefix = "sr"
	}
	if l.Cap == 0 {
		l.Cap = defaultCap
	}
	l.Events = min(l.Events, l.Cap)
	return l
}

// user is what one history takes.
func (l Load) user() float64 {
	inHead, chunks := l.Events, 0
	if l.Events > tail {
		// The newest chunk overflows at tail and falls back by seal: it is anywhere in between.
		chunks = (l.Events - (tail - seal/2)) / seal
		inHead = l.Events - chunks*seal
	}
	key := len(l.Prefix) + len(":{}") + l.UserLen
	bytes := l.key(key) + spread(l.chunk(inHead)+4+varint(float64(chunks*seal)))
	if chunks == 0 {
		return bytes
	}
	// The sealed chunks: a hash with a field of the key of the oldest event for each, and the revision.
	field := 8 + l.ItemLen + 1 + len("view")
	one := class(entrySize) + text(float64(field)) + spread(l.chunk(seal))
	revision := class(entrySize) + text(1) + text(10)
	table := 8 * float64(uint(1)<<bits.Len(uint(chunks)))
	return bytes + l.key(key+len(":s")) + class(dictSize) + float64(chunks)*one + revision + table
}

// key is what a key with a time to live takes beside its value: name, object, and an entry with its share of the table in
// each of two dictionaries. A table has one to two places of 8 bytes for a key.
func (l Load) key(length int) float64 {
	entry := float64(entrySize)
	if l.Cluster {
		entry += metaSize
	}
	places := 8 * float64(uint(1)<<bits.Len(uint(max(l.Users, 1)-1))) / float64(max(l.Users, 1))
	return text(float64(length)) + class(objectSize) + class(entry) + class(entrySize) + 2*places
}

// item is what a name takes in both directions of a dictionary.
func (l Load) item() float64 {
	places := 8 * float64(uint(1)<<bits.Len(uint(max(l.Items, 1)-1))) / float64(max(l.Items, 1))
	digits := float64(len(strconv.Itoa(l.Items)))
	forth := text(float64(l.ItemLen)) + text(4+tokenSize)
	back := text(digits) + text(float64(tokenSize+l.ItemLen))
	return 2*(class(entrySize)+places) + forth + back
}

// chunk is the packed form of n events: mark, flags, count, newest time, unit, checksum, then the events.
func (l Load) chunk(n int) float64 {
	return 2 + varint(float64(n)) + 6 + 1 + 4 + float64(n)*l.itemBytes() + float64(max(n-1, 0))*l.gapBytes()
}

// itemBytes is the expected length of an item number. Numbers are given out at first sight, so those of items that are
// often seen are small: by Zipf's law, the first n of N items have a share of about ln(n)/ln(N) of the events.
func (l Load) itemBytes() float64 {
	bytes := 1.0
	for limit := 64.0; limit < float64(l.Items); limit *= 128 {
		bytes += 1 - math.Log(limit+1)/math.Log(float64(l.Items)+1)
	}
	return bytes
}

// gapBytes is the expected length of a time difference in milliseconds, if gaps are exponential.
func (l Load) gapBytes() float64 {
	mean, bytes := float64(l.Gap.Milliseconds()), 1.0
	for limit := 128.0; limit < 1e13; limit *= 128 {
		bytes += math.Exp(-limit / mean)
	}
	return bytes
}

// varint is the length of the packed form of n.
func varint(n float64) float64 { return math.Ceil(float64(bits.Len64(uint64(n)|1)) / 7) }

// text is what a string of Redis takes: a header of 1, 3 or 5 bytes, the bytes, a zero, in a class of the allocator.
func text(n float64) float64 {
	header := 5.0
	switch {
	case n < 32:
		header = 1
	case n < 256:
		header = 3
	}
	return class(header + n + 1)
}

// spread is text of a length that varies by some percent from user to user.
func spread(n float64) float64 {
	sum, steps := 0.0, 0
	for f := 0.94; f <= 1.06; f += 0.005 {
		sum += text(math.Round(n * f))
		steps++
	}
	return sum / float64(steps)
}

// class is what jemalloc gives for n bytes: multiples of 16 up to 128, then four classes for each doubling.
func class(n float64) float64 {
	if n <= 8 {
		return 8
	}
	step := 16.0
	if n > 128 {
		step = math.Exp2(math.Ceil(math.Log2(n)) - 3)
	}
	return math.Ceil(n/step) * step
}
