package lifelong

import (
	"cmp"
	"math"
	"slices"

	"seqrec/internal/kernel"
)

// clusterer parts a history into clusters of like events (TWIN-V2, Si et al. 2024,
// section 3.2): events of one kind are split by k-means on item vectors, with
// k = n^0.3, again and again until no cluster holds more than a bound. Where the
// paper first groups by how much of a video was watched, the kind of behaviour
// groups here.
//
// The result depends on the history and the vectors alone: the first centres are
// events evenly spread in time, and ties go to the lower number.
type clusterer struct {
	width, most int
	vectors     []float32
	h           History
	members     []int32   // events, cluster by cluster
	ends        []int     // where each cluster ends in members
	centres     []float32 // k x width
	counts      []int
	assigned    []int32
}

// kmeansRounds are enough for groups that only need to be like each other.
const kmeansRounds = 5

// run finds the clusters of h, whose item i has vector vectors[i*width:].
func (c *clusterer) run(h History, vectors []float32, width, most int) {
	c.h, c.vectors, c.width, c.most = h, vectors, width, most
	c.members, c.ends = c.members[:0], c.ends[:0]
	for i, item := range h.Items {
		if item >= 0 {
			c.members = append(c.members, int32(i))
		}
	}
	kind := func(i int32) int32 { return kindOf(h, int(i)) }
	slices.SortStableFunc(c.members, func(a, b int32) int { return cmp.Compare(kind(a), kind(b)) })
	for lo := 0; lo < len(c.members); {
		hi := lo + 1
		for hi < len(c.members) && kind(c.members[hi]) == kind(c.members[lo]) {
			hi++
		}
		c.split(lo, hi)
		lo = hi
	}
}

// split parts members lo..hi-1, which are in order of time, until the parts are
// small enough.
func (c *clusterer) split(lo, hi int) {
	n := hi - lo
	if n <= c.most {
		c.ends = append(c.ends, hi)
		return
	}
	k := min(n, max(2, int(math.Pow(float64(n), 0.3))))
	c.kmeans(c.members[lo:hi], k)
	group := c.members[lo:hi]
	label := slices.Clone(c.assigned[:n])
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(label[a], label[b]) })
	was := slices.Clone(group)
	var cuts []int
	for i, o := range order {
		group[i] = was[o]
		if i > 0 && label[o] != label[order[i-1]] {
			cuts = append(cuts, lo+i)
		}
	}
	if len(cuts) == 0 { // all alike: halve in time
		cuts = append(cuts, lo+n/2)
	}
	for _, cut := range append(cuts, hi) {
		c.split(lo, cut)
		lo = cut
	}
}

// kmeans assigns each event of group to one of k centres.
func (c *clusterer) kmeans(group []int32, k int) {
	w := c.width
	c.centres = resize(c.centres, k*w)
	for j := range k {
		copy(c.centres[j*w:][:w], c.vector(group[j*len(group)/k]))
	}
	c.assigned = slices.Grow(c.assigned[:0], len(group))[:len(group)]
	for range kmeansRounds {
		for i, e := range group {
			c.assigned[i] = c.nearest(c.vector(e), k)
		}
		c.recentre(group, k)
	}
}

func (c *clusterer) vector(e int32) []float32 {
	return c.vectors[int(c.h.Items[e])*c.width:][:c.width]
}

func (c *clusterer) nearest(x []float32, k int) (best int32) {
	least := float32(math.Inf(1))
	for j := range k {
		if d := squaredDistance(x, c.centres[j*c.width:][:c.width]); d < least {
			least, best = d, int32(j)
		}
	}
	return best
}

func (c *clusterer) recentre(group []int32, k int) {
	w := c.width
	c.counts = slices.Grow(c.counts[:0], k)[:k]
	clear(c.counts)
	for _, j := range c.assigned {
		c.counts[j]++
	}
	for j, n := range c.counts {
		if n > 0 { // a centre without events stays where it is
			clear(c.centres[j*w:][:w])
		}
	}
	for i, e := range group {
		j := int(c.assigned[i])
		kernel.Axpy(c.centres[j*w:][:w], 1/float32(c.counts[j]), c.vector(e))
	}
}

func squaredDistance(a, b []float32) (d float32) {
	for i := range a {
		x := a[i] - b[i]
		d += x * x
	}
	return d
}

// each calls f for every cluster with its members and the one nearest to their
// mean, which stands for them.
func (c *clusterer) each(f func(members []int32, middle int32)) {
	lo := 0
	c.centres = resize(c.centres, c.width)
	for _, hi := range c.ends {
		members := c.members[lo:hi]
		clear(c.centres)
		for _, e := range members {
			kernel.Axpy(c.centres, 1/float32(len(members)), c.vector(e))
		}
		middle, least := members[0], float32(math.Inf(1))
		for _, e := range members {
			if d := squaredDistance(c.vector(e), c.centres); d < least {
				least, middle = d, e
			}
		}
		f(members, middle)
		lo = hi
	}
}

// addClusters appends a clustered history: a cluster has the item and category
// of the event that stands for it, the mean position and time of its members, and
// the logarithm of their number as a bias of its score.
func (in *input) addClusters(categories []int32, h History, groups *clusterer, candidates []int32, at int64) {
	c := &in.config
	groups.each(func(members []int32, middle int32) {
		item := h.Items[middle]
		var place float64
		var when int64
		for _, e := range members {
			place += float64(h.Len()-int(e)) / float64(len(members))
			if h.Times != nil {
				when += (at - h.Times[e]) / int64(len(members))
			}
		}
		in.history.items = append(in.history.items, item)
		in.history.positions = append(in.history.positions, c.position(max(1, int(place+0.5))))
		in.sizes = append(in.sizes, logSize(len(members)))
		if c.Categories > 0 {
			in.history.categories = append(in.history.categories, categories[item])
		}
		if c.Kinds > 0 {
			in.history.kinds = append(in.history.kinds, kindOf(h, int(middle)))
		}
		if c.Gaps {
			row := int32(1)
			if h.Times != nil && at != 0 {
				row = gap(when)
			}
			in.history.gaps = append(in.history.gaps, row)
		}
	})
	in.addCandidates(categories, candidates)
	in.kOffsets = append(in.kOffsets, int32(len(in.history.items)))
}
