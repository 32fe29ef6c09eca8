package seqmodel

import "seqrec/internal/tensor"

// packer lays histories end to end and derives what a forward pass needs. It
// reuses its memory.
type packer struct {
	length    int
	reverse   bool
	items     []int32
	positions []int32
	offsets   []int32
	last      []int32 // the last token of each history
	counts    []int32 // 0..B
	rows      tensor.Index
}

func newPacker(c Config) *packer {
	return &packer{length: c.Length, reverse: c.Positions == LearnedReverse, offsets: []int32{0}}
}

func (p *packer) reset() {
	p.items, p.positions = p.items[:0], p.positions[:0]
	p.offsets = append(p.offsets[:0], 0)
	p.last, p.counts = p.last[:0], append(p.counts[:0], 0)
}

// add appends the newest Length events of a history that is not empty.
func (p *packer) add(history []int32) {
	history = history[max(0, len(history)-p.length):]
	n := len(history)
	p.items = append(p.items, history...)
	for i := range n {
		if p.reverse {
			i = n - 1 - i
		}
		p.positions = append(p.positions, int32(i))
	}
	p.offsets = append(p.offsets, int32(len(p.items)))
	p.last = append(p.last, int32(len(p.items)-1))
	p.counts = append(p.counts, int32(len(p.last)))
}

// input is everything added so far. With lastOnly only the newest row of each
// history is wanted.
func (p *packer) input(dev tensor.Device, lastOnly bool) input {
	in := input{
		items:     dev.Index(p.items),
		positions: dev.Index(p.positions),
		offsets:   dev.Index(p.offsets),
	}
	if lastOnly {
		p.rows = dev.Index(p.last)
		in.rows, in.rowOffsets = &p.rows, dev.Index(p.counts)
	}
	return in
}
