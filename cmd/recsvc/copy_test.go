package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
	"seqrec/internal/store/redisstore"
)

// someEvents are n events of some users, never the same for two seeds.
func someEvents(seed uint64, n int) []event.Event {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]event.Event, n)
	for i := range out {
		out[i] = event.Event{
			User: event.UserID(fmt.Sprintf("user-%d", rng.IntN(60))), Item: event.ItemID(fmt.Sprintf("item-%d", rng.IntN(500))),
			Kind: []event.Kind{"view", "buy"}[rng.IntN(2)], Time: 1_700_000_000_000 + int64(seed)*10_000_000 + int64(i)*1000,
		}
	}
	return out
}

// TestCopy takes a folder to Redis, from there to a cluster while writers go on, and back into a folder, and compares.
func TestCopy(t *testing.T) {
	ctx := t.Context()
	redis := startRedis(t, services.RedisOptions{})
	cluster, err := services.StartRedisCluster(ctx, t.TempDir(), 3, 0, services.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Kill(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	first, last := filepath.Join(dir, "first"), filepath.Join(dir, "last")
	fill(t, first)
	alone := "redis://" + redis.Addr + "/0?prefix=a"
	spread := "redis://" + strings.Join(cluster.Addrs, ",") + "?cluster=true&prefix=b"
	copyStore(t, first, alone)
	if a, b := digestOf(t, first), digestOf(t, alone); a != b {
		t.Errorf("folder %s, Redis %s", a, b)
	}

	s, err := redisstore.Open(ctx, redisstore.Options{Addrs: []string{redis.Addr}, Prefix: "a"})
	if err != nil {
		t.Fatal(err)
	}
	started, written := make(chan struct{}), make(chan error, 1)
	go func() { written <- write(s, started) }()
	<-started
	copyStore(t, alone, spread)
	if err := errors.Join(<-written, s.Close()); err != nil {
		t.Fatal(err)
	}
	copyStore(t, alone, spread) // what came after the last pass
	copyStore(t, spread, last)
	if a, b, c := digestOf(t, alone), digestOf(t, spread), digestOf(t, last); a != b || b != c {
		t.Errorf("Redis %s, cluster %s, folder %s", a, b, c)
	}
	if a, b := digestOf(t, first), digestOf(t, last); a == b {
		t.Errorf("the digest %s has not seen 3000 more events", a)
	}
}

func fill(t *testing.T, dir string) {
	t.Helper()
	s, err := openNamed(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), someEvents(1, 20_000))
	err = errors.Join(err, s.PutItems(t.Context(), []store.Item{{ID: "item-1", Title: "One", Hidden: true}, {ID: "item-2"}}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
}

// write appends batches, the first of them before started is closed.
func write(s store.Store, started chan struct{}) error {
	for i := range 30 {
		if _, err := s.Append(context.Background(), someEvents(uint64(2+i), 100)); err != nil {
			return err
		}
		if i == 0 {
			close(started)
		}
	}
	return nil
}

func copyStore(t *testing.T, from, to string) {
	t.Helper()
	if code, _, errs := execute(t, nil, "copy", "--from", from, "--to", to); code != 0 {
		t.Fatalf("copy %s to %s: %s", from, to, errs)
	}
}

func digestOf(t *testing.T, name string) string {
	t.Helper()
	code, out, errs := execute(t, nil, "digest", name)
	if code != 0 {
		t.Fatalf("digest of %s: %s", name, errs)
	}
	return out
}

func TestCopyRefuses(t *testing.T) {
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"the same store":     {"copy", "--from", dir, "--to", dir},
		"no such file":       {"copy", "--from", filepath.Join(dir, "none"), "--to", dir},
		"no such setting":    {"digest", "redis://127.0.0.1:1?colour=red"},
		"does not answer":    {"digest", "redis://127.0.0.1:1"},
		"is named like":      {"digest", "redis://"},
		"needs rediss://":    {"digest", "redis://127.0.0.1:1?ca=x"},
		"database in the":    {"digest", "redis://127.0.0.1:1/x"},
		"cap in the URL":     {"digest", "redis://127.0.0.1:1?cap=many"},
		"cluster in the URL": {"digest", "redis://127.0.0.1:1?cluster=maybe"},
	} {
		if code, _, errs := execute(t, nil, args...); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s, want %q", args, code, errs, want)
		}
	}
}

func TestDigestExports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	fill(t, dir)
	code, out, errs := execute(t, nil, "digest", dir, "--export", "-")
	if code != 0 || strings.Count(out, "\n") != 20_001 || !strings.Contains(out, `"item":"item-`) {
		t.Errorf("%d, %d lines: %s", code, strings.Count(out, "\n"), errs)
	}
}
