package redisstore

import (
	"sync/atomic"

	"seqrec/internal/store"
)

// Stats is what this process can tell about its use of the store, for metrics. Counters run from Open.
type Stats struct {
	Accepted, Duplicate, Dropped uint64 // events, as in store.Result
	Erased                       uint64 // users
	Conflicts                    uint64 // plans made anew because another writer was faster
	NameMisses                   uint64 // dictionary look-ups that were not answered from memory
}

type counters struct {
	accepted, duplicate, dropped, erased, conflicts atomic.Uint64
}

func (c *counters) add(r store.Result) {
	c.accepted.Add(uint64(r.Accepted))
	c.duplicate.Add(uint64(r.Duplicate))
	c.dropped.Add(uint64(r.Dropped))
}

// Stats returns the present figures.
func (s *Store) Stats() Stats {
	return Stats{
		Accepted: s.counters.accepted.Load(), Duplicate: s.counters.duplicate.Load(), Dropped: s.counters.dropped.Load(),
		Erased: s.counters.erased.Load(), Conflicts: s.counters.conflicts.Load(),
		NameMisses: s.items.misses.Load() + s.kinds.misses.Load(),
	}
}
