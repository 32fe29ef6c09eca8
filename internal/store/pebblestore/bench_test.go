package pebblestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"seqrec/internal/event"
)

// traffic makes batches like those of a service: users at random, few items often and many seldom, time going on.
type traffic struct {
	rng   *rand.Rand
	zipf  *rand.Zipf
	users int
	now   int64 // Unix milliseconds
}

func newTraffic(seed uint64, users, items int) *traffic {
	rng := rand.New(rand.NewPCG(seed, 9))
	return &traffic{rng, rand.NewZipf(rng, 1.1, 20, uint64(items-1)), users, 1_700_000_000_000 + int64(seed)}
}

func (tr *traffic) fill(batch []event.Event) {
	for i := range batch {
		tr.now += tr.rng.Int64N(20_000)
		batch[i] = event.Event{
			User: event.UserID(fmt.Sprintf("user-%06d", tr.rng.IntN(tr.users))),
			Item: event.ItemID(fmt.Sprintf("item-%05d", tr.zipf.Uint64())),
			Kind: event.DefaultKind,
			Time: tr.now,
		}
	}
}

// BenchmarkAppend appends durable batches of 100 events of 10,000 users. An operation is a batch.
func BenchmarkAppend(b *testing.B) {
	const size = 100
	for _, callers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			var seed atomic.Uint64
			b.SetParallelism(callers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				tr := newTraffic(seed.Add(1), 10_000, 3_416)
				batch := make([]event.Event, size)
				for pb.Next() {
					tr.fill(batch)
					if _, err := s.Append(context.Background(), batch); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(s.Stats().LogBytes)/size/float64(b.N), "log-bytes/event")
		})
	}
}

// BenchmarkAppendLong appends single events to histories of 1,000 events: the dearest case per event.
func BenchmarkAppendLong(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	tr := newTraffic(1, 500, 3_416)
	big := make([]event.Event, 5000)
	for range 100 {
		tr.fill(big)
		mustAppend(b, s, big)
	}
	before := s.Stats().LogBytes
	batch := make([]event.Event, 100)
	for b.Loop() {
		tr.fill(batch)
		mustAppend(b, s, batch)
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(s.Stats().LogBytes-before)/100/float64(b.N), "log-bytes/event")
}

// BenchmarkDisk shows what a million events of 20,000 users take on disk, compacted.
func BenchmarkDisk(b *testing.B) {
	const total = 1_000_000
	for b.Loop() {
		s := open(b, b.TempDir(), Options{})
		tr := newTraffic(1, 20_000, 3_416)
		batch := make([]event.Event, 4000)
		for range total / len(batch) {
			tr.fill(batch)
			mustAppend(b, s, batch)
		}
		if err := s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(s.db.Metrics().Total().TablesSize)/total, "table-bytes/event")
		mustClose(b, s)
	}
}

func BenchmarkRecent(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	var events []event.Event
	for u := range 1000 {
		events = append(events, history(fmt.Sprintf("user-%d", u), 600)...)
	}
	mustAppend(b, s, events)
	if err := s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{50, 200, 500} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				got, err := s.Recent(context.Background(), event.UserID(fmt.Sprintf("user-%d", i*7919%1000)), n)
				if err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}
