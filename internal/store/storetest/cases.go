package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

func testAppend(t *testing.T, open Open) {
	s := open(t, wide())
	a, b, c := at("u", "a", 1), at("u", "b", 2), at("v", "c", 3)
	bare := b
	bare.Kind = ""
	mustAppend(t, s, nil, store.Result{})
	wantHistory(t, s, "u", nil)
	mustAppend(t, s, []event.Event{b, c, a, bare}, store.Result{Accepted: 3, Duplicate: 1})
	mustAppend(t, s, []event.Event{a, b}, store.Result{Duplicate: 2})
	mustAppend(t, s, []event.Event{b, at("u", "b", 3)}, store.Result{Accepted: 1, Duplicate: 1})
	wantHistory(t, s, "u", []event.Event{a, b, at("u", "b", 3)})
	wantHistory(t, s, "v", []event.Event{c})
	wantHistory(t, s, "nobody", nil)

	buy := a
	buy.Kind = "buy"
	mustAppend(t, s, []event.Event{buy}, store.Result{Accepted: 1})
	wantHistory(t, s, "u", []event.Event{buy, a, b, at("u", "b", 3)})
}

func testLate(t *testing.T, open Open) {
	for _, n := range []int{2, 100, 1000, 3000} {
		s := open(t, wide())
		events := series("u", n)
		var even, odd []event.Event
		for i, e := range events {
			if i%2 == 0 {
				even = append(even, e)
			} else {
				odd = append(odd, e)
			}
		}
		mustAppend(t, s, even, store.Result{Accepted: len(even)})
		mustAppend(t, s, shuffled(odd, 1), store.Result{Accepted: len(odd)})
		wantHistory(t, s, "u", events)
		mustAppend(t, s, shuffled(events, 2), store.Result{Duplicate: n})
		first := at("u", "first", -1000)
		mustAppend(t, s, []event.Event{first}, store.Result{Accepted: 1})
		wantHistory(t, s, "u", append([]event.Event{first}, events...))
	}
}

func testEqualTimes(t *testing.T, open Open) {
	// More than any chunk holds, so that the edges of chunks lie within the same millisecond.
	const n = 1500
	var events []event.Event
	for i := range n {
		e := at("u", fmt.Sprintf("item-%d", i/2), 0)
		e.Kind = []event.Kind{"view", "buy"}[i%2]
		events = append(events, e)
	}
	s := open(t, wide())
	for part := range slices.Chunk(shuffled(events, 3), 97) {
		mustAppend(t, s, part, store.Result{Accepted: len(part)})
	}
	slices.SortFunc(events, event.Compare)
	wantHistory(t, s, "u", events)
	mustAppend(t, s, shuffled(events, 4), store.Result{Duplicate: n})
}

func testIDs(t *testing.T, open Open) {
	ids := []string{
		"a", "a ", "ab", "A", "é", "e\u0301", "日本語", "\U0001F600", "\u00a0", "\ufffd", "\U0010ffff",
		"u:1", "{u}", "{}", "*", "?", "[a]", "\\", "/", "..", "%00", "'", "\"", strings.Repeat("x", 256), strings.Repeat("é", 128),
	}
	s := open(t, wide())
	var all []event.Event
	for i, id := range ids {
		for j, item := range ids {
			e := at(id, item, (i*j)%5)
			e.Kind = event.Kind(ids[(i+j)%len(ids)])
			all = append(all, e)
		}
	}
	mustAppend(t, s, shuffled(all, 5), store.Result{Accepted: len(all)})
	mustAppend(t, s, all, store.Result{Duplicate: len(all)})
	slices.SortFunc(all, event.Compare)
	for _, id := range ids {
		var want []event.Event
		for _, e := range all {
			if string(e.User) == id {
				want = append(want, e)
			}
		}
		wantHistory(t, s, event.UserID(id), want)
	}
}

func testInvalid(t *testing.T, open Open) {
	s := open(t, wide())
	good := at("u", "a", 1)
	cases := map[string]func(*event.Event){
		"no user":           func(e *event.Event) { e.User = "" },
		"no item":           func(e *event.Event) { e.Item = "" },
		"user of 257 bytes": func(e *event.Event) { e.User = event.UserID(strings.Repeat("x", 257)) },
		"item with a zero":  func(e *event.Event) { e.Item = "a\x00b" },
		"kind with newline": func(e *event.Event) { e.Kind = "a\n" },
		"broken UTF-8":      func(e *event.Event) { e.Item = "\xff" },
		"before 1970":       func(e *event.Event) { e.Time = -1 },
		"after 9999":        func(e *event.Event) { e.Time = event.MaxTime + 1 },
	}
	for name, spoil := range cases {
		bad := good
		spoil(&bad)
		_, err := s.Append(context.Background(), []event.Event{good, bad})
		wantError(t, name, err, store.ErrInvalid)
	}
	wantHistory(t, s, "u", nil)
	edge := []event.Event{{User: "u", Item: "a", Kind: "view", Time: 0}, {User: "u", Item: "a", Kind: "view", Time: event.MaxTime}}
	mustAppend(t, s, edge, store.Result{Accepted: 2})
	wantHistory(t, s, "u", edge)
}

func testRecent(t *testing.T, open Open) {
	s := open(t, wide())
	events := series("u", 900)
	mustAppend(t, s, events, store.Result{Accepted: 900})
	for _, n := range []int{-1, 0, 1, 2, 63, 64, 65, 199, 200, 201, 319, 320, 321, 512, 899, 900, 901, 1 << 40} {
		got, err := s.Recent(context.Background(), "u", n)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("recent %d", n), got, events[len(events)-min(max(n, 0), 900):])
	}
}

func testLong(t *testing.T, open Open) {
	const n = 20_000
	s := open(t, wide())
	events := series("u", n)
	for part := range slices.Chunk(events, 1000) {
		mustAppend(t, s, part, store.Result{Accepted: len(part)})
	}
	late := at("u", "late", n/3)
	mustAppend(t, s, []event.Event{late, events[5], events[n-1]}, store.Result{Accepted: 1, Duplicate: 2})
	// Late events far apart in one batch.
	first, last := at("u", "zero", 0), at("u", "zero", n-1)
	mustAppend(t, s, []event.Event{last, first}, store.Result{Accepted: 2})
	events = append(events, late, first, last)
	slices.SortFunc(events, event.Compare)
	wantHistory(t, s, "u", events)
}

func testPaging(t *testing.T, open Open) {
	s := open(t, wide())
	var events, buys []event.Event
	for i, e := range series("u", 1200) {
		if i%10 == 3 {
			e.Kind = "buy"
			buys = append(buys, e)
		}
		events = append(events, e)
	}
	mustAppend(t, s, events, store.Result{Accepted: len(events)})
	slices.Reverse(events)
	slices.Reverse(buys)
	for _, limit := range []int{-1, 0, 1000, 999, 300, 120, 40, 7, 5000} {
		p := store.Page{Limit: limit}
		got, n := pages(t, s, "u", p)
		equal(t, fmt.Sprintf("pages of %d", limit), got, events)
		if want := (len(events) + p.Size() - 1) / p.Size(); n != want {
			t.Errorf("%d pages of %d, want %d", n, p.Size(), want)
		}
		got, _ = pages(t, s, "u", store.Page{Limit: limit, Kind: "buy"})
		equal(t, fmt.Sprintf("pages of %d by kind", limit), got, buys)
	}
	got, _ := pages(t, s, "u", store.Page{Kind: "never seen"})
	equal(t, "unknown kind", got, nil)

	// Appending between the pages adds nothing to pages that are past, and what is yet to come is in its place.
	first, next, err := s.History(context.Background(), "u", store.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	old := at("u", "late", 100)
	mustAppend(t, s, []event.Event{at("u", "new", 9999), at("u", "in page one", 1000), old}, store.Result{Accepted: 3})
	rest, _ := pages(t, s, "u", store.Page{Limit: 500, Before: next})
	want := slices.DeleteFunc(append(slices.Clone(events), old), func(e event.Event) bool { return slices.Contains(first, e) })
	slices.SortFunc(want, func(a, b event.Event) int { return event.Compare(b, a) })
	equal(t, "pages after an append", rest, want)
}

func testCursors(t *testing.T, open Open) {
	s := open(t, wide())
	for _, user := range []string{"u", "v"} {
		mustAppend(t, s, series(user, 10), store.Result{Accepted: 10})
	}
	_, next, err := s.History(context.Background(), "u", store.Page{Limit: 3})
	if err != nil || next == "" {
		t.Fatalf("first page: cursor %q, %v", next, err)
	}
	bad := map[string]store.Page{
		"not base64": {Before: "***"}, "short": {Before: "AQ"}, "cut": {Before: next[:len(next)-1]}, "longer": {Before: next + "AA"},
		"long": {Before: strings.Repeat("A", 5000)}, "for a kind": {Before: next, Kind: "view"},
	}
	for i := range next {
		changed := []byte(next)
		changed[i] = map[bool]byte{true: 'B', false: 'A'}[changed[i] == 'A']
		bad[fmt.Sprintf("byte %d changed", i)] = store.Page{Before: string(changed)}
	}
	for name, page := range bad {
		_, _, err := s.History(context.Background(), "u", page)
		wantError(t, name, err, store.ErrCursor)
	}
	_, _, err = s.History(context.Background(), "v", store.Page{Before: next})
	wantError(t, "cursor of another user", err, store.ErrCursor)
}

func testCap(t *testing.T, open Open) {
	for _, limit := range []int{1, 5, 320, 700} {
		c := wide()
		c.Cap = limit
		s := open(t, c)
		events := series("u", 3*limit)
		mustAppend(t, s, events[:limit], store.Result{Accepted: limit})
		for part := range slices.Chunk(events[limit:2*limit], 1+limit/40) {
			mustAppend(t, s, part, store.Result{Accepted: len(part)})
		}
		wantHistory(t, s, "u", events[limit:2*limit])
		mustAppend(t, s, events, store.Result{Accepted: limit, Duplicate: limit, Dropped: limit})
		wantHistory(t, s, "u", events[2*limit:])
		mustAppend(t, s, events[:1], store.Result{Dropped: 1})
		wantHistory(t, s, "u", events[2*limit:])
	}
}

func testCapAnyOrder(t *testing.T, open Open) {
	c := wide()
	c.Cap = 800
	events := series("u", 2500)
	for seed := range uint64(3) {
		s := open(t, c)
		for part := range slices.Chunk(shuffled(events, seed), 131) {
			if _, err := s.Append(context.Background(), part); err != nil {
				t.Fatal(err)
			}
		}
		wantHistory(t, s, "u", events[len(events)-c.Cap:])
	}
}

func testTTL(t *testing.T, open Open) {
	now := start
	s := open(t, Config{Cap: 10_000, TTL: 24 * time.Hour, Now: func() time.Time { return now }})
	events := series("u", 1000)
	mustAppend(t, s, events[:999], store.Result{Accepted: 999})
	now = now.Add(23 * time.Hour)
	mustAppend(t, s, events[999:], store.Result{Accepted: 1})
	now = now.Add(23 * time.Hour)
	wantHistory(t, s, "u", events)
	now = now.Add(2 * time.Hour)
	wantHistory(t, s, "u", nil)
	wantUsers(t, s)
	if r, err := s.Erase(context.Background(), "u"); err != nil || r.Events != 0 {
		t.Fatalf("erase of an expired history: %+v, %v; want 0 events", r, err)
	}
	mustAppend(t, s, events, store.Result{Accepted: 1000})
	now = now.Add(25 * time.Hour)
	mustAppend(t, s, events[:1], store.Result{Accepted: 1})
	wantHistory(t, s, "u", events[:1])
	mustAppend(t, s, events[1:], store.Result{Accepted: 999})
	wantHistory(t, s, "u", events)
}

func testErase(t *testing.T, open Open) {
	s := open(t, wide())
	ctx := context.Background()
	events := series("u", 700)
	mustAppend(t, s, events, store.Result{Accepted: 700})
	mustAppend(t, s, series("u2", 5), store.Result{Accepted: 5})
	r, err := s.Erase(ctx, "u")
	if err != nil {
		t.Fatal(err)
	}
	if r.ID == "" || r.Events != 700 || !r.At.Equal(start) || len(r.UserHash) != 64 {
		t.Errorf("receipt %+v, want an id, 700 events, a hash and the time %v", r, start)
	}
	if got, err := s.Erasure(ctx, r.ID); err != nil || got != r {
		t.Errorf("receipt read back: %+v, %v; want %+v", got, err, r)
	}
	wantHistory(t, s, "u", nil)
	wantHistory(t, s, "u2", series("u2", 5))
	again, err := s.Erase(ctx, "u")
	if err != nil || again.Events != 0 || again.ID == r.ID || again.UserHash != r.UserHash {
		t.Errorf("second erasure %+v, %v; want 0 events, a new id and the same hash", again, err)
	}
	other, err := s.Erase(ctx, "nobody")
	if err != nil || other.Events != 0 || other.UserHash == r.UserHash {
		t.Errorf("erasure of an unknown user %+v, %v; want 0 events and another hash", other, err)
	}
	_, err = s.Erasure(ctx, "no-such-erasure")
	wantError(t, "unknown erasure", err, store.ErrNotFound)
	_, err = s.Erase(ctx, "")
	wantError(t, "no user", err, store.ErrInvalid)
	mustAppend(t, s, events[:3], store.Result{Accepted: 3})
	wantHistory(t, s, "u", events[:3])

	list, err := store.ListErasures(ctx, s)
	if err != nil || len(list.Receipts) != 3 {
		t.Fatalf("list of erasures: %d, %v; want 3", len(list.Receipts), err)
	}
	store.SortReceipts(list.Receipts)
	want := []store.Receipt{r, again, other}
	store.SortReceipts(want)
	if !slices.Equal(list.Receipts, want) {
		t.Errorf("list of erasures %+v, want %+v", list.Receipts, want)
	}
	for user, erased := range map[event.UserID]bool{"u": true, "nobody": true, "u2": false} {
		if at, ok := list.Until(user); ok != erased || erased && !at.Equal(start) {
			t.Errorf("list of erasures: %s until %v, %v; want %v", user, at, ok, erased)
		}
	}
	stop := errors.New("enough")
	if err := s.EachErasure(ctx, func(store.Receipt) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// testAppendSent: an erasure holds against what was sent before it, in any batch and however often, and against nothing
// else.
func testAppendSent(t *testing.T, open Open) {
	s := open(t, wide())
	ctx := context.Background()
	now := start.UnixMilli()
	sent := func(want store.Result, events []event.Event, at ...int64) {
		t.Helper()
		moments := make([]int64, len(events))
		for i := range moments {
			moments[i] = at[i%len(at)]
		}
		if got, err := s.AppendSent(ctx, events, moments); err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	}
	events := series("u", 900)
	sent(store.Result{Accepted: 900}, events, now-1)
	sent(store.Result{Duplicate: 900}, events, now+1)
	for range 2 {
		if _, err := s.Erase(ctx, "u"); err != nil {
			t.Fatal(err)
		}
		sent(store.Result{Erased: 900}, events, now-1, now)
		wantHistory(t, s, "u", nil)
	}
	other := series("other", 5)
	sent(store.Result{Erased: 450, Accepted: 455}, append(other, events...), now+1, now)
	var kept []event.Event
	for i, e := range events {
		if (i+len(other))%2 == 0 {
			kept = append(kept, e)
		}
	}
	wantHistory(t, s, "other", other)
	wantHistory(t, s, "u", kept)
	sent(store.Result{Erased: 1}, []event.Event{at("u", "late", 5000)}, now)
	mustAppend(t, s, events, store.Result{Accepted: 900 - len(kept), Duplicate: len(kept)})
	if got, err := s.AppendSent(ctx, events, nil); err != nil || got.Duplicate != 900 {
		t.Errorf("sent now: %+v, %v", got, err)
	}
}

func testUsers(t *testing.T, open Open) {
	s := open(t, wide())
	var want []event.UserID
	for i := range 50 {
		user := fmt.Sprintf("user-%d", i)
		mustAppend(t, s, series(user, 1+i*20), store.Result{Accepted: 1 + i*20})
		want = append(want, event.UserID(user))
	}
	wantUsers(t, s, want...)
	if _, err := s.Erase(context.Background(), want[49]); err != nil {
		t.Fatal(err)
	}
	wantUsers(t, s, want[:49]...)
	stop := errors.New("stop")
	calls := 0
	err := s.Users(context.Background(), func(event.UserID) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("a function that stops: error %v after %d calls, want its own error after 1", err, calls)
	}
}

func wantUsers(t *testing.T, s store.Store, want ...event.UserID) {
	t.Helper()
	var got []event.UserID
	if err := s.Users(context.Background(), func(u event.UserID) error { got = append(got, u); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("users %q, want %q", got, want)
	}
}

func testCancelled(t *testing.T, open Open) {
	s := open(t, wide())
	mustAppend(t, s, series("u", 10), store.Result{Accepted: 10})
	mustPut(t, s, store.Item{ID: "a"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, err := range callAll(ctx, s) {
		wantError(t, name, err, context.Canceled)
	}
	wantHistory(t, s, "u", series("u", 10))
	wantHistory(t, s, "new", nil)
	wantItems(t, s, []event.ItemID{"a", "new"}, store.Item{ID: "a", Updated: start})
}

func testClosed(t *testing.T, open Open) {
	s := open(t, wide())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range callAll(context.Background(), s) {
		wantError(t, name, err, store.ErrClosed)
	}
	wantError(t, "second close", s.Close(), store.ErrClosed)
}

// callAll calls every method that takes a context and returns the errors by method.
func callAll(ctx context.Context, s store.Store) map[string]error {
	errs := make(map[string]error)
	_, errs["Append"] = s.Append(ctx, []event.Event{at("new", "a", 1)})
	_, errs["AppendSent"] = s.AppendSent(ctx, []event.Event{at("new", "a", 1)}, []int64{1})
	_, errs["Recent"] = s.Recent(ctx, "u", 5)
	_, _, errs["History"] = s.History(ctx, "u", store.Page{})
	errs["Users"] = s.Users(ctx, func(event.UserID) error { return nil })
	_, errs["Erase"] = s.Erase(ctx, "u")
	_, errs["Erasure"] = s.Erasure(ctx, "x")
	errs["EachErasure"] = s.EachErasure(ctx, func(store.Receipt) error { return nil })
	errs["PutItems"] = s.PutItems(ctx, []store.Item{{ID: "new"}})
	_, errs["Items"] = s.Items(ctx, []event.ItemID{"a"})
	errs["DeleteItem"] = s.DeleteItem(ctx, "a")
	errs["AllItems"] = s.AllItems(ctx, func(store.Item) error { return nil })
	return errs
}
