package seqmodel

import (
	"fmt"

	"seqrec/internal/features"
	"seqrec/internal/tensor"
)

// negatives draws the items that sampled losses hold a target against. Every
// draw is a function of (seed, step, place), so neither lanes nor a resumed run
// change it.
type negatives struct {
	c      TrainConfig
	items  int
	stepNo uint64
	draw   *features.Negatives // of the shared list
	shared []int32
	logQ   tensor.Mat // 1 x N, or empty
}

type negativeScratch struct {
	list []int32
	seen []uint64 // bitmap of what the sequence at hand avoids
}

func newNegatives(c TrainConfig, dev tensor.Device, items int) (*negatives, error) {
	n := &negatives{c: c, items: items}
	if c.Loss.Kind != SampledCrossEntropy {
		return n, nil
	}
	n.draw = features.NewUniformNegatives(items, c.Seed)
	n.shared = make([]int32, min(c.Loss.Negatives, items))
	if c.Loss.Popularity == 0 {
		return n, nil
	}
	if len(c.Counts) != items {
		return nil, fmt.Errorf("popularity negatives need the training count of each of %d items, got %d", items, len(c.Counts))
	}
	var err error
	n.draw, err = features.NewPopularityNegatives(c.Counts, c.Loss.Popularity, c.Seed)
	if err == nil && c.Loss.LogQ {
		n.logQ = dev.Alloc(items).Mat(0, 1, items)
		dev.Upload(n.logQ, n.draw.LogQ())
	}
	return n, err
}

// step begins a batch: the shared list is drawn here. Uniform items are all
// different; by popularity they repeat, which is what log q corrects for.
func (n *negatives) step(no uint64) {
	n.stepNo = no
	switch {
	case n.draw == nil:
	case n.c.Loss.Popularity == 0:
		n.draw.Shared(n.shared, no)
	default:
		n.draw.Fill(n.shared, no)
	}
}

// fill adds the negatives of one chunk to in.
func (n *negatives) fill(dev tensor.Device, l *lane, b *features.Batch, in *lossInput) {
	switch n.c.Loss.Kind {
	case SampledCrossEntropy:
		in.negatives, in.logQ = dev.Index(n.shared), n.logQ
	case BinaryCrossEntropy, Generalised:
		n.own(l, b)
		in.negatives = dev.Index(l.negs.list)
	}
}

// own draws each target's negatives: uniform; for plain BCE outside what its
// sequence avoids, for gBCE over the whole catalogue.
func (n *negatives) own(l *lane, b *features.Batch) {
	if l.negs.seen == nil {
		l.negs.seen = make([]uint64, (n.items+63)/64)
	}
	l.negs.list = l.negs.list[:0]
	seq := 0
	avoid := n.c.Loss.Kind == BinaryCrossEntropy
	for i, row := range l.rows {
		for row >= l.pack.offsets[seq+1] {
			if avoid {
				n.mark(l, n.avoided(l, b, seq), false)
			}
			seq++
		}
		if avoid && (i == 0 || l.rows[i-1] < l.pack.offsets[seq]) {
			n.mark(l, n.avoided(l, b, seq), true)
		}
		for j := range n.c.Loss.Negatives {
			l.negs.list = append(l.negs.list, n.one(l.negs.seen, l.targets[i], uint64(l.source[i]), uint64(j)))
		}
	}
	if avoid && len(l.rows) > 0 {
		n.mark(l, n.avoided(l, b, seq), false)
	}
}

// avoided are the items that are no negatives for a packed sequence: its user's
// whole history where that is known, else its inputs.
func (n *negatives) avoided(l *lane, b *features.Batch, seq int) []int32 {
	if n.c.Histories != nil && b.Users != nil {
		return n.c.Histories[b.Users[l.packed[seq]]]
	}
	return l.pack.items[l.pack.offsets[seq]:l.pack.offsets[seq+1]]
}

// one draws an item that is not marked. A history that covers nearly the whole
// catalogue gets any item after 64 tries.
func (n *negatives) one(seen []uint64, target int32, place, j uint64) int32 {
	var item int32
	for try := range uint64(64) {
		item = int32(mix(n.c.Seed, n.stepNo, place, j<<8|try) % uint64(n.items))
		if n.c.Loss.Kind == Generalised || (item != target && !has(seen, item)) {
			break
		}
	}
	return item
}

// mark sets or clears items in the bitmap.
func (n *negatives) mark(l *lane, items []int32, on bool) {
	for _, item := range items {
		if on {
			l.negs.seen[item>>6] |= 1 << (item & 63)
		} else {
			l.negs.seen[item>>6] &^= 1 << (item & 63)
		}
	}
}
