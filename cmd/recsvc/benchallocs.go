package main

import (
	"context"
	"fmt"
	"runtime"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/seqmodel"
)

type benchAllocsCmd struct{ pageFlag }

// Run counts allocations in this process.
func (c benchAllocsCmd) Run(_ context.Context, m *Main) error {
	return m.all("recsvc bench allocs", c.Write, allocRows)
}

// allocRows counts the heap allocations of encode, score and masked top-k, as a
// worker of the service runs them.
func allocRows() ([]row, error) {
	model, err := seqmodel.New(seqmodel.Config{Model: "sasrec", Items: benchItems, Length: benchLength}.WithDefaults(), 1)
	if err != nil {
		return nil, fmt.Errorf("make model: %w", err)
	}
	ranker := model.NewRanker()
	queries := []features.Query{{History: make([]int32, benchLength), Blocked: make([]uint64, (benchItems+63)/64), K: 10}}
	for i := range queries[0].History {
		queries[0].History[i] = int32(i * 17 % benchItems)
		queries[0].Blocked[queries[0].History[i]/64] |= 1 << (queries[0].History[i] % 64)
	}
	const rounds = 200
	dst := make([][]kernel.Scored, 1)
	for range 20 {
		ranker.Rank(dst, queries)
	}
	// The collector and its helpers allocate now and then; the smallest of some
	// rounds is what the code itself does.
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			ranker.Rank(dst, queries)
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.Mallocs-before.Mallocs)
	}
	return []row{{Name: "allocs-predict", Value: float64(least / rounds), unit: "allocations", wanted: "0",
		Detail: map[string]any{"rounds": rounds, "allocations_in_all_rounds": least, "history": benchLength, "items": benchItems, "k": 10}}}, nil
}
