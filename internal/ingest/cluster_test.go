package ingest

import (
	"testing"
	"time"
)

// TestFailover kills one of three brokers, and later another in its place, while events stream: what was acknowledged
// is in the store.
func TestFailover(t *testing.T) {
	k := ownBrokers(t, 3)
	w := newWatcher()
	opts := Options{
		Brokers: k.Addresses, Topic: "events", Group: "g", Session: 3 * time.Second, Drain: time.Second,
		Retry: 10 * time.Millisecond, Observer: w, Batch: Batch{Events: 50, Bytes: 10_000},
	}
	makeTopics(t, opts, 3, 3)
	events := someEvents(9000, 90)
	s := openStore(t, t.TempDir())
	consume(t, opts, slow{s})
	produceStubbornly(t, opts, events[:3000])
	w.wait(t, "a beginning", func() bool { return w.records > 500 })
	for i := range 2 {
		if err := k.Brokers[i].Kill(); err != nil {
			t.Fatal(err)
		}
		produceStubbornly(t, opts, events[3000*(i+1):3000*(i+2)])
		if err := k.Brokers[i].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Records may be read twice, and a lag be that of a fetch before the last records came; but an event is new once.
	w.wait(t, "all events", func() bool { return w.accepted == len(events) })
	compare(t, s, events)
}
