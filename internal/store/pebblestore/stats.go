package pebblestore

import (
	"sync/atomic"

	"seqrec/internal/store"
)

// Stats is what a store can tell about itself, for metrics. Counters run from Open.
type Stats struct {
	Accepted, Duplicate, Dropped uint64 // events, as in store.Result
	Erased                       uint64 // users
	ItemNumbers, KindNumbers     int    // sizes of the dictionaries
	NameMisses                   uint64 // dictionary look-ups that were not answered from memory
	DiskBytes                    uint64 // files of the store
	LogBytes                     uint64 // written to the log
	Tables                       int64  // tables on disk
	CompactionDebt               uint64 // bytes that compaction has still to go over
}

type counters struct {
	accepted, duplicate, dropped, erased atomic.Uint64
}

func (c *counters) add(r store.Result) {
	c.accepted.Add(uint64(r.Accepted))
	c.duplicate.Add(uint64(r.Duplicate))
	c.dropped.Add(uint64(r.Dropped))
}

// Stats returns the present figures; zeros after Close. It is cheap enough to be asked every few seconds.
func (s *Store) Stats() Stats {
	if s.enter() != nil {
		return Stats{}
	}
	defer s.calls.Done()
	m := s.db.Metrics()
	return Stats{
		Accepted:       s.counters.accepted.Load(),
		Duplicate:      s.counters.duplicate.Load(),
		Dropped:        s.counters.dropped.Load(),
		Erased:         s.counters.erased.Load(),
		ItemNumbers:    s.items.size(),
		KindNumbers:    s.kinds.size(),
		NameMisses:     s.items.misses.Load() + s.kinds.misses.Load(),
		DiskBytes:      m.DiskSpaceUsage(),
		LogBytes:       m.WAL.BytesWritten,
		Tables:         m.Total().TablesCount,
		CompactionDebt: m.Compact.EstimatedDebt,
	}
}
