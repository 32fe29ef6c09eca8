// Package storetest is the conformance suite of store: every backend runs it, by one call of Run in a test of its own.
//
// Stories (this file and cases.go) check one promise each; the model test (model.go) plays random operations on the
// backend and on a plain map, which must agree after each step; the race tests (race.go) run writers against each other.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// Config is what the suite asks of a backend that it opens.
type Config struct {
	Cap int              // most events kept of one user
	TTL time.Duration    // forget histories that have not changed for longer; 0 means never
	Now func() time.Time // clock
}

// Open opens a new, empty store for one test and sees to its removal by t.Cleanup. The suite may close it before.
type Open func(t *testing.T, c Config) store.Store

// start is the time at which the clock of every test stands.
var start = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

// wide is a configuration that drops nothing.
func wide() Config {
	return Config{Cap: 1_000_000, Now: func() time.Time { return start }}
}

// Run checks every promise of store.Store on a backend.
func Run(t *testing.T, open Open) {
	stories := []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"append", testAppend},
		{"late events", testLate},
		{"equal times", testEqualTimes},
		{"ids", testIDs},
		{"invalid", testInvalid},
		{"recent", testRecent},
		{"long history", testLong},
		{"paging", testPaging},
		{"cursors", testCursors},
		{"cap", testCap},
		{"cap in any order", testCapAnyOrder},
		{"time to live", testTTL},
		{"erase", testErase},
		{"sent before an erasure", testAppendSent},
		{"users", testUsers},
		{"items", testItems},
		{"invalid items", testInvalidItems},
		{"cancelled", testCancelled},
		{"closed", testClosed},
		{"model", testModel},
		{"writers meet", testWriters},
		{"readers see whole histories", testReaders},
		{"erase meets append", testEraseRace},
		{"erase meets what was sent before", testSentRace},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) { s.run(t, open) })
	}
}

// at returns an event n seconds into the world of a test.
func at(user, item string, n int) event.Event {
	return event.Event{User: event.UserID(user), Item: event.ItemID(item), Kind: event.DefaultKind, Time: 1_700_000_000_000 + int64(n)*1000}
}

// series returns n events of a user, sorted.
func series(user string, n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = at(user, fmt.Sprintf("item-%d", i*7919%500), i)
	}
	return out
}

func shuffled(events []event.Event, seed uint64) []event.Event {
	out := slices.Clone(events)
	rng := rand.New(rand.NewPCG(seed, 1))
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// mustAppend appends and checks the counts.
func mustAppend(t *testing.T, s store.Store, events []event.Event, want store.Result) {
	t.Helper()
	got, err := s.Append(context.Background(), events)
	if err != nil {
		t.Fatalf("append %d events: %v", len(events), err)
	}
	if got != want {
		t.Fatalf("append %d events: %+v, want %+v", len(events), got, want)
	}
}

// wantHistory checks by every way of reading that a user's history is want, which is sorted.
func wantHistory(t *testing.T, s store.Store, user event.UserID, want []event.Event) {
	t.Helper()
	for _, n := range []int{len(want) + 10, len(want), len(want) / 2, 200, 1} {
		got, err := s.Recent(context.Background(), user, n)
		if err != nil {
			t.Fatalf("recent %d: %v", n, err)
		}
		equal(t, fmt.Sprintf("recent %d", n), got, want[max(0, len(want)-n):])
	}
	got, _ := pages(t, s, user, store.Page{Limit: max(7, len(want)/5)})
	slices.Reverse(got)
	equal(t, "whole history", got, want)
}

// pages reads page after page and returns all events, newest first, and the number of pages.
func pages(t *testing.T, s store.Store, user event.UserID, p store.Page) ([]event.Event, int) {
	t.Helper()
	var all []event.Event
	for n := 1; ; n++ {
		got, next, err := s.History(context.Background(), user, p)
		if err != nil {
			t.Fatalf("page %d: %v", n, err)
		}
		all = append(all, got...)
		if next == "" {
			return all, n
		}
		if len(got) != p.Size() {
			t.Fatalf("page %d has %d events and is not the last, want %d", n, len(got), p.Size())
		}
		p.Before = next
	}
}

func equal(t *testing.T, what string, got, want []event.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d events, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: event %d is %+v, want %+v", what, i, got[i], want[i])
		}
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: error %v, want %v", what, err, want)
	}
}
