package attention

import "seqrec/internal/kernel"

// History is the part of one user's lifelong history that search attention reads:
// which item each event holds, and one key for each distinct item. Histories repeat
// items, and equal items have equal keys, so a search goes over the distinct items
// and is still exact over the events.
//
// Events are numbered from 0, the oldest. Any number of goroutines may search while
// none appends.
type History struct {
	keys   *Keys           // by slot
	slots  map[int32]int32 // item -> slot
	slotOf []int32         // event -> slot, -1 for an unknown item
	key    []float32       // the key being added

	common  kernel.Common
	classOf func(item int32) int32 // nil without common values
	next    []int32                // class -> the slot that its next item gets, unless it is a multiple of kernel.CommonKeys
	taken   int                    // slots that belong to a class
}

// NewHistory makes an empty history whose keys have width values.
func NewHistory(width int, f Format) *History {
	return &History{keys: NewKeys(width, f), slots: map[int32]int32{}, key: make([]float32, width)}
}

// NewClassedHistory makes an empty history whose items are of a class each, classOf
// the item. The values of a key are those of its own, which have width, and then
// those of a row of rows, [classes][rowWidth], that all items of its class have in
// common: a search multiplies these once for the class. Items of one class lie
// together, so each class may waste some room: few classes are best.
func NewClassedHistory(width int, f Format, rows []float32, rowWidth int, classOf func(item int32) int32) *History {
	if rowWidth < 1 || len(rows)%rowWidth != 0 {
		panic("attention: rows of another width")
	}
	h := NewHistory(width, f)
	h.classOf, h.next = classOf, make([]int32, len(rows)/rowWidth)
	h.common = kernel.Common{Width: rowWidth, Rows: rows}
	return h
}

// Append adds events, oldest first. A negative item is unknown: its event keeps its
// place and is never found. For an item that the history has not held before, key is
// asked for the item's key, once. An event costs O(1), and a new item O(width) more,
// each taken over many; appending in pieces equals appending at once.
func (h *History) Append(items []int32, key func(dst []float32, item int32)) {
	for _, item := range items {
		slot := int32(-1)
		if item >= 0 {
			slot = h.slot(item, key)
		}
		h.slotOf = append(h.slotOf, slot)
	}
}

// slot returns the item's slot, a new one if need be.
func (h *History) slot(item int32, key func(dst []float32, item int32)) int32 {
	slot, ok := h.slots[item]
	if !ok {
		slot = h.newSlot(item)
		key(h.key, item)
		h.keys.put(int(slot), h.key)
		h.slots[item] = slot
	}
	return slot
}

// newSlot returns a free slot for an item: without classes the next, else among
// kernel.CommonKeys slots of its class.
func (h *History) newSlot(item int32) int32 {
	if h.classOf == nil {
		return int32(h.keys.Rows())
	}
	next := &h.next[h.classOf(item)]
	if *next%kernel.CommonKeys == 0 {
		*next = int32(h.taken)
		if h.taken%kernel.PanelWidth == 0 {
			h.common.Classes = append(h.common.Classes, make([]int32, kernel.PanelWidth/kernel.CommonKeys)...)
		}
		h.common.Classes[h.taken/kernel.CommonKeys] = h.classOf(item)
		h.taken += kernel.CommonKeys
	}
	*next++
	return *next - 1
}

// Classed says whether keys have values in common, which Append does not ask for.
func (h *History) Classed() bool { return h.classOf != nil }

// Events returns the number of events, unknown items included.
func (h *History) Events() int { return len(h.slotOf) }

// Slots returns for each event a number that its item alone has, below the number of
// items and kernel.CommonKeys for each class; -1 for an unknown item. It must not be
// written.
func (h *History) Slots() []int32 { return h.slotOf }

// Items returns the number of distinct items.
func (h *History) Items() int { return len(h.slots) }

// Width returns the number of values in a key.
func (h *History) Width() int { return h.keys.Width() + h.common.Width }

// Bytes returns about how much memory the history takes.
func (h *History) Bytes() int {
	const mapEntry = 20 // two numbers, a byte of the map's own, and room to grow
	return h.keys.Bytes() + mapEntry*len(h.slots) + 4*(cap(h.slotOf)+cap(h.key)+cap(h.next)+cap(h.common.Classes))
}
