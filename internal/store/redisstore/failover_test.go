package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
)

// eventually calls fn until it succeeds; the deadline is for a failover on a busy machine.
func eventually(t *testing.T, what string, fn func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := fn(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// failOver kills a primary while a writer goes on, and wants every acknowledged event afterwards.
func failOver(t *testing.T, o Options, kill func() error) {
	s := open(t, o)
	var all []event.Event
	for u := range 20 {
		all = append(all, history(fmt.Sprintf("user-%d", u), 500)...)
	}
	slices.SortFunc(all, func(a, b event.Event) int { return int(a.Time - b.Time) })
	parts := slices.Collect(slices.Chunk(all, 200))
	for i, part := range parts {
		if i == len(parts)/2 {
			check(t, kill())
		}
		eventually(t, "append", func(ctx context.Context) error {
			_, err := s.Append(ctx, part)
			if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrReadOnly) {
				t.Fatalf("append during a failover: %v", err)
			}
			return err
		})
	}
	for u := range 20 {
		want := history(fmt.Sprintf("user-%d", u), 500)
		// With a fresh process, which has nothing cached.
		if got, err := readAll(open(t, o), want[0].User); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s has %d events, %v; want %d", want[0].User, len(got), err, len(want))
		}
	}
}

func TestSentinelFailover(t *testing.T) {
	set, err := services.StartRedisSentinel(t.Context(), t.TempDir(), 1, services.RedisOptions{Password: "secret"})
	check(t, err)
	t.Cleanup(func() { check(t, set.Kill()) })
	o := Options{Addrs: set.Addrs, MasterName: set.Master, Password: "secret"}
	// The one replica becomes the primary, after which there is none to wait for.
	before := o
	before.WaitReplicas = 1
	s := open(t, before)
	mustAppend(t, s, history("waited", 100))
	failOver(t, o, func() error {
		mustAppend(t, s, history("waited", 700))
		return set.Nodes[0].Kill()
	})
	if got, err := readAll(open(t, o), "waited"); err != nil || !slices.Equal(got, history("waited", 700)) {
		t.Errorf("%d events, %v; all 700 were waited for", len(got), err)
	}
}

// TestClusterFailover has two replicas for each primary, so that one is left to wait for: without waiting, a failover may
// lose what was acknowledged just before.
func TestClusterFailover(t *testing.T) {
	c, err := services.StartRedisCluster(t.Context(), t.TempDir(), 3, 2, services.RedisOptions{})
	check(t, err)
	t.Cleanup(func() { check(t, c.Kill()) })
	failOver(t, Options{Addrs: c.Addrs, Cluster: true, WaitReplicas: 1}, c.Nodes[1].Kill)
}

// TestWaitReplicas refuses an append that too few replicas have, also when it is sent again and changes nothing.
func TestWaitReplicas(t *testing.T) {
	c, err := services.StartRedisCluster(t.Context(), t.TempDir(), 3, 1, services.RedisOptions{})
	check(t, err)
	t.Cleanup(func() { check(t, c.Kill()) })
	s := open(t, Options{Addrs: c.Addrs, Cluster: true, WaitReplicas: 1})
	both := append(history("a", 300), history("b", 300)...)
	mustAppend(t, s, both)
	mustAppend(t, s, both)
	more := open(t, Options{Addrs: c.Addrs, Cluster: true, WaitReplicas: 2, WriteTimeout: 300 * time.Millisecond})
	for range 2 {
		if _, err := more.Append(t.Context(), both); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error %v, want %v: there are not two replicas", err, store.ErrUnavailable)
		}
	}
}

// TestDictionaryLost takes the data away under a store that has numbers cached. It must notice before it writes again.
func TestDictionaryLost(t *testing.T) {
	r := startRedis(t, services.RedisOptions{})
	lose := map[string]func(s *Store) error{
		"flushed":   func(s *Store) error { return s.client.FlushAll(context.Background()).Err() },
		"restarted": func(*Store) error { return errors.Join(r.Kill(), r.Start(context.Background())) },
		"replaced by another": func(s *Store) error {
			check(t, s.client.FlushAll(context.Background()).Err())
			_, err := open(t, Options{Addrs: []string{r.Addr}}).Append(context.Background(), []event.Event{
				{User: "x", Item: "item-499", Time: 5}, {User: "x", Item: "item-7", Time: 6},
			})
			return err
		},
		"restored from before the newest names": func(s *Store) error {
			ctx := context.Background()
			for _, n := range []string{"499", "498"} {
				name, err := s.client.HGet(ctx, s.items.byNumber, n).Result()
				check(t, err)
				check(t, s.client.HDel(ctx, s.items.byNumber, n).Err())
				check(t, s.client.HDel(ctx, s.items.byName, name[tokenSize:]).Err())
			}
			check(t, s.client.Del(ctx, s.keys.head("u"), s.keys.sealed(s.keys.head("u"))).Err())
			_, err := open(t, Options{Addrs: []string{r.Addr}}).Append(ctx, []event.Event{
				{User: "x", Item: "other-1", Time: 5}, {User: "x", Item: "other-2", Time: 6},
			})
			return err
		},
	}
	for name, fn := range lose {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{Addrs: []string{r.Addr}})
			check(t, s.client.FlushAll(context.Background()).Err())
			mustAppend(t, s, history("u", 900))
			check(t, fn(s))
			mustAppend(t, s, history("u", 700))
			for _, reader := range []*Store{s, open(t, Options{Addrs: []string{r.Addr}})} {
				if got, err := readAll(reader, "u"); err != nil || !slices.Equal(got, history("u", 700)) {
					t.Errorf("%d events, %v; want the 700 appended afterwards", len(got), err)
				}
			}
		})
	}
}

// TestSlowAndBack pauses Redis in the middle: calls end with their deadlines, and all is well when it goes on.
func TestSlowAndBack(t *testing.T) {
	r := startRedis(t, services.RedisOptions{})
	s := open(t, Options{Addrs: []string{r.Addr}, Timeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond})
	mustAppend(t, open(t, Options{Addrs: []string{r.Addr}}), history("u", 10))
	check(t, r.Pause())
	_, readErr := readAll(s, "u")
	_, writeErr := s.Append(t.Context(), history("u", 20))
	check(t, r.Resume())
	for what, err := range map[string]error{"read": readErr, "write": writeErr} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: error %v, want %v", what, err, store.ErrUnavailable)
		}
	}
	eventually(t, "read", func(context.Context) error { _, err := readAll(s, "u"); return err })
	eventually(t, "write", func(ctx context.Context) error { _, err := s.Append(ctx, history("u", 20)); return err })
}
