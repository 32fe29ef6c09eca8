package redisstore

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
)

var update = flag.Bool("update", false, "rewrite the sample of the current format")

const goldenFile = "testdata/store-v1.ndjson"

// stored is one key of the sample.
type stored struct {
	Key   string
	Value []byte            `json:",omitempty"` // of a string
	Hash  map[string][]byte `json:",omitempty"` // of a hash; see runes
}

// runes writes bytes as the runes of the same numbers, which JSON keeps; bytesOf undoes it.
func runes(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

func bytesOf(s string) string {
	var out []byte
	for _, r := range s {
		out = append(out, byte(r))
	}
	return string(out)
}

// sampleEvents are what the sample holds of its users.
func sampleEvents() map[event.UserID][]event.Event {
	odd := history("a{b}%", 3)
	odd[1].Kind = "buy"
	return map[event.UserID][]event.Event{"long": history("long", 900), "a{b}%": odd}
}

var sampleItem = store.Item{ID: "item-7", Title: "Seven", Hidden: true, Updated: time.UnixMilli(1_700_000_000_000).UTC()}

func sampleNow() time.Time { return time.UnixMilli(1_700_001_000_000) }

// TestGolden holds the format: what an earlier program wrote stays readable, and can be appended to.
func TestGolden(t *testing.T) {
	ctx := t.Context()
	r := startRedis(t, services.RedisOptions{})
	o := Options{Addrs: []string{r.Addr}, Now: sampleNow}
	if *update {
		writeGolden(t, o)
	}
	raw := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer raw.Close()
	check(t, raw.FlushAll(ctx).Err())
	f, err := os.Open(goldenFile)
	check(t, err)
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var e stored
		check(t, json.Unmarshal(in.Bytes(), &e))
		for field, value := range e.Hash {
			check(t, raw.HSet(ctx, e.Key, bytesOf(field), value).Err())
		}
		if e.Hash == nil {
			check(t, raw.Set(ctx, e.Key, e.Value, 0).Err())
		}
	}
	check(t, in.Err())
	s := open(t, o)
	for user, want := range sampleEvents() {
		if got, err := readAll(s, user); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %d events, %v; want %d", user, len(got), err, len(want))
		}
		if got, err := s.Append(ctx, want); err != nil || got.Duplicate != len(want) {
			t.Errorf("%q again: %+v, %v; want duplicates only", user, got, err)
		}
	}
	if got, err := s.Items(ctx, []event.ItemID{"item-7"}); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], sampleItem) {
		t.Errorf("items %+v, %v", got, err)
	}
	receipts, err := raw.HGetAll(ctx, s.keys.shared("e")).Result()
	check(t, err)
	for id := range receipts {
		if got, err := s.Erasure(ctx, id); err != nil || got.Events != 5 {
			t.Errorf("receipt %+v, %v; want one over 5 events", got, err)
		}
	}
	if len(receipts) != 1 {
		t.Errorf("%d receipts, want 1", len(receipts))
	}
}

func writeGolden(t *testing.T, o Options) {
	t.Helper()
	ctx := context.Background()
	s := open(t, o)
	for _, events := range sampleEvents() {
		mustAppend(t, s, events)
	}
	mustAppend(t, s, history("erased", 5))
	_, err := s.Erase(ctx, "erased")
	check(t, err)
	check(t, s.PutItems(ctx, []store.Item{sampleItem}))
	names, err := s.client.Keys(ctx, "*").Result()
	check(t, err)
	slices.Sort(names)
	f, err := os.Create(goldenFile)
	check(t, err)
	out := json.NewEncoder(f)
	for _, key := range names {
		e := stored{Key: key}
		if value, err := s.client.Get(ctx, key).Bytes(); err == nil {
			e.Value = value
		} else {
			all, err := s.client.HGetAll(ctx, key).Result()
			check(t, err)
			e.Hash = map[string][]byte{}
			for field, value := range all {
				e.Hash[runes(field)] = []byte(value)
			}
		}
		check(t, out.Encode(e))
	}
	check(t, f.Close())
}
