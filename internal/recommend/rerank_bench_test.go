package recommend

import (
	"math/rand/v2"
	"testing"

	"seqrec/internal/seqmodel/lifelong"
)

// BenchmarkRerank is a prediction with a second stage of width 16 over 10,000
// events that the store holds and a state that is kept.
func BenchmarkRerank(b *testing.B) {
	const items = 3416
	m, err := lifelong.New(lifelong.Config{Items: items, Width: 16, Length: 10_000, Positions: 256, Select: 100}, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	store, rng := newMemStore(), rand.New(rand.NewPCG(1, 2))
	past := make([]int, 10_000)
	for i := range past {
		past[i] = rng.IntN(items)
	}
	store.events["ann"] = did("ann", 1000, past...)
	s := startBoth(b, Config{}, store, newRing(items), m, 0.3)
	b.ReportAllocs()
	for b.Loop() {
		if a := predict(b, s, Request{User: "ann"}); a.Rerank.Events != len(past) {
			b.Fatalf("%+v", a.Rerank)
		}
	}
}
