package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// shelf is a Catalogue that a test can wait with.
type shelf struct {
	mu    sync.Mutex
	fresh *sync.Cond
	fail  int
	calls int
	items map[event.ItemID]store.Item
}

func newShelf() *shelf {
	s := &shelf{items: map[event.ItemID]store.Item{}}
	s.fresh = sync.NewCond(&s.mu)
	return s
}

func (s *shelf) Apply(_ context.Context, changes []ItemChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.fresh.Broadcast()
	s.calls++
	if s.fail > 0 {
		s.fail--
		return errors.New("away")
	}
	for _, c := range changes {
		if c.Item == nil {
			delete(s.items, c.ID)
			continue
		}
		if _, err := store.EncodeItem(*c.Item, c.At); err != nil { // as every store does
			return err
		}
		s.items[c.ID] = *c.Item
	}
	return nil
}

func (s *shelf) wait(done func(map[event.ItemID]store.Item) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !done(s.items) {
		s.fresh.Wait()
	}
}

// TestFollower: two followers end with what the topic says, old states are never shown, and a change comes through.
func TestFollower(t *testing.T) {
	opts := options(t, 1)
	p, err := NewProducer(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	put := func(id event.ItemID, title string, hidden bool) {
		t.Helper()
		item := store.Item{ID: id, Title: title, Hidden: hidden, Updated: time.UnixMilli(1_700_000_000_000).UTC(), Attributes: map[string]any{"n": 1.0}}
		if err := p.PutItems(t.Context(), []store.Item{item}); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "first", false)
	put("b", "gone", false)
	put("a", "second", true)
	if err := p.DeleteItem(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	produceRaw(t, opts, opts.ItemsTopic,
		kafka.Message{Key: []byte("c"), Value: []byte("not JSON")},
		kafka.Message{Key: []byte("c"), Value: []byte(`{"id":"d"}`)},
		kafka.Message{Key: []byte("c\n"), Value: []byte(`{"id":"c\n"}`)},
		kafka.Message{Key: []byte("c"), Value: []byte(`{"id":"c","title":"` + strings.Repeat("c", store.MaxItem) + `"}`)}, // no store would take it
		kafka.Message{Key: []byte("e"), Value: []byte(`{"id":"e","unknown":true}`)})
	w := newWatcher()
	opts.Observer = w
	shelves := []*shelf{newShelf(), newShelf()}
	shelves[0].fail = 2
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, s := range shelves {
		f, err := NewFollower(opts, s)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { f.Run(ctx) })
		<-f.CaughtUp()
		got := slices.Sorted(maps.Keys(s.items))
		if fmt.Sprint(got) != "[a e]" || s.items["a"].Title != "second" || !s.items["a"].Hidden || s.items["a"].Attributes["n"] != 1.0 {
			t.Errorf("caught up with %v", s.items)
		}
	}
	if shelves[1].calls != 1 {
		t.Errorf("the backlog was applied in %d parts", shelves[1].calls)
	}
	put("a", "third", false)
	if err := p.DeleteItem(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	for _, s := range shelves {
		s.wait(func(items map[event.ItemID]store.Item) bool { return items["a"].Title == "third" && len(items) == 1 })
	}
	cancel()
	running.Wait()
	if w.troubles["item"] != 8 || w.troubles["items"] != 2 {
		t.Errorf("troubles %v, want 4 bad records for each and 2 failures", w.troubles)
	}
}
