package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// testWriters lets several writers bring the same events, each in another order and cut, to an empty store, so that they
// meet over new items, new kinds and new users. Each event must be accepted exactly once.
func testWriters(t *testing.T, open Open) {
	const writers = 6
	s := open(t, wide())
	var events []event.Event
	byUser := make(map[event.UserID][]event.Event)
	for u := range 10 {
		for i := range 150 {
			e := at(fmt.Sprintf("user-%d", u), fmt.Sprintf("item-%d", u*31+i%97), i/3)
			e.Kind = event.Kind(fmt.Sprintf("kind-%d", i%7))
			events = append(events, e)
		}
	}
	slices.SortFunc(events, event.Compare)
	events = slices.Compact(events)
	for _, e := range events {
		byUser[e.User] = append(byUser[e.User], e)
	}
	var results [writers]store.Result
	concurrently(t, writers, func(w int) error {
		for part := range slices.Chunk(shuffled(events, uint64(w)), 20+w*13) {
			r, err := s.Append(context.Background(), part)
			if err != nil {
				return err
			}
			results[w].Accepted += r.Accepted
			results[w].Duplicate += r.Duplicate
		}
		return nil
	})
	var sum store.Result
	for _, r := range results {
		sum.Accepted += r.Accepted
		sum.Duplicate += r.Duplicate
	}
	if want := (store.Result{Accepted: len(events), Duplicate: (writers - 1) * len(events)}); sum != want {
		t.Errorf("all writers together: %+v, want %+v", sum, want)
	}
	for user, want := range byUser {
		wantHistory(t, s, user, want)
	}
}

// testReaders reads a history while it grows in order. What a reader sees must be the newest part of some moment:
// without a gap, without a repetition, never shorter than what it saw before.
func testReaders(t *testing.T, open Open) {
	s := open(t, wide())
	events := series("u", 1500)
	place := make(map[event.Event]int, len(events))
	for i, e := range events {
		place[e] = i
	}
	done := make(chan struct{})
	concurrently(t, 3, func(w int) error {
		if w == 0 {
			defer close(done)
			for part := range slices.Chunk(events, 21) {
				if _, err := s.Append(context.Background(), part); err != nil {
					return err
				}
			}
			return nil
		}
		seen := 0
		for {
			select {
			case <-done:
				return nil
			default:
			}
			got, err := s.Recent(context.Background(), "u", w*250)
			if err != nil {
				return err
			}
			if err := unbroken(got, place, w*250, seen); err != nil {
				return err
			}
			if len(got) > 0 {
				seen = place[got[len(got)-1]] + 1
			}
		}
	})
	wantHistory(t, s, "u", events)
}

// unbroken checks that got is the newest n of a prefix of all events, no shorter than seen.
func unbroken(got []event.Event, place map[event.Event]int, n, seen int) error {
	if len(got) == 0 {
		if seen > 0 {
			return fmt.Errorf("history of at least %d events was read as empty", seen)
		}
		return nil
	}
	last := place[got[len(got)-1]]
	if last+1 < seen || len(got) != min(n, last+1) {
		return fmt.Errorf("read %d events up to number %d after having seen %d", len(got), last, seen)
	}
	for i, e := range got {
		if place[e] != last-len(got)+1+i {
			return fmt.Errorf("event %d of %d read is number %d, want %d", i, len(got), place[e], last-len(got)+1+i)
		}
	}
	return nil
}

// testEraseRace erases users while they are appended to. Erased and kept events must add up to those accepted.
func testEraseRace(t *testing.T, open Open) {
	s := open(t, wide())
	users := []event.UserID{"a", "b", "c"}
	var accepted, erased [4]int
	concurrently(t, 4, func(w int) error {
		for i := range 40 {
			user := users[(w+i)%3]
			if i%8 == 7 {
				r, err := s.Erase(context.Background(), user)
				if err != nil {
					return err
				}
				erased[w] += r.Events
				continue
			}
			var batch []event.Event
			for j := range 30 {
				batch = append(batch, at(string(user), fmt.Sprintf("item-%d-%d", w, j), i*100+j))
			}
			r, err := s.Append(context.Background(), batch)
			if err != nil {
				return err
			}
			accepted[w] += r.Accepted
		}
		return nil
	})
	balance := 0
	for w := range accepted {
		balance += accepted[w] - erased[w]
	}
	for _, user := range users {
		kept, _ := pages(t, s, user, store.Page{})
		balance -= len(kept)
	}
	if balance != 0 {
		t.Errorf("accepted events less erased and kept ones: %d, want 0", balance)
	}
}

// testSentRace erases users while what was sent before still comes in. Nothing of it may be left.
func testSentRace(t *testing.T, open Open) {
	s := open(t, wide())
	const users = 60
	var turn [users]sync.WaitGroup // so that all are at the same user
	for u := range turn {
		turn[u].Add(4)
	}
	concurrently(t, 4, func(w int) error {
		for u := range users {
			turn[u].Done()
			turn[u].Wait()
			user := fmt.Sprintf("user-%d", u)
			if w == 0 {
				if _, err := s.Erase(context.Background(), event.UserID(user)); err != nil {
					return err
				}
				continue
			}
			for i := range 3 {
				batch := []event.Event{at(user, "a", w*10+i), at(user, "b", w*10+i)}
				if _, err := s.AppendSent(context.Background(), batch, []int64{start.UnixMilli(), start.UnixMilli() - 5}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	wantUsers(t, s)
}

// concurrently runs fn for workers 0 to n-1 and waits; the first error of each fails the test.
func concurrently(t *testing.T, n int, fn func(worker int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			if err := fn(w); err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	wg.Wait()
}
