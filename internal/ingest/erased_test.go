package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
	"seqrec/internal/store/redisstore"
)

// TestErasedStaysErased: what was sent before an erasure does not bring the user back, whether it is ingested after it,
// comes back from the dead letters, or is replayed; what is sent after it does. A store rebuilt from the log equals the
// live one.
func TestErasedStaysErased(t *testing.T) {
	opts := options(t, 3)
	redis, err := services.StartRedis(t.Context(), t.TempDir(), "redis", services.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	live, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{redis.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := live.Close(); err != nil {
			t.Error(err)
		}
		if err := redis.Kill(); err != nil {
			t.Error(err)
		}
	})
	records := 0
	ingest := func(more int) {
		t.Helper()
		records += more
		w := newWatcher()
		watched := opts
		watched.Observer = w
		stop := consume(t, watched, live)
		w.wait(t, "the records", func() bool { return w.records >= more })
		stop()
	}
	before := someEvents(300, 3)
	produce(t, opts, before[:200])
	ingest(200)
	produce(t, opts, before[200:]) // under way while the user is erased
	r, err := live.Erase(t.Context(), "user-0")
	if err != nil || r.Events == 0 {
		t.Fatalf("erased %d events, %v", r.Events, err)
	}
	letter := func(item string, at time.Time) kafka.Message { // lacks its key, which mending gives it
		return kafka.Message{Value: fmt.Appendf(nil, `{"user":"user-0","item":%q,"time":7}`, item), Time: at}
	}
	produceRaw(t, opts, opts.Topic, letter("too late", r.At), letter("back by letter", r.At.Add(time.Millisecond)),
		kafka.Message{Key: []byte("user-0"), Value: []byte(`{"user":"user-0","item":"back","time":5}`), Time: r.At.Add(time.Millisecond)})
	ingest(103)
	if got, err := ReplayDeadLetters(t.Context(), opts); err != nil || got.Back != 2 {
		t.Fatalf("dead letters: %+v, %v", got, err)
	}
	ingest(2)
	want := slices.DeleteFunc(slices.Clone(before), func(e event.Event) bool { return e.User == "user-0" })
	want = append(want, event.Event{User: "user-0", Item: "back", Time: 5}, event.Event{User: "user-0", Item: "back by letter", Time: 7})
	compare(t, live, want)

	erased := int64(len(before)/3 + 1)
	again, err := Replay(t.Context(), opts, Window{}, live, nil)
	if err != nil || again.Accepted != 0 || again.Erased != erased || again.Records != int64(records) {
		t.Errorf("replayed into the live store: %+v, %v; want nothing new of %d, %d left out", again, err, records, erased)
	}
	list, err := store.ListErasures(t.Context(), live)
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := openStore(t, t.TempDir())
	got, err := Replay(t.Context(), opts, Window{Erased: []*store.ErasureList{list}}, rebuilt, nil)
	if err != nil || got.Accepted != int64(len(want)) || got.Erased != erased {
		t.Errorf("replayed into a new store: %+v, %v; want %d new, %d left out", got, err, len(want), erased)
	}
	if !bytes.Equal(export(t, live), export(t, rebuilt)) {
		t.Error("the rebuilt store differs from the live one")
	}
}

// TestSent: a header may say that an event was sent before its record, never that it was sent after it.
func TestSent(t *testing.T) {
	const stamp = 1_700_000_000_000
	for text, want := range map[string]int64{
		"": stamp, strconv.Itoa(stamp - 5): stamp - 5, strconv.Itoa(stamp + 5): stamp, "-9": -9, "soon": stamp, "99999999999999999999": stamp,
	} {
		r := record{time: time.UnixMilli(stamp), headers: []header{{headerSent, []byte(text)}}}
		if got := r.sent().UnixMilli(); got != want {
			t.Errorf("header %q: sent at %d, want %d", text, got, want)
		}
	}
	if none := (&record{}).sent(); !none.IsZero() {
		t.Errorf("no stamp: sent at %v, want before all erasures", none)
	}
}
