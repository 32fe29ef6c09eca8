package recommend

import (
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/seqmodel/lifelong"
)

// TestStates walks one cache through what may happen to it. Each step lends a
// history and says what the cache made of it.
func TestStates(t *testing.T) {
	m, other := smallDARE(t, 20, 0), smallDARE(t, 20, 0)
	items := func(n ...int32) lifelong.History { return lifelong.History{Items: n} }
	timed := func(h lifelong.History, times ...int64) lifelong.History { h.Times = times; return h }
	one := m.NewState()
	one.Append(items(1, 2, 3))
	size := one.Bytes() + keptBytes + 1
	c := newStates(2*size + size/2)
	c.keep(m)
	for _, step := range []struct {
		name  string
		user  event.UserID
		model *lifelong.Model
		h     lifelong.History
		want  StateStats // what is added, but for States, which is what there are
	}{
		{"new", "a", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"the same", "a", m, items(1, 2, 3), StateStats{Hits: 1, States: 1}},
		{"longer", "a", m, items(1, 2, 3, 4), StateStats{Extended: 1, States: 1}},
		{"shorter", "a", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"late", "a", m, items(9, 1, 2, 3), StateStats{Built: 1, States: 1}},
		{"oldest gone", "a", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"now with times", "a", m, timed(items(1, 2, 3), 1, 2, 3), StateStats{Built: 1, States: 1}},
		{"other times", "a", m, timed(items(1, 2, 3), 1, 2, 4), StateStats{Built: 1, States: 1}},
		{"nobody", "", m, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"another model", "a", other, items(1, 2, 3), StateStats{Built: 1, States: 1}},
		{"a second", "b", m, items(1, 2, 3), StateStats{Built: 1, States: 2}},
		{"the first again", "a", m, timed(items(1, 2, 3), 1, 2, 4), StateStats{Hits: 1, States: 2}},
		{"a third pushes the second out", "c", m, items(1, 2, 3), StateStats{Built: 1, Evicted: 1, States: 2}},
		{"the first is there", "a", m, timed(items(1, 2, 3), 1, 2, 4), StateStats{Hits: 1, States: 2}},
		{"too large to be kept", "d", m, items(make([]int32, 10000)...), StateStats{Built: 1, States: 2}},
		{"grown too large", "a", m, timed(items(append([]int32{1, 2, 3}, make([]int32, 10000)...)...), append([]int64{1, 2, 4}, make([]int64, 10000)...)...),
			StateStats{Extended: 1, Evicted: 1, States: 1}},
		{"empty", "e", m, items(), StateStats{Built: 1, States: 2}},
		{"from empty", "e", m, items(5), StateStats{Built: 1, States: 2}},
	} {
		before := c.stats()
		lent := 0
		c.lend(c.owner(step.user, step.model), &step.h, func(st *lifelong.State) {
			lent++
			if st.Len() != step.h.Len() {
				t.Errorf("%s: a state of %d events, want %d", step.name, st.Len(), step.h.Len())
			}
		})
		got := c.stats()
		if got.Bytes < 0 || got.Bytes > c.limit || lent != 1 {
			t.Errorf("%s: %d bytes, lent %d times", step.name, got.Bytes, lent)
		}
		got.Bytes = 0
		got.Hits, got.Extended, got.Built, got.Evicted = got.Hits-before.Hits, got.Extended-before.Extended, got.Built-before.Built, got.Evicted-before.Evicted
		if got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
}

// TestStatesBusy: who finds a state in use does not wait for it.
func TestStatesBusy(t *testing.T) {
	m := smallDARE(t, 20, 0)
	c := newStates(1 << 20)
	c.keep(m)
	o := c.owner("a", m)
	h, longer := lifelong.History{Items: []int32{1}}, lifelong.History{Items: []int32{1, 2}}
	c.lend(o, &h, func(*lifelong.State) {})
	c.lend(o, &h, func(first *lifelong.State) {
		c.lend(o, &h, func(second *lifelong.State) {
			if first != second {
				t.Error("two readers have two states")
			}
		})
		c.lend(o, &longer, func(second *lifelong.State) {
			if first == second || first.Len() != 1 || second.Len() != 2 {
				t.Error("a state that is read was extended")
			}
		})
	})
	if st := c.stats(); st.States != 1 || st.Built != 2 || st.Hits != 2 {
		t.Errorf("%+v", st)
	}
}
