package recommend

import (
	"cmp"
	"slices"

	"seqrec/internal/kernel"
)

// The deadline ladder. A worker that meets a job in a hurry gives it the best
// rung whose predicted time still fits; the rung below all others, popular, is
// left to the caller, who needs no worker for it.

// shortest is the smallest history worth running the model on when a longer one
// does not fit: below it the neighbours of the last item say as much.
const shortest = 4

// hurry ranks one job on the best rung that fits before it is due. It leaves
// j.rung empty when none does.
func (w *worker) hurry(j *job) {
	c := j.snap.cost
	for n := len(j.items); n >= 1; n /= 2 {
		whole := n == len(j.items)
		if !whole && n < shortest {
			break
		}
		if w.b.now().Add(c.rank(j.tokens(n))).After(j.due) {
			continue
		}
		j.used, j.rung = n, RungModel
		if !whole && j.tokens(n) < j.tokens(len(j.items)) {
			j.rung = RungShorter
		}
		w.one[0] = j
		j.err = w.rank(w.one[:])
		return
	}
	if !w.b.now().Add(c.near()).After(j.due) {
		w.runNear(j, 1)
	}
}

// popularInto appends to dst the most popular items that mask lets through
// until it holds k, passing over those dst already holds. Candidates, if only is
// set, are sorted.
func (s *snapshot) popularInto(dst []kernel.Scored, k int, mask []uint64, candidates []int32, only bool) []kernel.Scored {
	have, order := len(dst), s.popular
	if only { // a few candidates are not looked for in the whole catalogue
		order = slices.Clone(candidates)
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(s.count(b), s.count(a)) })
	}
	for _, n := range order {
		if len(dst) >= k {
			break
		}
		if blocked(mask, n) {
			continue
		}
		if slices.ContainsFunc(dst[:have], func(x kernel.Scored) bool { return x.Item == n }) {
			continue
		}
		dst = append(dst, kernel.Scored{Item: n, Score: s.count(n)})
	}
	return dst
}

func (s *snapshot) count(item int32) float32 {
	if s.counts == nil {
		return 0
	}
	return float32(s.counts[item])
}

// sortedSet sorts items and drops repetitions, in place.
func sortedSet(items []int32) []int32 {
	slices.SortFunc(items, cmp.Compare[int32])
	return slices.Compact(items)
}
