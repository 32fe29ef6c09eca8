package features

import (
	"fmt"
	"slices"
)

// LifelongTruth knows the interests behind a LifelongWorld, and so which events
// of a history matter for which item.
type LifelongTruth struct {
	Items []Item    // catalogue, by item number; the one category is no interest
	Near  [][]int32 // by user: the interests that the newer events are of
	Far   [][]int32 // by user: the interests of which nothing is newer than the gap

	opt      LifelongOptions
	interest []int32     // of each item; -1 of a filler
	members  [][]int32   // items of each interest
	popular  [][]float64 // running sums of probability over members
	appeal   [][]float64 // by category: running sums of probability over its interests
	fillers  [][]int32   // by category
}

// newLifelongTruth makes the catalogue.
func newLifelongTruth(seed uint64, opt LifelongOptions) *LifelongTruth {
	rng := &stream{seed: seed, key: 'l'}
	total := opt.Items + opt.Fillers
	t := &LifelongTruth{
		opt: opt, Items: make([]Item, total), interest: make([]int32, total),
		members: make([][]int32, opt.Interests), fillers: make([][]int32, opt.Categories),
	}
	order := make([]int32, total) // a number must tell nothing of the interest
	for i := range order {
		j := rng.intn(i + 1)
		order[i], order[j] = order[j], int32(i)
	}
	for place, item := range order {
		category := place % opt.Categories
		if place < opt.Items {
			g := place % opt.Interests
			category = t.category(int32(g))
			t.interest[item] = int32(g)
			t.members[g] = append(t.members[g], item)
		} else {
			t.interest[item] = -1
			t.fillers[category] = append(t.fillers[category], item)
		}
		t.Items[item] = Item{ID: fmt.Sprintf("item-%05d", item+1), Categories: []string{fmt.Sprintf("category-%02d", category+1)}}
	}
	for _, m := range t.members {
		t.popular = append(t.popular, flatHarmonic(len(m)))
	}
	for c := range opt.Categories {
		t.appeal = append(t.appeal, flatHarmonic((opt.Interests-c+opt.Categories-1)/opt.Categories))
	}
	return t
}

// flatHarmonic returns the running sums of n probabilities that fall by rank r,
// from 0, as 1/(1+4r/n): the first is about five times the last.
func flatHarmonic(n int) []float64 {
	sums, total := make([]float64, n), 0.0
	for r := range sums {
		total += 1 / (1 + 4*float64(r)/float64(n))
		sums[r] = total
	}
	for r := range sums {
		sums[r] /= total
	}
	return sums
}

// category is that of an interest. The interests of category c are c, c +
// Categories, c + 2 Categories and so on, the most popular first.
func (t *LifelongTruth) category(interest int32) int { return int(interest) % t.opt.Categories }

// draw picks an interest of a category by appeal.
func (t *LifelongTruth) draw(rng *stream, category int) int32 {
	return int32(category + t.opt.Categories*pick(t.appeal[category], rng.float64()))
}

// hold draws a user's interests, about two in a category, and keeps them.
func (t *LifelongTruth) hold(rng *stream, opt LifelongOptions) (near, far []int32) {
	held := make([]int32, 0, opt.Near+opt.Far)
	for len(held) < cap(held) {
		category := rng.intn(opt.Categories)
		for range min(2, cap(held)-len(held)) {
			if g := t.draw(rng, category); !slices.Contains(held, g) {
				held = append(held, g)
			}
		}
	}
	for i := len(held) - 1; i > 0; i-- {
		j := rng.intn(i + 1)
		held[i], held[j] = held[j], held[i]
	}
	near, far = held[:opt.Near:opt.Near], held[opt.Near:]
	t.Near, t.Far = append(t.Near, near), append(t.Far, far)
	return near, far
}

// assortment draws n different items of an interest by popularity, in random order.
func (t *LifelongTruth) assortment(rng *stream, interest int32, n int) []int32 {
	from := t.members[interest]
	out := make([]int32, 0, n)
	for len(out) < min(n, len(from)) {
		if item := from[pick(t.popular[interest], rng.float64())]; !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	for i := len(out) - 1; i > 0; i-- {
		j := rng.intn(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// stray draws an item of an interest that user does not hold, none of those used.
func (t *LifelongTruth) stray(rng *stream, user int, used []int32) int32 {
	for {
		g := t.draw(rng, rng.intn(t.opt.Categories))
		item := t.members[g][pick(t.popular[g], rng.float64())]
		if t.Why(user, item) == Chance && !slices.Contains(used, item) {
			return item
		}
	}
}

// kind turns x in (0, 1) into what was done to an item. A filler is seldom bought.
func (t *LifelongTruth) kind(item int32, x float64) string {
	viewed, carted := 0.7, 0.9
	if t.interest[item] < 0 {
		viewed, carted = 0.97, 0.99
	}
	switch {
	case x < viewed:
		return "view"
	case x < carted:
		return "cart"
	}
	return "buy"
}

// Interest returns the interest of an item, -1 for a filler.
func (t *LifelongTruth) Interest(item int32) int32 { return t.interest[item] }

// Why says what decided an event of a LifelongWorld.
type Why int

// What decides events.
const (
	Chance   Why = iota // nothing that the history shows
	NearPast            // an interest with events among the last thousand
	FarPast             // an interest of which nothing is newer than the gap
)

// Why says what speaks for a user taking an item: which of their interests it is of.
func (t *LifelongTruth) Why(user int, item int32) Why {
	switch g := t.interest[item]; {
	case slices.Contains(t.Near[user], g):
		return NearPast
	case slices.Contains(t.Far[user], g):
		return FarPast
	}
	return Chance
}

// Relevant appends to dst the events of a slate's history, by index within the
// user, oldest first, that matter for an item, be it the positive or a negative:
// those of the same interest. A filler has none.
func (t *LifelongTruth) Relevant(dst []int32, d *Dataset, s Slate, item int32) []int32 {
	g := t.interest[item]
	if g < 0 {
		return dst
	}
	items, _ := d.User(int(s.User))
	for i, past := range items[:s.End] {
		if t.interest[past] == g {
			dst = append(dst, int32(i))
		}
	}
	return dst
}

// Score returns how likely a slate's event is to be of an item, up to a factor
// and to how popular items of one interest are: no model can order positives and
// negatives better, save by luck.
func (t *LifelongTruth) Score(user int, item int32) float64 {
	o := t.opt
	switch t.Why(user, item) {
	case NearPast:
		return (1 - o.Noise) * (1 - o.LongRange) / float64(o.Near)
	case FarPast:
		return (1 - o.Noise) * o.LongRange / float64(o.Far)
	}
	if t.interest[item] < 0 {
		return 0
	}
	return o.Noise / float64(o.Interests-o.Near-o.Far)
}
