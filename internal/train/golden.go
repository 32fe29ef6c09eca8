package train

import (
	"cmp"
	"io"
	"slices"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// goldenAnswer is how many items the answer to a golden request has.
const goldenAnswer = 10

// golden asks a model what follows histories made of its most popular items, so
// that a version tells of nobody's history. Requests that it answers with nothing
// are left out.
func golden(m Model, vocab *features.Vocab, counts []int64) []features.Golden {
	order := make([]int32, m.Items())
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(counts[b], counts[a]) })
	ranker := m.NewRanker()
	var list []features.Golden
	for _, n := range [...]int{1, 2, 5, 20, 100} {
		n = min(n, len(order)/2)
		if n == 0 {
			continue
		}
		q := features.Query{History: order[:n], K: goldenAnswer, Blocked: make([]uint64, (len(order)+63)/64)}
		var g features.Golden
		for _, item := range q.History {
			q.Blocked[item/64] |= 1 << (item % 64)
			g.History = append(g.History, vocab.ID(item))
		}
		dst := make([][]kernel.Scored, 1)
		ranker.Rank(dst, []features.Query{q})
		for _, s := range dst[0] {
			g.Answer = append(g.Answer, vocab.ID(s.Item))
		}
		if len(g.Answer) > 0 {
			list = append(list, g)
		}
	}
	return list
}

// writeGolden is golden as a file of a version.
func writeGolden(list []features.Golden) func(io.Writer) error {
	return func(w io.Writer) error { return features.WriteGolden(w, list) }
}
