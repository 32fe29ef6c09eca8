package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/services"
)

// fill appends histories of events with gaps like those of people, and items some of which are seen often.
func fill(t testing.TB, s *Store, l Load) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(l.Events)))
	zipf := rand.NewZipf(rng, 1.05, 10, uint64(l.Items-1))
	var batch []event.Event
	for n := range l.Users {
		now := int64(1_700_000_000_000) + rng.Int64N(1e9)
		for range l.Events {
			now += int64(rng.ExpFloat64() * float64(l.Gap.Milliseconds()))
			batch = append(batch, event.Event{
				User: event.UserID(fmt.Sprintf("user-%07d", n)), Item: event.ItemID(fmt.Sprintf("item-%05d", zipf.Uint64())), Kind: event.DefaultKind, Time: now,
			})
		}
		if len(batch) >= 4000 || n == l.Users-1 {
			mustAppend(t, s, batch)
			batch = batch[:0]
		}
	}
}

// usedMemory asks Redis what it uses, without the buffers of our own connections.
func usedMemory(t testing.TB, s *Store) (bytes float64) {
	t.Helper()
	info, err := s.client.Info(context.Background(), "memory").Result()
	check(t, err)
	for _, part := range []struct {
		name string
		sign float64
	}{{"used_memory:", 1}, {"mem_clients_normal:", -1}} {
		for line := range strings.Lines(info) {
			if text, ok := strings.CutPrefix(line, part.name); ok {
				var n float64
				_, err := fmt.Sscan(text, &n)
				check(t, err)
				bytes += part.sign * n
			}
		}
	}
	return bytes
}

// Events above the cap are not kept and take no memory.
func TestPlanCap(t *testing.T) {
	plan := func(events, most int) float64 {
		return Plan(Load{Users: 1000, Events: events, Items: 1000, Cap: most}).Total
	}
	for _, tt := range []struct{ events, most, as int }{
		{50, 100, 50}, {100, 100, 100}, {5000, 100, 100}, {5000, 1000, 1000}, {9999, 0, 9999}, {1_000_000, 0, 10_000},
	} {
		if got, want := plan(tt.events, tt.most), plan(tt.as, tt.as); got != want {
			t.Errorf("%d events at a cap of %d: %.0f bytes, want those of %d events, %.0f", tt.events, tt.most, got, tt.as, want)
		}
	}
}

// TestPlan compares the prediction with what a real Redis uses.
func TestPlan(t *testing.T) {
	for _, l := range []Load{
		{Users: 5000, Events: 1, Items: 1000, Gap: time.Hour},
		{Users: 4000, Events: 50, Items: 5000, Gap: 24 * time.Hour},
		{Users: 3000, Events: 50, Items: 500, Gap: time.Minute},
		{Users: 600, Events: 280, Items: 5000, Gap: 4 * time.Hour},
		{Users: 300, Events: 1000, Items: 2000, Gap: 12 * time.Hour},
	} {
		t.Run(fmt.Sprintf("%d users, %d events, gap %v", l.Users, l.Events, l.Gap), func(t *testing.T) {
			r := startRedis(t, services.RedisOptions{})
			s := open(t, Options{Addrs: []string{r.Addr}})
			mustAppend(t, s, history("warm", 3000)) // scripts and buffers, which are part of the base
			check(t, s.client.FlushAll(t.Context()).Err())
			before := usedMemory(t, s)
			fill(t, s, l)
			got := usedMemory(t, s) - before
			items, err := s.client.HLen(t.Context(), s.items.byName).Result()
			check(t, err)
			l.Items = int(items) // rare ones were not drawn
			p := Plan(l)
			if want := p.Histories + p.Dictionary; got < want*0.85 || got > want*1.15 {
				t.Errorf("used_memory grew by %.0f, planned %.0f (%+.1f %%)", got, want, 100*(want/got-1))
			} else {
				t.Logf("used_memory grew by %.0f, planned %.0f (%+.1f %%), %.0f a user", got, want, 100*(want/got-1), p.User)
			}
			user := s.keys.head(event.UserID(fmt.Sprintf("user-%07d", l.Users/2)))
			sizes := []int64{0, 0}
			for i, key := range []string{user, s.keys.sealed(user)} {
				if sizes[i], err = s.client.MemoryUsage(t.Context(), key, 0).Result(); err != nil && l.Events > tail {
					t.Fatal(err)
				}
			}
			t.Logf("MEMORY USAGE of one user %v, without the entries that it leaves out", slices.Clone(sizes))
		})
	}
}
