package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

func testItems(t *testing.T, open Open) {
	s := open(t, wide())
	full := store.Item{
		ID: "日本/{1}", Title: "A <title> & more", Categories: []string{"b", "a"}, Hidden: true,
		Attributes: map[string]any{"year": 1999.0, "tags": []any{"x", nil, true}, "deep": map[string]any{"k": "v"}},
		Updated:    time.Date(2020, 2, 29, 1, 2, 3, 4_000_000, time.UTC),
	}
	bare := store.Item{ID: "bare"}
	mustPut(t, s)
	mustPut(t, s, full, bare)
	bare.Updated = start
	wantItems(t, s, []event.ItemID{"bare", "unknown", full.ID, "bare"}, bare, full, bare)
	wantAllItems(t, s, bare, full)

	changed := store.Item{ID: full.ID, Title: "now visible", Updated: start.Add(time.Millisecond)}
	mustPut(t, s, changed)
	wantItems(t, s, []event.ItemID{full.ID}, changed)
	if err := s.DeleteItem(context.Background(), "bare"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "delete twice", s.DeleteItem(context.Background(), "bare"), store.ErrNotFound)
	wantItems(t, s, []event.ItemID{"bare"})
	wantAllItems(t, s, changed)

	stop := errors.New("stop")
	if err := s.AllItems(context.Background(), func(store.Item) error { return stop }); err != stop {
		t.Errorf("a function that stops: error %v, want its own", err)
	}

	// Items and histories do not meddle with each other.
	mustAppend(t, s, []event.Event{at("u", "bare", 1)}, store.Result{Accepted: 1})
	wantItems(t, s, []event.ItemID{"bare"})
	if err := s.DeleteItem(context.Background(), full.ID); err != nil {
		t.Fatal(err)
	}
	wantHistory(t, s, "u", []event.Event{at("u", "bare", 1)})
}

func testInvalidItems(t *testing.T, open Open) {
	s := open(t, wide())
	cases := map[string]store.Item{
		"no id":       {},
		"long id":     {ID: event.ItemID(strings.Repeat("x", 257))},
		"control":     {ID: "a\tb"},
		"too large":   {ID: "a", Title: strings.Repeat("x", store.MaxItem)},
		"not as JSON": {ID: "a", Attributes: map[string]any{"f": func() {}}},
	}
	for name, bad := range cases {
		err := s.PutItems(context.Background(), []store.Item{{ID: "good"}, bad})
		wantError(t, name, err, store.ErrInvalid)
	}
	wantAllItems(t, s)
}

func mustPut(t *testing.T, s store.Store, items ...store.Item) {
	t.Helper()
	if err := s.PutItems(context.Background(), items); err != nil {
		t.Fatalf("put items: %v", err)
	}
}

func wantItems(t *testing.T, s store.Store, ids []event.ItemID, want ...store.Item) {
	t.Helper()
	got, err := s.Items(context.Background(), ids)
	if err != nil {
		t.Fatalf("items %q: %v", ids, err)
	}
	sameItems(t, got, want)
}

func wantAllItems(t *testing.T, s store.Store, want ...store.Item) {
	t.Helper()
	var got []store.Item
	if err := s.AllItems(context.Background(), func(i store.Item) error { got = append(got, i); return nil }); err != nil {
		t.Fatalf("all items: %v", err)
	}
	byID := func(a, b store.Item) int { return strings.Compare(string(a.ID), string(b.ID)) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	sameItems(t, got, want)
}

func sameItems(t *testing.T, got, want []store.Item) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d items, want %d: %+v", len(got), len(want), got)
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("item %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}
