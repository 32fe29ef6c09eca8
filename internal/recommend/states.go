package recommend

import (
	"container/list"
	"slices"
	"sync"

	"seqrec/internal/event"
	"seqrec/internal/seqmodel/lifelong"
)

// states keeps the search state of users between requests, so that a request pays
// for its new events alone. A state is lent only if it is what would be built of
// the history at hand: it is of the same model, and every event in it stands at
// the same place in that history. So an event that comes late, one that falls off
// (at the cap that is seldom the first: see steady) and an erasure all make a state
// worthless, and answers do not depend on what is kept.
//
// States of members that read the whole history each time hold nothing but a copy of
// it: they are not kept, and not counted.
//
// Memory is bounded by bytes; who was not asked for longest goes first. Nobody
// waits for a lock while another scores: who finds a state busy builds his own.
type states struct {
	limit int64

	mu      sync.Mutex
	model   *lifelong.Model // whose states are kept; nil for none
	byUser  map[event.UserID]*list.Element
	order   *list.List // of *kept, the one asked for last first
	erased  uint64     // erasures so far
	counted StateStats
}

// kept is the state of one user. Scorers read the state under the read lock,
// Append writes it under the write lock. bytes belongs to states.mu.
type kept struct {
	user  event.UserID
	bytes int64

	mu    sync.RWMutex
	state *lifelong.State
}

// StateStats tells how the search states of users are kept.
type StateStats struct {
	Hits, Extended, Built int64 // requests by what was there: all of the state, its older part, nothing of use
	Evicted               int64 // states that went for want of room
	States                int
	Bytes                 int64
}

// keptBytes is about what a state takes beside itself: its entry, its key.
const keptBytes = 256

func newStates(limit int64) *states {
	return &states{limit: limit, byUser: map[event.UserID]*list.Element{}, order: list.New()}
}

// keep makes model the one whose states are kept, nil for none, and lets those of
// another go.
func (c *states) keep(model *lifelong.Model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.model == model {
		return
	}
	c.model = model
	clear(c.byUser)
	c.order.Init()
	c.counted.Bytes = 0
}

// erase forgets a user, and whatever was read of anybody before now will not be
// kept any more: it may be of that user.
func (c *states) erase(user event.UserID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erased++
	if e := c.byUser[user]; e != nil {
		c.remove(e)
	}
}

// forget drops the state of a user.
func (c *states) forget(user event.UserID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byUser[user]; e != nil {
		c.remove(e)
	}
}

// remove takes an element out. Callers hold mu.
func (c *states) remove(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	delete(c.byUser, k.user)
	c.counted.Bytes -= k.bytes
}

func (c *states) stats() StateStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.counted
	s.States = len(c.byUser)
	return s
}

// owner says whose history a state is of. One without a user is never kept.
type owner struct {
	user   event.UserID
	model  *lifelong.Model
	erased uint64 // erasures before the history was read
}

// owner is to be called before the history is read.
func (c *states) owner(user event.UserID, model *lifelong.Model) owner {
	c.mu.Lock()
	defer c.mu.Unlock()
	return owner{user, model, c.erased}
}

// find gives the kept state of an owner, nil if there is none.
func (c *states) find(o owner) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.user == "" || o.model != c.model {
		return nil
	}
	e := c.byUser[o.user]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept)
}

// covered is how many events of a history a state is there for already. It may
// be another number a moment later.
func (c *states) covered(o owner, h *lifelong.History) int {
	k := c.find(o)
	if k == nil || !k.mu.TryRLock() {
		return 0
	}
	defer k.mu.RUnlock()
	return k.prefix(h)
}

// lend calls fn with the state of a whole history: the kept one, brought up to
// date, or one that is built and kept from now on. fn must not keep it.
func (c *states) lend(o owner, h *lifelong.History, fn func(*lifelong.State)) {
	if k := c.find(o); k != nil && (c.read(k, h, fn) || c.extend(o, k, h, fn)) {
		return
	}
	st := o.model.NewState()
	st.Append(*h)
	fn(st)
	if st.Remembers() {
		c.put(o, st)
	}
}

// read lends a kept state that holds the whole history; false if it does not, or
// is busy.
func (c *states) read(k *kept, h *lifelong.History, fn func(*lifelong.State)) bool {
	if !k.mu.TryRLock() {
		return false
	}
	defer k.mu.RUnlock()
	if k.prefix(h) != h.Len() {
		return false
	}
	fn(k.state)
	c.count(&c.counted.Hits)
	return true
}

// extend appends what is new to a kept state and lends it; false if older events
// differ, or it is busy.
func (c *states) extend(o owner, k *kept, h *lifelong.History, fn func(*lifelong.State)) bool {
	if !k.mu.TryLock() {
		return false
	}
	defer k.mu.Unlock()
	n := k.prefix(h)
	if n == 0 {
		return false
	}
	k.state.Append(after(h, n))
	fn(k.state)
	c.resize(k)
	c.count(&c.counted.Extended)
	return true
}

// prefix is how many events the state holds, if the history begins with them,
// else 0. Callers hold k.mu.
func (k *kept) prefix(h *lifelong.History) int {
	old := k.state.History()
	n := old.Len()
	if n > h.Len() || !begins(h.Items, old.Items) || !begins(h.Times, old.Times) || !begins(h.Kinds, old.Kinds) {
		return 0
	}
	return n
}

// begins reports whether a column begins with another; a column that is missing
// begins with a missing one alone.
func begins[T int32 | int64](all, first []T) bool {
	return (len(all) == 0) == (len(first) == 0) && len(first) <= len(all) && slices.Equal(all[:len(first)], first)
}

// after is a history without its oldest n events.
func after(h *lifelong.History, n int) lifelong.History {
	rest := lifelong.History{Items: h.Items[n:]}
	if len(h.Times) > 0 {
		rest.Times = h.Times[n:]
	}
	if len(h.Kinds) > 0 {
		rest.Kinds = h.Kinds[n:]
	}
	return rest
}

// put keeps a state in place of what is held of its owner.
func (c *states) put(o owner, st *lifelong.State) {
	k := &kept{user: o.user, state: st, bytes: st.Bytes() + int64(len(o.user)) + keptBytes}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counted.Built++
	if o.user == "" || o.model != c.model || o.erased != c.erased || k.bytes > c.limit {
		return
	}
	if e := c.byUser[o.user]; e != nil {
		c.remove(e)
	}
	c.byUser[o.user] = c.order.PushFront(k)
	c.counted.Bytes += k.bytes
	c.shrink()
}

// resize takes note of how large a state has become. The caller holds k.mu.
func (c *states) resize(k *kept) {
	bytes := k.state.Bytes() + int64(len(k.user)) + keptBytes
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byUser[k.user]
	if e == nil || e.Value.(*kept) != k {
		return // it went while it was in use
	}
	c.counted.Bytes += bytes - k.bytes
	k.bytes = bytes
	if bytes > c.limit { // the others would not make room for it
		c.remove(e)
		c.counted.Evicted++
	}
	c.shrink()
}

// shrink lets the states go that were not asked for longest until the rest fits.
// Callers hold mu.
func (c *states) shrink() {
	for c.counted.Bytes > c.limit {
		c.remove(c.order.Back())
		c.counted.Evicted++
	}
}

func (c *states) count(of *int64) {
	c.mu.Lock()
	*of++
	c.mu.Unlock()
}
