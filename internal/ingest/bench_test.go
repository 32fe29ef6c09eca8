package ingest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// discard is an Appender that measures nothing but what comes before it.
type discard struct{}

func (discard) AppendSent(_ context.Context, events []event.Event, _ []int64) (store.Result, error) {
	return store.Result{Accepted: len(events)}, nil
}

// BenchmarkTake is what a record costs between the fetch and the append.
func BenchmarkTake(b *testing.B) {
	opts := Options{Brokers: []string{"a:1"}, Topic: "t"}.withDefaults()
	p := &partition{opts: &opts, to: discard{}}
	records := make([]record, 2000)
	for i, e := range someEvents(len(records), 100) {
		value, err := json.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		records[i] = record{offset: int64(i), time: time.Now(), key: []byte(e.User), value: value}
	}
	b.ReportAllocs()
	for b.Loop() {
		p.take(b.Context(), records, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/event")
}
