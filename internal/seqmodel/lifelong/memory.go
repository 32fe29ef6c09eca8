package lifelong

import (
	"seqrec/internal/attention"
	"seqrec/internal/kernel"
)

// remembering is the optional second interface of a search that can keep what it
// needs of a history from request to request. What it answers equals the
// composed path within rounding; the suite holds it to that.
type remembering interface {
	newMemory(m *Model) memory
}

// memory is what a search keeps of one history.
type memory interface {
	append(h History)
	// aggregate writes u, one row a candidate, to dst. st is the state it belongs
	// to, s lends scratch memory.
	aggregate(dst []float32, s *Scorer, st *State, candidates []int32, at int64)
	bytes() int
}

// searchMemory serves the members whose score is an inner product and a time
// term that all candidates share (dare, twin, eta): keys of the distinct items,
// found by exact scores or by codes.
type searchMemory struct {
	model  *Model
	attend *tables
	k      int
	rows   []float32 // [slot][width], the represented items, side by side: in a large catalogue each may be on a page of its own
	codes  []int32   // by slot: the category; empty without categories
	plain  *attention.History
	coded  *attention.CodedHistory // instead, for eta
}

func (m *dare) newMemory(model *Model) memory {
	return newSearchMemory(model, m.attend, m.k)
}

// newMemory has none to give where a projection mixes item and time, or where
// events are clusters.
func (m *twin) newMemory(model *Model) memory {
	if m.wq != nil || model.config.Model == "twin-v2" {
		return nil
	}
	return newSearchMemory(model, m.tables, m.k)
}

// sharedCategories is up to how many categories a search goes by: of each, some room
// for keys is wasted.
const sharedCategories = 128

// newSearchMemory searches by exact scores.
func newSearchMemory(model *Model, attend *tables, k int) *searchMemory {
	m := &searchMemory{model: model, attend: attend, k: k}
	if c := attend.category; c != nil && c.Val.Rows <= sharedCategories {
		classOf := func(item int32) int32 { return model.categories[item] }
		m.plain = attention.NewClassedHistory(attend.item.Val.Cols, attention.F32, c.Val.V, c.Val.Cols, classOf)
	} else {
		m.plain = attention.NewHistory(attend.identity, attention.F32)
	}
	return m
}

func (m *eta) newMemory(model *Model) memory {
	signs, err := attention.SignsOf(m.hash.Val.Cols, m.hash.Val.V)
	if err != nil {
		panic("lifelong: " + err.Error()) // the shapes were checked when the model was declared
	}
	return &searchMemory{model: model, attend: m.tables, k: m.k, coded: attention.NewCodedHistory(signs, attention.F32)}
}

func (m *searchMemory) append(h History) {
	key := func(dst []float32, item int32) { m.attend.identityOf(dst, item, m.model.categories) }
	switch {
	case m.coded != nil:
		m.coded.Append(h.Items, key)
	case m.plain.Classed():
		m.plain.Append(h.Items, func(dst []float32, item int32) { copy(dst, row(m.attend.item, item)) })
	default:
		m.plain.Append(h.Items, key)
	}
	slots := m.history().Slots()
	slots = slots[len(slots)-len(h.Items):]
	for i, item := range h.Items {
		if item >= 0 {
			m.note(int(slots[i]), item)
		}
	}
}

// note keeps what is represented of the item of a slot.
func (m *searchMemory) note(slot int, item int32) {
	from := row(m.model.represent.item, item)
	if missing := (slot+1)*len(from) - len(m.rows); missing > 0 {
		m.rows = append(m.rows, make([]float32, missing)...)
	}
	copy(m.rows[slot*len(from):], from)
	if m.model.categories == nil {
		return
	}
	if missing := slot + 1 - len(m.codes); missing > 0 {
		m.codes = append(m.codes, make([]int32, missing)...)
	}
	m.codes[slot] = m.model.categories[item]
}

// history is the one of both kinds that there is.
func (m *searchMemory) history() *attention.History {
	if m.coded != nil {
		return m.coded.History
	}
	return m.plain
}

func (m *searchMemory) bytes() int {
	n := 4 * (cap(m.rows) + cap(m.codes))
	if m.coded != nil {
		return n + m.coded.Bytes()
	}
	return n + m.plain.Bytes()
}

// identityOf writes the part of a vector that an item alone decides.
func (t *tables) identityOf(dst []float32, item int32, categories []int32) {
	w := t.item.Val.Cols
	copy(dst[:w], t.item.Val.V[int(item)*w:])
	if t.category != nil {
		copy(dst[w:2*w], t.category.Val.V[int(categories[item])*w:])
	}
}

// recall is the scratch of a Scorer for memories.
type recall struct {
	searcher attention.Searcher
	queries  []float32
	bias     []float32 // of each event
	place    []float32 // time term of the p-th newest event, by p
	placeRow []int32   // its row of the position tables
	gaps     []float32 // of each gap row
	kinds    []float32 // of each kind code
	weights  []float32 // of what was found for one candidate
	rows     []int32   // of one table, for what was found for one candidate
}

// search runs the search of all candidates.
func (m *searchMemory) search(s *Scorer, st *State, candidates []int32, at int64) {
	r, width := &s.recall, m.attend.identity
	r.queries = resize(r.queries, len(candidates)*width)
	for i, item := range candidates {
		m.attend.identityOf(r.queries[i*width:][:width], item, m.model.categories)
	}
	kernel.Scale(r.queries, m.attend.semanticScale(), r.queries)
	s.shareTime(m.attend, st, at)
	if m.coded != nil {
		r.searcher.SearchCodes(m.coded, r.queries, r.bias, m.k)
		return
	}
	r.searcher.Search(m.plain, r.queries, r.bias, m.k)
}

// shareTime fills bias with the part of the score that depends on the event and
// not on the candidate: position, time gap, kind. The candidate's position and
// gap are row 0, its kind is the last row, so each is one number a row.
func (s *Scorer) shareTime(t *tables, st *State, at int64) {
	r, h, c := &s.recall, &st.history, &s.model.config
	n := h.Len()
	r.bias = resize(r.bias, n)
	for p := len(r.place); p <= n; p++ {
		r.placeRow = append(r.placeRow, c.position(p))
		r.place = append(r.place, t.temporalScale()*rowDot(t.position, 0, r.placeRow[p]))
	}
	for i := range r.bias {
		r.bias[i] = r.place[n-i]
	}
	if t.gap != nil {
		for row := len(r.gaps); row < gapRows; row++ {
			r.gaps = append(r.gaps, t.temporalScale()*rowDot(t.gap, 0, int32(row)))
		}
		for i := range r.bias {
			r.bias[i] += r.gaps[gapOf(*h, i, at)]
		}
	}
	if t.kind != nil {
		for row := len(r.kinds); row < c.Kinds; row++ {
			r.kinds = append(r.kinds, t.semanticScale()*rowDot(t.kind, int32(c.Kinds), int32(row)))
		}
		for i := range r.bias {
			r.bias[i] += r.kinds[kindOf(*h, i)]
		}
	}
}

func (m *searchMemory) aggregate(dst []float32, s *Scorer, st *State, candidates []int32, at int64) {
	m.search(s, st, candidates, at)
	width := m.model.represent.width()
	clear(dst)
	for i := range candidates {
		scores, ages := s.recall.searcher.Found(i)
		m.sum(s, dst[i*width:][:width], ages, s.soften(scores), st, at)
	}
}

// sum adds the weighted representations of events, told by their ages, to u, table
// by table: what tables.vectors lays side by side is never laid out.
func (m *searchMemory) sum(s *Scorer, u []float32, ages []int32, weights []float32, st *State, at int64) {
	t, r, h := s.model.represent, &s.recall, &st.history
	if len(ages) == 0 {
		return
	}
	last, slots := int32(h.Len()-1), m.history().Slots()
	rows := resize(r.rows, len(ages))
	r.rows = rows
	add := func(table []float32, width int) {
		kernel.GatherSum(u[:width], table, rows, weights)
		u = u[width:]
	}
	for j, age := range ages {
		rows[j] = slots[last-age]
	}
	add(m.rows, t.item.Val.Cols)
	if t.category != nil {
		for j, slot := range rows {
			rows[j] = m.codes[slot]
		}
		add(t.category.Val.V, t.category.Val.Cols)
	}
	if t.kind != nil {
		for j, age := range ages {
			rows[j] = kindOf(*h, int(last-age))
		}
		add(t.kind.Val.V, t.kind.Val.Cols)
	}
	if t.position != nil {
		for j, age := range ages {
			rows[j] = r.placeRow[age+1]
		}
		add(t.position.Val.V, t.position.Val.Cols)
	}
	if t.gap != nil {
		for j, age := range ages {
			rows[j] = gapOf(*h, int(last-age), at)
		}
		add(t.gap.Val.V, t.gap.Val.Cols)
	}
}

// soften is softmax over scores.
func (s *Scorer) soften(scores []float32) []float32 {
	r := &s.recall
	r.weights = append(r.weights[:0], scores...)
	kernel.Softmax(r.weights, 1)
	return r.weights
}

// explain offers the events behind u of one candidate.
func (m *searchMemory) explain(s *Scorer, st *State, candidate int32, at int64, top *topMoments) {
	m.search(s, st, []int32{candidate}, at)
	scores, ages := s.recall.searcher.Found(0)
	for j, w := range s.soften(scores) {
		top.offer(Moment{st.Len() - 1 - int(ages[j]), w})
	}
}

// bucketMemory serves sdim: running sums by signature, which a new event changes
// in time that does not depend on the history.
type bucketMemory struct {
	model   *Model
	buckets *attention.Buckets
	value   []float32
}

func (m *sdim) newMemory(model *Model) memory {
	signs, err := attention.SignsOf(m.hash.Val.Cols, m.hash.Val.V)
	if err == nil {
		var b *attention.Buckets
		if b, err = attention.NewBuckets(signs, m.tau, m.tables.width()); err == nil {
			return &bucketMemory{model: model, buckets: b, value: make([]float32, m.tables.width())}
		}
	}
	panic("lifelong: " + err.Error()) // the shapes were checked when the model was declared
}

func (m *bucketMemory) append(h History) {
	t := m.model.represent
	for i, item := range h.Items {
		if item < 0 {
			continue
		}
		t.identityOf(m.value, item, m.model.categories)
		if t.kind != nil {
			copy(m.value[t.identity:], row(t.kind, kindOf(h, i)))
		}
		m.buckets.Add(m.value[:t.identity], m.value)
	}
}

func (m *bucketMemory) aggregate(dst []float32, s *Scorer, _ *State, candidates []int32, _ int64) {
	t, r := m.model.represent, &s.recall
	r.queries = resize(r.queries, t.identity)
	for i, item := range candidates {
		t.identityOf(r.queries, item, m.model.categories)
		m.buckets.Attend(dst[i*t.width():][:t.width()], r.queries)
	}
}

func (m *bucketMemory) bytes() int { return m.buckets.Bytes() + 4*cap(m.value) }
