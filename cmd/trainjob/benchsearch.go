package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"time"

	"seqrec/internal/attention"
	"seqrec/internal/features"
	"seqrec/internal/seqmodel/lifelong"
)

// The work of a second stage: so many candidates, and a large catalogue whose
// popularity falls as 1/rank, so that a history of 100,000 events has about 26,000
// distinct items.
const (
	searchCandidates = 500
	searchItems      = 100_000
	searchKept       = 100
)

// searchWork is a scorer with a history of n events that it remembers.
type searchWork struct {
	scorer     *lifelong.Scorer
	state      *lifelong.State
	candidates []int32
	dst        []float32
	distinct   int // items of the history
}

func newSearchWork(events int, distinct bool) (*searchWork, error) {
	categories := make([]int32, searchItems)
	for i := range categories {
		categories[i] = int32(i % 100)
	}
	m, err := lifelong.New(lifelong.Config{Items: searchItems, Categories: 100, Select: searchKept, Length: 1000}, categories, 1)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, uint64(events)))
	w := &searchWork{scorer: m.NewScorer(), state: m.NewState(), dst: make([]float32, searchCandidates)}
	h := lifelong.History{Items: make([]int32, events)}
	order, seen := rng.Perm(searchItems), map[int32]bool{}
	for i := range h.Items {
		// The inverse of the distribution of ranks with density 1/rank.
		rank := int(math.Pow(searchItems, rng.Float64())) - 1
		if distinct {
			rank = i % searchItems
		}
		h.Items[i] = int32(order[rank])
		seen[h.Items[i]] = true
	}
	w.distinct = len(seen)
	w.state.Append(h)
	for range searchCandidates {
		w.candidates = append(w.candidates, int32(rng.IntN(searchItems)))
	}
	return w, nil
}

// time gives the median of a request's time: search, aggregation and head.
func (w *searchWork) time(runs int) time.Duration {
	times := make([]time.Duration, 0, runs)
	for i := range runs + 3 {
		begin := time.Now()
		w.scorer.ScoreState(w.dst, w.state, w.candidates, 0)
		if i >= 3 { // the first ones fill caches
			times = append(times, time.Since(begin))
		}
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// searchTime is the median over requests, with a table over lengths.
func searchTime(events int, wanted string) func(*app) (row, error) {
	return func(*app) (row, error) {
		detail := map[string]any{"candidates": searchCandidates, "k": searchKept, "attention_width": 16, "tables": "item, category, position", "cores": 1, "statistic": "median"}
		table := map[string]float64{}
		var value float64
		for _, n := range []int{1000, 3000, 10_000, 30_000, 100_000} {
			w, err := newSearchWork(n, false)
			if err != nil {
				return row{}, err
			}
			t := milliseconds(w.time(30))
			table[fmt.Sprint(n)] = t
			if n == events {
				value, detail["distinct_items"] = t, w.distinct
			}
		}
		w, err := newSearchWork(events, true)
		if err != nil {
			return row{}, err
		}
		detail["ms_by_events"], detail["ms_no_item_twice"] = table, milliseconds(w.time(30))
		return row{Value: value, unit: "ms", wanted: wanted, Detail: detail}, nil
	}
}

// trainedSearch is searchTime of a model that has learned: on MovieLens-1M, with
// histories of its most active users in a row. What it has learned leaves most items
// out of question for a candidate, which nothing does in an untrained model.
func (c *benchLifelongCmd) trainedSearch(a *app) (row, error) {
	s, err := c.set(a, "ml1m")
	if err != nil {
		return row{}, err
	}
	fit, err := c.fit(a, s, lifelong.Config{Model: "dare", Select: searchKept, Length: 1000}, 1)
	if err != nil {
		return row{}, err
	}
	table := map[string]float64{}
	for _, n := range []int{1000, 10_000, 100_000} {
		w := &searchWork{scorer: fit.Model.NewScorer(), state: fit.Model.NewState(), dst: make([]float32, searchCandidates)}
		w.state.Append(lifelong.History{Items: mostActive(s.b.Data, n)})
		rng := rand.New(rand.NewPCG(3, 0))
		for range searchCandidates {
			w.candidates = append(w.candidates, int32(rng.IntN(s.b.Data.Vocab.Len())))
		}
		table[fmt.Sprint(n)] = milliseconds(w.time(30))
	}
	return row{Value: table["10000"], unit: "ms", wanted: "under 5", Detail: map[string]any{
		"candidates": searchCandidates, "k": searchKept, "attention_width": 16, "tables": "item, category, position", "cores": 1, "statistic": "median", "ms_by_events": table,
		"model": fit.Model.Describe(), "data": s.name, "items": s.b.Data.Vocab.Len(),
	}}, nil
}

// mostActive is n events of the users with the most, one user after the other.
func mostActive(d *features.Dataset, n int) (items []int32) {
	users := make([]int, len(d.Users))
	for u := range users {
		users[u] = u
	}
	length := func(u int) int { return d.Offsets[u+1] - d.Offsets[u] }
	slices.SortStableFunc(users, func(a, b int) int { return length(b) - length(a) })
	for _, u := range users {
		items = append(items, d.Items[d.Offsets[u]:d.Offsets[u+1]]...)
	}
	return items[:min(n, len(items))]
}

// halfWidthTime is the search's time at half the width over that at the whole.
func halfWidthTime(*app) (row, error) {
	const events, full = 10_000, 128 // keys of item and category, 64 wide each
	times := map[int][]float64{}
	var ratios []float64
	for range 7 { // in turns, so that both see the same machine
		var t [2]float64
		for i, width := range []int{full, full / 2} {
			t[i] = searchOnce(events, width)
			times[width] = append(times[width], t[i])
		}
		ratios = append(ratios, t[1]/t[0])
	}
	return row{Value: median(ratios), unit: "", wanted: "at most 0.55", Detail: map[string]any{
		"events": events, "candidates": searchCandidates, "k": searchKept, "attention_width": full / 2, "key_width": full, "ms_full": median(times[full]), "ms_half": median(times[full/2]), "round_ratios": ratios,
	}}, nil
}

// searchOnce is the median time of one search in milliseconds.
func searchOnce(events, width int) float64 {
	rng := rand.New(rand.NewPCG(2, uint64(width)))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	h := attention.NewHistory(width, attention.F32)
	items := make([]int32, events)
	for i := range items {
		items[i] = int32(i)
	}
	h.Append(items, func(dst []float32, _ int32) { copy(dst, normal(width)) })
	queries, bias := normal(searchCandidates*width), make([]float32, events)
	var s attention.Searcher
	var times []float64
	for i := range 12 {
		begin := time.Now()
		s.Search(h, queries, bias, searchKept)
		if i >= 2 {
			times = append(times, milliseconds(time.Since(begin)))
		}
	}
	return median(times)
}

// torchRatio is PyTorch's time for the same two-stage scoring over ours: 500
// candidates, 10,000 events, one thread, in turns.
func (c *benchLifelongCmd) torchRatio(a *app) (_ row, err error) {
	const events = 10_000
	work, err := newSearchWork(events, false)
	if err != nil {
		return row{}, err
	}
	cmd := exec.CommandContext(a.ctx, c.Python, c.TorchScript, "--events", fmt.Sprint(events), "--candidates", fmt.Sprint(searchCandidates), "--kept", fmt.Sprint(searchKept))
	cmd.Stderr = a.err
	in, err := cmd.StdinPipe()
	if err != nil {
		return row{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return row{}, err
	}
	if err := cmd.Start(); err != nil {
		return row{}, fmt.Errorf("%w: %w", errNoTorch, err)
	}
	t := &torch{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	defer t.close()
	first, err := t.reply()
	if err != nil || !first.Ready {
		return row{}, fmt.Errorf("%w: %w", errNoTorch, err)
	}
	var mine, theirs []float64
	for range 5 {
		r, err := t.steps(10)
		if err != nil {
			return row{}, err
		}
		theirs = append(theirs, median(r.Seconds))
		mine = append(mine, work.time(10).Seconds())
	}
	return row{Value: median(theirs) / median(mine), unit: "", wanted: "at least 3", Detail: map[string]any{
		"events": events, "candidates": searchCandidates, "k": searchKept, "threads": 1, "torch": first.Torch, "torch_ms": 1000 * median(theirs), "ms": 1000 * median(mine),
	}}, nil
}
