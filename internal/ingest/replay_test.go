package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// export writes a whole store as text.
func export(t *testing.T, s store.Histories) []byte {
	t.Helper()
	var users []event.UserID
	if err := s.Users(t.Context(), func(u event.UserID) error { users = append(users, u); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(users)
	var out bytes.Buffer
	for _, u := range users {
		history, err := s.Recent(t.Context(), u, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&out).Encode(history); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// TestReplay: a store rebuilt from the log equals the one that was filled live, bad records and repeats included; a
// window of time brings just that.
func TestReplay(t *testing.T) {
	opts := options(t, 3)
	opts.Batch = Batch{Events: 70, Bytes: 20_000}
	events := someEvents(3000, 50)
	produce(t, opts, events)
	produce(t, opts, events[:500])
	late := time.Now().Add(-time.Hour).Truncate(time.Millisecond) // by its stamp, not by its place
	produceRaw(t, opts, opts.Topic, kafka.Message{Key: []byte("x"), Value: []byte("bad")},
		kafka.Message{Key: []byte("ann"), Value: []byte(`{"user":"ann","item":"i","time":5}`), Time: late})
	live := openStore(t, t.TempDir())
	w := newWatcher()
	watched := opts
	watched.Observer = w
	stop := consume(t, watched, live)
	w.wait(t, "all records", func() bool { return w.records >= 3502 })
	stop()
	rebuilt := openStore(t, t.TempDir())
	var seen int64
	got, err := Replay(t.Context(), opts, Window{}, rebuilt, func(done, all int64) { seen = max(seen, done*10000+all) })
	if err != nil {
		t.Fatal(err)
	}
	if want := (Replayed{Records: 3502, Accepted: 3001, Duplicate: 500, Bad: map[string]int64{reasonJSON: 1}}); fmt.Sprint(got) != fmt.Sprint(want) || seen != 3502*10000+3502 {
		t.Errorf("replayed %v, want %v; progress %d", got, want, seen)
	}
	if !bytes.Equal(export(t, live), export(t, rebuilt)) {
		t.Error("the rebuilt store differs from the live one")
	}
	compare(t, rebuilt, append(events, event.Event{User: "ann", Item: "i", Time: 5}))

	nothing, err := Replay(t.Context(), opts, Window{From: time.Now().Add(time.Hour)}, rebuilt, nil)
	if err != nil || nothing.Records != 0 {
		t.Errorf("from the future: %v, %v", nothing, err)
	}
	nothing, err = Replay(t.Context(), opts, Window{To: late.Add(-time.Hour)}, rebuilt, nil)
	if err != nil || nothing.Records != 0 {
		t.Errorf("to before all: %v, %v", nothing, err)
	}
	again, err := Replay(t.Context(), opts, Window{From: late.Add(time.Minute), To: time.Now().Add(time.Hour)}, rebuilt, nil)
	if err != nil || again.Accepted != 0 || again.Duplicate < 3000 {
		t.Errorf("again: %v, %v", again, err)
	}
	if _, err := Replay(t.Context(), opts, Window{From: late, To: late}, rebuilt, nil); err == nil {
		t.Error("an empty window was replayed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Replay(ctx, opts, Window{}, rebuilt, nil); err == nil {
		t.Error("a cancelled replay succeeded")
	}
}

// TestReplayPastDamage: what the store holds of one user cannot be read; the others are replayed all the same, and the
// replay says that it is not complete.
func TestReplayPastDamage(t *testing.T) {
	for reason, err := range map[string]error{reasonCorrupt: store.ErrCorrupt, reasonNewer: store.ErrNewerFormat} {
		t.Run(reason, func(t *testing.T) {
			opts := options(t, 2)
			events := someEvents(300, 30)
			produce(t, opts, events)
			s := openStore(t, t.TempDir())
			got, err := Replay(t.Context(), opts, Window{}, picky{s, err}, nil)
			if !errors.Is(err, ErrRefused) || got.Accepted != 290 || got.Refused[reason] != 10 {
				t.Errorf("replayed %+v, %v; want 290 events in and 10 refused", got, err)
			}
			compare(t, s, slices.DeleteFunc(events, func(e event.Event) bool { return e.User == "user-3" }))
		})
	}
}
