package ingest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
)

// TestProducerBehindBrokersThatHang: what waits for them is bounded, although nobody waits for it any more, and a producer
// can be closed all the same.
func TestProducerBehindBrokersThatHang(t *testing.T) {
	k := ownBrokers(t, 1)
	opts := Options{Brokers: k.Addresses, Topic: "events", Session: 1500 * time.Millisecond, Drain: time.Second, Retry: 10 * time.Millisecond}
	makeTopics(t, opts, 1, 1)
	p, err := NewProducer(opts)
	if err != nil {
		t.Fatal(err)
	}
	some := make([]event.Event, 5000)
	for i := range some {
		some[i] = event.Event{User: "ann", Item: event.ItemID(strings.Repeat("i", 200)), Time: int64(i)}
	}
	for err = errors.New("not yet"); err != nil; err = p.Produce(t.Context(), some[:1]) {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	if err := k.Brokers[0].Pause(); err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	calls := 0
	for err = error(nil); !errors.Is(err, ErrBacklog); calls++ {
		if err = p.Produce(impatient, some); err == nil {
			t.Fatal("brokers that hang took events")
		}
		if calls*len(some)*messageSize > 2*maxWaiting {
			t.Fatalf("%d calls were let in", calls)
		}
	}
	if calls*len(some)*messageSize < maxWaiting/4 {
		t.Errorf("only %d calls were let in", calls)
	}
	if err := p.Close(); !errors.Is(err, ErrBacklog) {
		t.Errorf("close: %v, want that something is left", err)
	}
}
