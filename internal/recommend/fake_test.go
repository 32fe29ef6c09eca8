package recommend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ringModel knows the answer: item i is followed by i+1, then i+2, and so on
// around the ring of n items. Scores fall from 1 and depend on nothing else.
type ringModel struct {
	n      int
	table  []float32 // n x 2: points on the circle; nil for a model without vectors
	few    int       // ranks no more than this many items, if set
	poison int32     // panics on a history that holds this item, if above 0
	gate   *gate     // nil: never waits
	calls  *calls
	closed *atomic.Int32
}

// gate holds rankers back until it is opened, and says when one arrived.
type gate struct {
	arrived chan int // batch size
	open    chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan int, 1000), open: make(chan struct{})} }

// calls remembers the batch sizes and last items a model was asked about.
type calls struct {
	mu    sync.Mutex
	sizes []int
	last  []int32
}

func newRing(n int) *ringModel {
	m := &ringModel{n: n, calls: &calls{}, closed: &atomic.Int32{}, table: make([]float32, 2*n)}
	for i := range n {
		m.table[2*i], m.table[2*i+1] = float32(n-i), float32(i) // neighbours by number are neighbours by angle
	}
	return m
}

func (m *ringModel) Items() int       { return m.n }
func (m *ringModel) Window() int      { return 50 }
func (m *ringModel) Describe() string { return fmt.Sprintf("ring n%d", m.n) }
func (m *ringModel) Close() error     { m.closed.Add(1); return nil }
func (m *ringModel) ItemVectors() ([]float32, int) {
	if m.table == nil {
		return nil, 0
	}
	return m.table, 2
}
func (m *ringModel) NewRanker() features.Ranker { return &ringRanker{m: m} }

type ringRanker struct {
	m      *ringModel
	top    kernel.TopK
	scores []float32
	mask   []uint64
	busy   atomic.Bool
}

func (r *ringRanker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	if !r.busy.CompareAndSwap(false, true) {
		panic("a ranker was used by two goroutines")
	}
	defer r.busy.Store(false)
	m := r.m
	m.calls.mu.Lock()
	m.calls.sizes = append(m.calls.sizes, len(queries))
	for _, q := range queries {
		m.calls.last = append(m.calls.last, q.History[len(q.History)-1])
	}
	m.calls.mu.Unlock()
	if m.gate != nil {
		m.gate.arrived <- len(queries)
		<-m.gate.open
	}
	for i, q := range queries {
		if m.poison > 0 && slices.Contains(q.History, m.poison) {
			panic("poisoned history")
		}
		r.scores = append(r.scores[:0], make([]float32, m.n)...)
		r.score(r.scores, q)
		blockedMask := q.Blocked
		if q.Candidates != nil {
			r.mask = append(r.mask[:0], q.Blocked...)
			allowOnly(r.mask, q.Blocked, q.Candidates)
			blockedMask = r.mask
		}
		r.top.Reset(q.K)
		r.top.Scan(r.scores, 0, blockedMask)
		dst[i] = r.top.Sorted(dst[i])
		if m.few > 0 && len(dst[i]) > m.few {
			dst[i] = dst[i][:m.few]
		}
	}
}

func (r *ringRanker) Score(dst []float32, queries []features.Query) {
	for i, q := range queries {
		r.score(dst[i*r.m.n:(i+1)*r.m.n], q)
	}
}

func (r *ringRanker) score(dst []float32, q features.Query) {
	n := r.m.n
	last := int(q.History[len(q.History)-1])
	for i := range dst {
		dst[i] = 1 - float32((i-last-1+n)%n)/float32(n)
	}
}

func (c *calls) reset() {
	c.mu.Lock()
	c.sizes, c.last = nil, nil
	c.mu.Unlock()
}

func (c *calls) saw(item int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.last, item)
}

// id names item n of a ring: "item7".
func id(n int) event.ItemID { return event.ItemID(fmt.Sprintf("item%d", n)) }

func ids(ns ...int) []event.ItemID {
	out := make([]event.ItemID, len(ns))
	for i, n := range ns {
		out[i] = id(n)
	}
	return out
}

// bare is a history of items, without times.
func bare(ns ...int) []event.Event {
	out := make([]event.Event, len(ns))
	for i, n := range ns {
		out[i].Item = id(n)
	}
	return out
}

// load wraps a ring model as version v. Item 0 is the most popular, then 1, ...
func load(m *ringModel, version string) *Loaded {
	l := &Loaded{
		Info:   ModelInfo{Name: "ring", Version: version, Items: m.n},
		Model:  m,
		Vocab:  features.NewVocab(),
		Counts: make([]int64, m.n),
	}
	for i := range m.n {
		l.Vocab.Add(string(id(i)))
		l.Counts[i] = int64(1000 - i)
		l.Items = append(l.Items, CatalogItem{ID: id(i), Title: fmt.Sprintf("Title %d", i)})
	}
	return l
}

// start returns a service that serves m as version "v1", closed with the test.
func start(t testing.TB, cfg Config, store Store, m *ringModel) *Service {
	t.Helper()
	s, err := New(cfg, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	g := m.gate
	m.gate = nil // golden requests pass
	if err := s.Serve(t.Context(), load(m, "v1")); err != nil {
		t.Fatal(err)
	}
	m.calls.reset()
	m.gate = g
	return s
}

func predict(t testing.TB, s *Service, req Request) Answer {
	t.Helper()
	ans, err := s.Predict(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return ans
}

func answered(a Answer) []event.ItemID {
	var out []event.ItemID
	for _, item := range a.Items {
		out = append(out, item.ID)
	}
	return out
}

// memStore is a Store in memory. err, if set, is what every call returns.
type memStore struct {
	mu     sync.Mutex
	events map[event.UserID][]event.Event
	items  map[event.ItemID]CatalogItem
	err    error
	stall  bool // Recent waits for its context to end
}

func newMemStore() *memStore {
	return &memStore{events: map[event.UserID][]event.Event{}, items: map[event.ItemID]CatalogItem{}}
}

func (m *memStore) Append(_ context.Context, events []event.Event) (AppendResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r AppendResult
	if m.err != nil {
		return r, m.err
	}
	for _, e := range events {
		e = e.Canonical()
		if slices.Contains(m.events[e.User], e) {
			r.Duplicate++
			continue
		}
		m.events[e.User] = append(m.events[e.User], e)
		slices.SortFunc(m.events[e.User], event.Compare)
		r.Accepted++
	}
	return r, nil
}

func (m *memStore) Recent(ctx context.Context, user event.UserID, n int) ([]event.Event, error) {
	if m.stall {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.events[user]
	return slices.Clone(h[max(0, len(h)-n):]), m.err
}

func (m *memStore) History(context.Context, event.UserID, Page) ([]event.Event, string, error) {
	return nil, "", errors.New("not part of these tests")
}

func (m *memStore) Erase(_ context.Context, user event.UserID) (Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Receipt{ID: "receipt", Events: len(m.events[user])}
	delete(m.events, user)
	return r, m.err
}

func (m *memStore) Erasure(context.Context, string) (Receipt, error) { return Receipt{}, ErrNotFound }

func (m *memStore) WriteErasures(context.Context, io.Writer) error { return m.err }

func (m *memStore) PutItems(_ context.Context, items []CatalogItem) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, item := range items {
		m.items[item.ID] = item
	}
	return m.err
}

func (m *memStore) Item(_ context.Context, id event.ItemID) (CatalogItem, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if item, ok := m.items[id]; ok {
		return item, nil
	}
	return CatalogItem{}, ErrNotFound
}

func (m *memStore) DeleteItem(_ context.Context, id event.ItemID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.items[id]; !ok {
		return ErrNotFound
	}
	delete(m.items, id)
	return nil
}

func (m *memStore) EachItem(_ context.Context, fn func(CatalogItem) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, item := range m.items {
		if err := fn(item); err != nil {
			return err
		}
	}
	return m.err
}

// memVersions is a Versions in memory.
type memVersions struct {
	mu      sync.Mutex
	load    map[string]func() (*Loaded, error)
	current []string // history; the last is current
	full    error    // of every promotion, if set
	changed chan string
}

func (v *memVersions) Load(version string) (*Loaded, error) {
	v.mu.Lock()
	fn := v.load[version]
	v.mu.Unlock()
	if fn == nil {
		return nil, ErrUnknownModel
	}
	return fn()
}

func (v *memVersions) List() ([]ModelInfo, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []ModelInfo
	for version := range v.load {
		out = append(out, ModelInfo{Name: "ring", Version: version})
	}
	slices.SortFunc(out, func(a, b ModelInfo) int { return -cmpString(a.Version, b.Version) })
	return out, nil
}

func (v *memVersions) Current() (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.current) == 0 {
		return "", nil
	}
	return v.current[len(v.current)-1], nil
}

func (v *memVersions) Promote(version string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full != nil {
		return v.full
	}
	v.current = append(v.current, version)
	return nil
}

func (v *memVersions) Past() ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	past := slices.Clone(v.current[:max(0, len(v.current)-1)])
	slices.Reverse(past)
	return past, nil
}

func (v *memVersions) Rollback(from string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.current); n > 0 && v.current[n-1] != from {
		return "", ErrConflict
	}
	if len(v.current) < 2 {
		return "", ErrUnknownModel
	}
	v.current = v.current[:len(v.current)-1]
	return v.current[len(v.current)-1], nil
}

func (v *memVersions) Watch(ctx context.Context, _ time.Duration, accept func(string) error, fault func(error)) error {
	for {
		select {
		case version := <-v.changed:
			if err := accept(version); err != nil {
				fault(err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
