package attention

// History is the part of one user's lifelong history that search attention reads:
// which item each event holds, and one key for each distinct item. Histories repeat
// items, and equal items have equal keys, so a search goes over the distinct items
// and is still exact over the events.
//
// Events are numbered from 0, the oldest. Any number of goroutines may search while
// none appends.
type History struct {
	keys   *Keys           // by slot: distinct items in the order of their first events
	slots  map[int32]int32 // item -> slot
	slotOf []int32         // event -> slot, -1 for an unknown item
	key    []float32       // the key being added
}

// NewHistory makes an empty history whose keys have width values.
func NewHistory(width int, f Format) *History {
	return &History{keys: NewKeys(width, f), slots: map[int32]int32{}, key: make([]float32, width)}
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
		slot = int32(h.keys.Rows())
		key(h.key, item)
		h.keys.Append(h.key)
		h.slots[item] = slot
	}
	return slot
}

// Events returns the number of events, unknown items included.
func (h *History) Events() int { return len(h.slotOf) }

// Items returns the number of distinct items.
func (h *History) Items() int { return h.keys.Rows() }

// Width returns the number of values in a key.
func (h *History) Width() int { return h.keys.Width() }

// Bytes returns about how much memory the history takes.
func (h *History) Bytes() int {
	const mapEntry = 20 // two numbers, a byte of the map's own, and room to grow
	return h.keys.Bytes() + mapEntry*len(h.slots) + 4*(cap(h.slotOf)+cap(h.key))
}
