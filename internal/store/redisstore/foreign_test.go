package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
)

// history returns n events of a user, sorted.
func history(user string, n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = event.Event{
			User: event.UserID(user), Item: event.ItemID(fmt.Sprintf("item-%d", i*7919%500)), Kind: event.DefaultKind,
			Time: 1_700_000_000_000 + int64(i)*1000,
		}
	}
	return out
}

func mustAppend(t testing.TB, s *Store, events []event.Event) {
	t.Helper()
	_, err := s.Append(context.Background(), events)
	check(t, err)
}

// readAll reads a user's whole history, sorted.
func readAll(s *Store, user event.UserID) ([]event.Event, error) {
	return s.Recent(context.Background(), user, 1<<30)
}

// TestForeignData spoils keys behind the store's back: every call that meets one fails with the right error, and nobody
// else is harmed.
func TestForeignData(t *testing.T) {
	ctx := t.Context()
	r := startRedis(t, services.RedisOptions{})
	headless := store.AppendChunk(nil, nil, []store.Entry{{}})
	sealedKey := string(store.SealedKey(history("u", 1)[0].Time, "item-0", "view"))
	cases := []struct {
		name  string
		spoil func(c redis.UniversalClient, k keys) error
		want  error
	}{
		{"head of another type", func(c redis.UniversalClient, k keys) error {
			c.Del(ctx, k.head("u"))
			return c.LPush(ctx, k.head("u"), "x").Err()
		}, store.ErrCorrupt},
		{"sealed chunks of another type", func(c redis.UniversalClient, k keys) error {
			return c.Set(ctx, k.sealed(k.head("u")), "x", 0).Err()
		}, store.ErrCorrupt},
		{"head newer", func(c redis.UniversalClient, k keys) error { return c.Set(ctx, k.head("u"), "\xC2", 0).Err() }, store.ErrNewerFormat},
		{"head spoiled", func(c redis.UniversalClient, k keys) error { return c.Set(ctx, k.head("u"), "x", 0).Err() }, store.ErrCorrupt},
		{"head empty", func(c redis.UniversalClient, k keys) error { return c.Set(ctx, k.head("u"), "", 0).Err() }, store.ErrCorrupt},
		{"newest chunk without head", func(c redis.UniversalClient, k keys) error { return c.Set(ctx, k.head("u"), headless, 0).Err() }, store.ErrCorrupt},
		{"older chunks gone", func(c redis.UniversalClient, k keys) error { return c.Del(ctx, k.sealed(k.head("u"))).Err() }, store.ErrCorrupt},
		{"older chunk spoiled", func(c redis.UniversalClient, k keys) error {
			return c.HSet(ctx, k.sealed(k.head("u")), sealedKey, "x").Err()
		}, store.ErrCorrupt},
		{"older chunk newer", func(c redis.UniversalClient, k keys) error {
			return c.HSet(ctx, k.sealed(k.head("u")), sealedKey, "\xC2").Err()
		}, store.ErrNewerFormat},
		{"number never given out", func(c redis.UniversalClient, k keys) error {
			return c.Set(ctx, k.head("u"), store.AppendChunk(nil, &store.Head{Touched: 40_000_000}, []store.Entry{{Item: 9999}}), 0).Err()
		}, store.ErrCorrupt},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, Options{Addrs: []string{r.Addr}, Prefix: fmt.Sprint("f", i)})
			mustAppend(t, s, history("u", 900))
			check(t, c.spoil(s.client, s.keys))
			if _, err := readAll(s, "u"); !errors.Is(err, c.want) {
				t.Errorf("recent: error %v, want %v", err, c.want)
			}
			if _, _, err := s.History(ctx, "u", store.Page{Limit: 1000}); !errors.Is(err, c.want) {
				t.Errorf("history: error %v, want %v", err, c.want)
			}
			if c.name != "number never given out" {
				both := append(history("u", 1), history("v", 3)...)
				both[0].Time-- // late, so that older chunks are read
				if _, err := s.Append(ctx, both); !errors.Is(err, c.want) {
					t.Errorf("append: error %v, want %v", err, c.want)
				}
				if got, err := readAll(s, "v"); err != nil || len(got) != 3 {
					t.Errorf("the neighbour has %d events, %v", len(got), err)
				}
			}
			if _, err := s.Erase(ctx, "u"); err != nil && !errors.Is(c.want, store.ErrNewerFormat) {
				t.Errorf("erase: %v", err)
			} else if err == nil {
				mustAppend(t, s, history("u", 900))
			}
		})
	}
}

// TestForeignStore spoils what belongs to no user.
func TestForeignStore(t *testing.T) {
	ctx := t.Context()
	r := startRedis(t, services.RedisOptions{})
	cases := []struct {
		name, part, field, value string
		want                     error
		all                      bool // nothing of the store can be used
	}{
		{"meta record of something else", "m", "", "hello", store.ErrCorrupt, true},
		{"meta record cut", "m", "", "seqrec\x01", store.ErrCorrupt, true},
		{"newer meta record", "m", "", "seqrec\x02", store.ErrNewerFormat, true},
		{"meta record of another type", "m", "x", "y", store.ErrCorrupt, true},
		{"receipts of another type", "e", "", "x", store.ErrCorrupt, true},
		{"number cut", "i", "item-0", "\x00\x00", store.ErrCorrupt, false},
		{"dictionary of another type", "i", "", "x", store.ErrCorrupt, true},
		{"names of another type", "I", "", "x", store.ErrCorrupt, true},
		{"default kind has a number of its own", "k", "view", "\x00\x00\x00\x05tokentok", store.ErrCorrupt, true},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := redis.NewClient(&redis.Options{Addr: r.Addr})
			defer raw.Close()
			o := Options{Addrs: []string{r.Addr}, Prefix: fmt.Sprint("s", i)}
			key := keys{o.Prefix}.shared(c.part)
			if c.field == "" {
				check(t, raw.Set(ctx, key, c.value, 0).Err())
			} else {
				check(t, raw.HSet(ctx, key, c.field, c.value).Err())
			}
			s, err := Open(ctx, o)
			if err == nil {
				defer s.Close()
				_, err = s.AppendSent(ctx, history("u", 3), make([]int64, 3))
			}
			if !errors.Is(err, c.want) || errors.Is(err, store.ErrForeign) != c.all {
				t.Errorf("error %v, want %v, of all: %v", err, c.want, c.all)
			}
		})
	}
}

// TestRefusals meets every way in which Redis says no. Each error must be marked and name its mend.
func TestRefusals(t *testing.T) {
	ctx := t.Context()
	plain := startRedis(t, services.RedisOptions{})
	primary := startRedis(t, services.RedisOptions{
		Password: "secret", Args: []string{"--user", "reader", "on", ">pw", "~*", "+@read", "+@connection"},
	})
	replica := startRedis(t, services.RedisOptions{Args: []string{"--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes"}})
	small := startRedis(t, services.RedisOptions{MaxMemory: "1mb"})
	cluster, err := services.StartRedisCluster(ctx, t.TempDir(), 3, 0, services.RedisOptions{})
	check(t, err)
	t.Cleanup(func() { check(t, cluster.Kill()) })
	cases := []struct {
		name string
		o    Options
		want error
		mend string
	}{
		{"wrong password", Options{Addrs: []string{primary.Addr}, Password: "wrong"}, store.ErrDenied, "password"},
		{"no password", Options{Addrs: []string{primary.Addr}}, store.ErrDenied, "set a password"},
		{"user without rights", Options{Addrs: []string{primary.Addr}, Username: "reader", Password: "pw"}, store.ErrDenied, "rights"},
		{"replica", Options{Addrs: []string{replica.Addr}}, store.ErrReadOnly, "primary"},
		{"out of memory", Options{Addrs: []string{small.Addr}}, store.ErrFull, "maxmemory"},
		{"no cluster", Options{Addrs: []string{plain.Addr}, Cluster: true}, store.ErrInvalid, "unset cluster"},
		{"a cluster", Options{Addrs: cluster.Addrs[:1]}, store.ErrInvalid, "set cluster"},
		{"no sentinel", Options{Addrs: []string{plain.Addr}, MasterName: "x"}, store.ErrUnavailable, "sentinels"},
		{"absent", Options{Addrs: []string{"127.0.0.1:1"}}, store.ErrUnavailable, "refused"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(ctx, c.o)
			if err == nil {
				defer s.Close()
				_, err = s.Append(ctx, history("u", 2000))
			}
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.mend) {
				t.Errorf("error %v, want %v with the word %q", err, c.want, c.mend)
			}
		})
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := Open(t.Context(), Options{Addrs: []string{"nowhere"}, MasterName: "m", Cluster: true, DB: -1, Cap: -1, TTL: -1, Prefix: "a:b"})
	for _, want := range []string{"nowhere", "MasterName", "DB", "Cap", "TTL", "Prefix"} {
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
	if _, err := Open(t.Context(), Options{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no address: error %v", err)
	}
}

func TestUserOfKey(t *testing.T) {
	k := keys{"sr"}
	for _, user := range []event.UserID{"a", "{", "}", "%", "{}", "%7B", "a{b}c", "日本", "%{%}%", "{%}"} {
		head := k.head(user)
		if got, err := k.user(head); err != nil || got != user {
			t.Errorf("%q: key %q is of %q, %v", user, head, got, err)
		}
		if tag := head[len("sr:{"):]; strings.Index(tag, "}") != len(tag)-1 || tag == "%}" {
			t.Errorf("%q: key %q has another hash tag", user, head)
		}
	}
}

// FuzzForeign reads arbitrary bytes where a history, a name or a key should be. What is read must be sound.
func FuzzForeign(f *testing.F) {
	s := &Store{keys: keys{"sr"}, opts: Options{Now: func() time.Time { return time.UnixMilli(1_700_000_000_000) }}}
	s.layout = store.Layout{Tail: tail, Seal: seal, Cap: 1000, TTL: time.Hour}
	sealed := store.AppendChunk(nil, nil, []store.Entry{{Time: 5}})
	head := store.AppendChunk(nil, &store.Head{Touched: 40_000_000, Older: 1}, []store.Entry{{Time: 7, Item: 3}})
	f.Add(head, string(store.SealedKey(5, "a", "b")), sealed, "sr:{%7B}", "tokentokname")
	f.Fuzz(func(t *testing.T, head []byte, field string, chunk []byte, key, entry string) {
		if user, err := s.keys.user(key); err == nil && s.keys.head(user) != key {
			t.Fatalf("key %q is of %q", key, user)
		}
		if _, name, err := parseName(entry); err == nil && event.CheckID(name) != "" {
			t.Fatalf("name %q", name)
		}
		h, err := s.parseWhole(head, map[string]string{field: string(chunk), revisionField: "x"})
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNewerFormat) {
				t.Fatal(err)
			}
			return
		}
		for i := range len(h.chunks) + 1 {
			entries, err := h.entries(nil, i, store.MaxChunk)
			if err == nil && !slices.IsSortedFunc(entries, func(a, b store.Entry) int { return int(a.Time - b.Time) }) {
				t.Fatalf("chunk %d is out of order", i)
			}
		}
	})
}
