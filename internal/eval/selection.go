package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrNothingRelevant says that a case has no relevant event, so that no
// selection of its history is better than another: leave it out of the mean.
var ErrNothingRelevant = errors.New("no event is relevant")

// SelectionNDCG judges what a search picked out of a history of len(relevance)
// events: selected holds the places of the picked events, the one scored highest
// first, and the first k of them count. With discount 1/log2(rank+1),
//
//	NDCG@k = sum over r of relevance[selected[r]] * discount(r) / the same sum for the k largest relevances in order
//
// which is 1 when the search found the k most relevant events in their order
// (Järvelin & Kekäläinen, ACM TOIS 20(4), 2002, gain as it is). A selection of
// fewer than k loses what it left out. Relevance must be finite and not negative.
// ErrNothingRelevant when all is 0.
func SelectionNDCG(relevance []float64, selected []int32, k int) (float64, error) {
	if k < 1 {
		return 0, fmt.Errorf("gain of a selection of %d events", k)
	}
	for i, r := range relevance {
		if !(r >= 0 && r <= math.MaxFloat64) {
			return 0, fmt.Errorf("gain of a selection: the relevance of event %d is %g, want a number from 0", i, r)
		}
	}
	if err := checkSelected(selected, len(relevance)); err != nil {
		return 0, fmt.Errorf("gain of a selection: %w", err)
	}
	best := slices.Clone(relevance)
	slices.Sort(best)
	slices.Reverse(best)
	var got, ideal float64
	for r := range min(k, len(best)) {
		ideal += best[r] / math.Log2(float64(r+2))
	}
	for r := range min(k, len(selected)) {
		got += relevance[selected[r]] / math.Log2(float64(r+2))
	}
	if ideal == 0 {
		return 0, fmt.Errorf("gain of a selection out of %d events: %w", len(relevance), ErrNothingRelevant)
	}
	return got / ideal, nil
}

// SelectionRecall is the share of the relevant events of a history of n that
// were selected. It can reach 1 only where the selection has room for all of
// them. ErrNothingRelevant when there is none.
func SelectionRecall(selected, relevant []int32, n int) (float64, error) {
	for _, list := range [...][]int32{selected, relevant} {
		if err := checkSelected(list, n); err != nil {
			return 0, fmt.Errorf("recall of a selection: %w", err)
		}
	}
	if len(relevant) == 0 {
		return 0, fmt.Errorf("recall of a selection: %w", ErrNothingRelevant)
	}
	picked := newMarks(n)
	for _, i := range selected {
		picked.add(i)
	}
	hits := 0
	for _, i := range relevant {
		if !picked.add(i) {
			hits++
		}
	}
	return float64(hits) / float64(len(relevant)), nil
}

// checkSelected holds places to be different and of a history of n events.
func checkSelected(places []int32, n int) error {
	seen := newMarks(n)
	for _, i := range places {
		if i < 0 || int(i) >= n {
			return fmt.Errorf("event %d is outside a history of %d", i, n)
		}
		if !seen.add(i) {
			return fmt.Errorf("event %d is there twice", i)
		}
	}
	return nil
}
