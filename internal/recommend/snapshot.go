package recommend

import (
	"io"
	"slices"
	"sync/atomic"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// snapshot is what a request takes at the door: a loaded version and the
// catalogue as it stood. Nothing reachable from it changes, save the scratch of
// the rankers, each of which belongs to one worker.
//
// refs counts its holders; the service itself is one while the snapshot is the
// published one. At zero the snapshot lets its core go.
type snapshot struct {
	*core
	cat  *catalog
	refs atomic.Int64
}

// newSnapshot takes over one reference to c from the caller and returns a
// snapshot with one reference.
func newSnapshot(c *core, cat *catalog) *snapshot {
	s := &snapshot{core: c, cat: cat}
	s.refs.Store(1)
	return s
}

// retain adds a holder, unless the last one has already left.
func (s *snapshot) retain() bool { return retain(&s.refs) }

func (s *snapshot) release() {
	if s.refs.Add(-1) == 0 {
		s.core.release()
	}
}

// core is one loaded version; several snapshots share it when only the
// catalogue changed.
type core struct {
	info    ModelInfo
	model   Model
	vocab   *features.Vocab
	base    []CatalogItem     // as published with the version
	rankers []features.Ranker // by worker number
	counts  []int64           // by item; nil when unknown
	popular []int32           // items by falling count, ties by lower number
	vectors vectors
	cost    *cost
	second  *second // nil without a second stage
	refs    atomic.Int64
	onFree  func() // after the model was closed; never nil
}

func newCore(l *Loaded, workers int) *core {
	c := &core{
		info: l.Info, model: l.Model, vocab: l.Vocab, base: l.Items, counts: l.Counts,
		popular: byCount(l.Model.Items(), l.Counts),
		vectors: newVectors(l.Model),
		cost:    &cost{},
		second:  newSecond(l.Reranker, workers),
		onFree:  func() {},
	}
	c.rankers = make([]features.Ranker, workers)
	for i := range c.rankers {
		c.rankers[i] = l.Model.NewRanker()
	}
	c.refs.Store(1)
	return c
}

func (c *core) retain() bool { return retain(&c.refs) }

func (c *core) release() {
	if c.refs.Add(-1) > 0 {
		return
	}
	closeModel(c.model)
	c.onFree()
}

// closeModel frees what a model holds beyond memory, if anything.
func closeModel(m Model) {
	if closer, ok := m.(io.Closer); ok {
		closer.Close() // it is going away; there is nobody left to tell
	}
}

// number returns the item number of an id, if the model knows it.
func (c *core) number(id event.ItemID) (int32, bool) { return c.vocab.Number(string(id)) }

// retain raises a count that has not yet fallen to zero.
func retain(refs *atomic.Int64) bool {
	for {
		n := refs.Load()
		if n == 0 {
			return false
		}
		if refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// byCount orders the items 0..n-1 by falling count.
func byCount(n int, counts []int64) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	if counts != nil {
		slices.SortStableFunc(order, func(a, b int32) int {
			switch {
			case counts[a] > counts[b]:
				return -1
			case counts[a] < counts[b]:
				return 1
			}
			return 0
		})
	}
	return order
}

// vectors is a model's item table with what cosine needs beside it.
type vectors struct {
	table   []float32 // n x width, the model's own
	inverse []float32 // n; 1/norm of each row, 0 for a row without length
	width   int
}

func newVectors(m Model) vectors {
	table, width := m.ItemVectors()
	if table == nil || width == 0 {
		return vectors{}
	}
	v := vectors{table: table, width: width, inverse: make([]float32, m.Items())}
	for i := range v.inverse {
		row := v.row(int32(i))
		if n := norm(row); n > 0 {
			v.inverse[i] = 1 / n
		}
	}
	return v
}

func (v *vectors) known() bool { return v.table != nil }

func (v *vectors) row(item int32) []float32 {
	return v.table[int(item)*v.width : (int(item)+1)*v.width]
}

// cosine of the angle between two items, 0 if either has no length.
func (v *vectors) cosine(a, b int32) float32 {
	return kernel.Dot(v.row(a), v.row(b)) * v.inverse[a] * v.inverse[b]
}
