package redisstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"seqrec/internal/services"
	"seqrec/internal/store"
	"seqrec/internal/store/storetest"
)

// startRedis starts a Redis for one test.
func startRedis(t testing.TB, o services.RedisOptions) *services.Redis {
	t.Helper()
	r, err := services.StartRedis(t.Context(), t.TempDir(), "redis", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, r.Kill()) })
	return r
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a store that is closed when the test ends, unless the test has.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	check(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// conform runs the suite; every store that it opens gets a prefix of its own.
func conform(t *testing.T, o Options) {
	n := 0
	storetest.Run(t, func(t *testing.T, c storetest.Config) store.Store {
		n++
		o := o
		o.Prefix, o.Cap, o.TTL, o.Now = fmt.Sprintf("t%d", n), c.Cap, c.TTL, c.Now
		o.NameCache = 64                                           // so small that every test outgrows it
		o.Timeout, o.WriteTimeout = 30*time.Second, 30*time.Second // what a busy machine may take; deadlines have tests of their own
		return open(t, o)
	})
}

func TestConformance(t *testing.T) {
	r := startRedis(t, services.RedisOptions{Password: "secret"})
	conform(t, Options{Addrs: []string{r.Addr}, Password: "secret"})
}

func TestConformanceCluster(t *testing.T) {
	c, err := services.StartRedisCluster(t.Context(), t.TempDir(), 3, 0, services.RedisOptions{})
	check(t, err)
	t.Cleanup(func() { check(t, c.Kill()) })
	conform(t, Options{Addrs: c.Addrs[:1], Cluster: true})
}
