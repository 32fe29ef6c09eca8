package lifelong

import (
	"seqrec/internal/attention"
	"seqrec/internal/tensor"
)

// sdim attends by hash collision, without a search (Cao et al., CIKM 2022, arXiv
// 2205.10249): see tensor.CollideArgs. A behaviour at angle a to the target is
// counted with expected weight (1 - a/pi)^Tau. Its state for one history is a
// table of running sums, so a candidate costs the same however long the history.
type sdim struct {
	tables *tables
	hash   *tensor.Param // bits x identity
	tau    int
}

func newSDIM(p *tensor.Params, c Config, represent *tables) *sdim {
	return &sdim{tables: represent, hash: p.Add("hash", c.Bits, represent.identity, true), tau: c.Tau}
}

func (m *sdim) auxiliary() bool { return false }

func (m *sdim) aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var) {
	r := m.tables.vectors(t, &in.history)
	qs := signs(t, m.tables.vectors(t, &in.candidates), m.hash)
	ks := signs(t, r, m.hash)
	qo, ko := in.offsets(t)
	u = t.Collide(r, tensor.CollideArgs{QSigns: qs.Mat, KSigns: ks.Mat, QOffsets: qo, KOffsets: ko, Tau: m.tau})
	if in.explain {
		m.explain(in, qs.Mat, ks.Mat)
	}
	return u, nil
}

// explain lists, for each candidate, the behaviours that collide with it, each
// with the share of groups in which it does over the number of its companions
// there: what its vector counts before the sums are normalised.
func (m *sdim) explain(in *input, qs, ks tensor.Mat) {
	in.sel.Pairs, in.sel.Keys, in.sel.Offsets, in.weights = nil, in.sel.Keys[:0], append(in.sel.Offsets[:0], 0), in.weights[:0]
	bits, groups := qs.Cols, qs.Cols/m.tau
	for b := range len(in.qOffsets) - 1 {
		lo, hi := int(in.kOffsets[b]), int(in.kOffsets[b+1])
		for r := int(in.qOffsets[b]); r < int(in.qOffsets[b+1]); r++ {
			share := make([]float32, hi-lo)
			for g := range groups {
				var hit []int
				for i := lo; i < hi; i++ {
					if equal(qs.V[r*bits+g*m.tau:][:m.tau], ks.V[i*bits+g*m.tau:][:m.tau]) {
						hit = append(hit, i-lo)
					}
				}
				for _, i := range hit {
					share[i] += 1 / float32(groups*len(hit))
				}
			}
			for i, w := range share {
				if w > 0 {
					in.sel.Keys, in.weights = append(in.sel.Keys, int32(lo+i)), append(in.weights, w)
				}
			}
			in.sel.Offsets = append(in.sel.Offsets, int32(len(in.sel.Keys)))
		}
	}
}

func equal(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// explainer hashes each distinct item of the history once. A candidate then costs a
// comparison of signatures for each of them, and a look at each event.
func (m *sdim) explainer(model *Model, h History) func(candidate int32, top *topMoments) {
	signs, err := attention.SignsOf(m.hash.Val.Cols, m.hash.Val.V)
	if err != nil {
		panic("lifelong: " + err.Error()) // the shapes were checked when the model was declared
	}
	c := &collisions{
		sdim: m, signs: signs, categories: model.categories, groups: m.hash.Val.Rows / m.tau,
		key: make([]float32, m.tables.identity), code: make([]uint64, signs.Words()),
	}
	c.count(h)
	return c.explain
}

// collisions is what explaining needs of one history.
type collisions struct {
	*sdim
	signs      *attention.Signs
	categories []int32
	groups     int

	slots      []int32   // of each event: its distinct item, -1 for an unknown one
	signatures []uint16  // [slot][group]
	events     []int32   // [group][signature]: how many events have it
	share      []float32 // by slot, for one candidate
	key        []float32 // of one item
	code       []uint64  // its hash
}

func (c *collisions) count(h History) {
	slotOf, times := map[int32]int32{}, []int32(nil) // how many events each distinct item has
	c.slots = make([]int32, h.Len())
	for i, item := range h.Items {
		if c.slots[i] = -1; item < 0 {
			continue
		}
		slot, known := slotOf[item]
		if !known {
			slot = int32(len(times))
			slotOf[item], times, c.signatures = slot, append(times, 0), c.sign(c.signatures, item)
		}
		c.slots[i] = slot
		times[slot]++
	}
	c.events, c.share = make([]int32, c.groups<<c.tau), make([]float32, len(times))
	for slot, n := range times {
		for g, signature := range c.of(int32(slot)) {
			c.events[g<<c.tau+int(signature)] += n
		}
	}
}

// of gives the signatures of a distinct item.
func (c *collisions) of(slot int32) []uint16 { return c.signatures[int(slot)*c.groups:][:c.groups] }

// sign appends the signatures of an item, one a group.
func (c *collisions) sign(dst []uint16, item int32) []uint16 {
	c.tables.identityOf(c.key, item, c.categories)
	c.signs.Code(c.code, c.key)
	for g := range c.groups {
		signature := uint16(0)
		for i := range c.tau {
			at := g*c.tau + i
			signature |= uint16(c.code[at/64]>>(at%64)&1) << i
		}
		dst = append(dst, signature)
	}
	return dst
}

func (c *collisions) explain(candidate int32, top *topMoments) {
	target := c.sign(nil, candidate)
	for slot := range c.share {
		share := float32(0)
		for g, signature := range c.of(int32(slot)) {
			if signature == target[g] {
				share += 1 / float32(c.groups*int(c.events[g<<c.tau+int(signature)]))
			}
		}
		c.share[slot] = share
	}
	for i := len(c.slots) - 1; i >= 0; i-- { // the newest first: of equal ones, none after them takes their place
		if slot := c.slots[i]; slot >= 0 && c.share[slot] > 0 {
			top.offer(Moment{i, c.share[slot]})
		}
	}
}
