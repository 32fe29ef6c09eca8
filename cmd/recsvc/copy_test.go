package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
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

// meddled is a store in which something happens each time its users are listed.
type meddled struct {
	store.Store
	pass   int
	happen map[int]func(store.Store) error
}

func (m *meddled) Users(ctx context.Context, fn func(event.UserID) error) error {
	if err := m.Store.Users(ctx, fn); err != nil {
		return err
	}
	m.pass++
	if happen := m.happen[m.pass]; happen != nil {
		return happen(m.Store)
	}
	return nil
}

// TestCopyFollows: what is erased, deleted and changed in the source while it is copied is so in the target, also when a
// user comes back between two passes.
func TestCopyFollows(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	open := func(name string) store.Store {
		s, err := openNamed(ctx, filepath.Join(dir, name), true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	from, to := open("from"), open("to")
	old := event.Event{User: "ann", Item: "secret", Time: 1}
	_, err := from.Append(ctx, []event.Event{old, {User: "bob", Item: "i", Time: 1}})
	if err = errors.Join(err, from.PutItems(ctx, []store.Item{{ID: "stays"}, {ID: "goes"}})); err != nil {
		t.Fatal(err)
	}
	source := &meddled{Store: from, happen: map[int]func(store.Store) error{
		1: func(s store.Store) error {
			_, erased := s.Erase(ctx, "ann")
			_, back := s.Append(ctx, []event.Event{{User: "ann", Item: "new", Time: 2}})
			return errors.Join(erased, back, s.DeleteItem(ctx, "goes"))
		},
		3: func(s store.Store) error { return s.PutItems(ctx, []store.Item{{ID: "stays", Hidden: true}}) },
	}}
	done, err := store.Copy(ctx, source, to, 20, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := store.TakeDigest(ctx, from, nil)
	b, errB := store.TakeDigest(ctx, to, nil)
	if err := errors.Join(errA, errB); err != nil || a != b {
		t.Errorf("source %v, target %v, %v", a, b, err)
	}
	if done.Receipts != 1 || done.Pass != 4 {
		t.Errorf("%+v, want the receipt counted and a pass after the last change", done)
	}
}

// TestCopyTellsWhatStays: events beyond the cap of the target, and receipts, which --erasures writes for a night.
func TestCopyTellsWhatStays(t *testing.T) {
	redis := startRedis(t, services.RedisOptions{})
	dir := t.TempDir()
	from, list := filepath.Join(dir, "from"), filepath.Join(dir, "erased")
	fill(t, from)
	s, err := openNamed(t.Context(), from, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Erase(t.Context(), "user-1")
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	to := "redis://" + redis.Addr + "?prefix=c&cap=10"
	code, out, errs := execute(t, nil, "copy", "--from", from, "--to", to)
	if code != 0 || !strings.Contains(out, "left out 19") || !strings.Contains(errs, "receipts of 1 erasures") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if code, _, errs := execute(t, nil, "copy", "--from", from, "--to", to, "--erasures", list); code != 0 || strings.Contains(errs, "receipts") {
		t.Errorf("%d: %s", code, errs)
	}
	f, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := store.ReadErasures(f)
	if err != nil || len(got.Receipts) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, erased := got.Until("user-1"); !erased {
		t.Error("the list does not know who was erased")
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
