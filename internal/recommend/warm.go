package recommend

import (
	"fmt"
	"math"
	"slices"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// Golden requests of two kinds: two that are made here of the most popular items, one
// of a single event, one as long as anything the model reads, whose answers must keep
// the laws; and those that came with the version, whose answers must be what they
// were when it was judged.
const (
	goldenK      = 10
	goldenLong   = 200 // events, where the model does not say its window
	goldenRounds = 3   // the fastest counts
	// goldenTokens is what a full batch holds at least, if it can. More would
	// take time from the requests under way for batches that are rare; the first
	// of those grows the scratch itself.
	goldenTokens = 1000
)

// warm builds the core of a loaded version and has every ranker answer the
// golden requests: once alone, once in a full batch, so that scratch memory has
// grown. It fails if an answer breaks a law of Model, and measures what
// a request costs. A model that is refused is closed.
func warm(l *Loaded, workers, maxBatch int) (c *core, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("golden request: panic: %v", p)
		}
		if err != nil {
			c = nil
			closeModel(l.Model)
		}
	}()
	if err := checkSizes(l); err != nil {
		return nil, err
	}
	c = newCore(l, workers)
	short, long := c.golden(1), c.golden(c.window())
	var want [][]kernel.Scored
	for i, r := range c.rankers {
		got := make([][]kernel.Scored, 2)
		r.Rank(got, []features.Query{short, long})
		if err := c.checkGolden(got); err != nil {
			return nil, err
		}
		if i == 0 {
			want = got
		}
		if !slices.Equal(got[0], want[0]) || !slices.Equal(got[1], want[1]) {
			return nil, fmt.Errorf("golden request: ranker %d answers differently from ranker 0", i)
		}
		r.Rank(make([][]kernel.Scored, maxBatch), fullBatch(maxBatch, short, long))
	}
	if err := c.checkPublished(l.Golden); err != nil {
		return nil, err
	}
	c.measure(short, long)
	if err := c.warmSecond(); err != nil {
		return nil, err
	}
	return c, nil
}

// fullBatch is a batch as large as any: long histories up to goldenTokens, then
// short ones.
func fullBatch(n int, short, long features.Query) []features.Query {
	full := make([]features.Query, n)
	for q := range full {
		full[q] = short
		if q*len(long.History) < goldenTokens {
			full[q] = long
		}
	}
	return full
}

func checkSizes(l *Loaded) error {
	n := l.Model.Items()
	switch {
	case n == 0:
		return fmt.Errorf("the model has no items")
	case l.Vocab.Len() != n:
		return fmt.Errorf("the model has %d items, its vocabulary %d", n, l.Vocab.Len())
	case l.Counts != nil && len(l.Counts) != n:
		return fmt.Errorf("the model has %d items, its counts %d", n, len(l.Counts))
	}
	if table, width := l.Model.ItemVectors(); table != nil && len(table) != n*width {
		return fmt.Errorf("the model has %d items, its item vectors %d values of width %d", n, len(table), width)
	}
	return checkReranker(l)
}

func (c *core) window() int {
	if w, ok := c.model.(windowed); ok {
		return w.Window()
	}
	return goldenLong
}

// golden is a history of n popular items, ending with the most popular, under an
// empty mask.
func (c *core) golden(n int) features.Query {
	items := make([]int32, n)
	for i := range items {
		items[n-1-i] = c.popular[i%len(c.popular)]
	}
	return features.Query{History: items, Blocked: make([]uint64, maskWords(len(c.popular))), K: goldenK}
}

// checkGolden holds answers against the laws of Model that can be seen from
// outside.
func (c *core) checkGolden(answers [][]kernel.Scored) error {
	for i, got := range answers {
		if len(got) > goldenK {
			return fmt.Errorf("golden request %d: %d items answered, %d wanted", i, len(got), goldenK)
		}
		for r, s := range got {
			switch {
			case s.Item < 0 || int(s.Item) >= len(c.popular):
				return fmt.Errorf("golden request %d: item number %d answered of %d items", i, s.Item, len(c.popular))
			case math.IsNaN(float64(s.Score)) || math.IsInf(float64(s.Score), 0):
				return fmt.Errorf("golden request %d: the score of item number %d is %v", i, s.Item, s.Score)
			case r > 0 && s.Score > got[r-1].Score:
				return fmt.Errorf("golden request %d: the answer is not sorted", i)
			}
		}
	}
	if _, ok := c.model.(windowed); ok && len(answers[1]) == 0 {
		return fmt.Errorf("golden request: nothing is answered; the weights may hold NaN")
	}
	return nil
}

// goldenSame is the share of a published answer that must come back. Not all of it:
// another instruction set rounds otherwise, which may turn neighbours round or out.
const goldenSame = 0.8

// checkPublished asks the golden requests of the version.
func (c *core) checkPublished(list []features.Golden) error {
	for i, g := range list {
		q := features.Query{Blocked: make([]uint64, maskWords(len(c.popular))), K: len(g.Answer)}
		for _, id := range g.History {
			n, ok := c.number(event.ItemID(id))
			if !ok {
				return fmt.Errorf("golden request %d: item %q is unknown to the model", i, id)
			}
			q.History = append(q.History, n)
			block(q.Blocked, n)
		}
		dst := make([][]kernel.Scored, 1)
		c.rankers[0].Rank(dst, []features.Query{q})
		same := 0
		for _, s := range dst[0] {
			if slices.Contains(g.Answer, c.vocab.ID(s.Item)) {
				same++
			}
		}
		if float64(same) < goldenSame*float64(len(g.Answer)) {
			return fmt.Errorf("golden request %d: %d of the %d items that were answered when the version was published", i, same, len(g.Answer))
		}
	}
	return nil
}

// measure times the parts of a request on the first ranker.
func (c *core) measure(short, long features.Query) {
	one := make([][]kernel.Scored, 1)
	timed := func(fn func()) float64 { return fastest(time.Now, fn) }
	rank := func(q features.Query) func() {
		return func() { c.rankers[0].Rank(one, []features.Query{q}) }
	}
	few, many := timed(rank(short)), timed(rank(long))
	c.cost.token = max(many-few, 0) / float64(max(len(long.History)-1, 1))
	c.cost.fixed = few
	c.cost.scan = few
	if c.vectors.known() {
		var s scanner
		j := &job{snap: &snapshot{core: c}, mask: short.Blocked, k: goldenK}
		c.cost.scan = timed(func() { s.run(j, short.History) })
	}
}
