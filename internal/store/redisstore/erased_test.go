package redisstore

import (
	"sync/atomic"
	"testing"
	"time"

	"seqrec/internal/services"
	"seqrec/internal/store"
)

// TestErasedWithoutMark: when the mark of an erasure is gone, every process knows the receipt, whatever lies beside it.
func TestErasedWithoutMark(t *testing.T) {
	ctx := t.Context()
	r := startRedis(t, services.RedisOptions{})
	var now atomic.Int64
	now.Store(1_800_000_000_000)
	o := Options{Addrs: []string{r.Addr}, Now: func() time.Time { return time.UnixMilli(now.Load()) }}
	events := history("u", 3)
	sent := []int64{now.Load() - 1, now.Load(), now.Load() + 1}
	running, eraser := open(t, o), open(t, o)
	want := func(s *Store, want store.Result) {
		t.Helper()
		if got, err := s.AppendSent(ctx, events, sent); err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	}
	want(running, store.Result{Accepted: 3}) // which reads the receipts: there are none
	_, err := eraser.Erase(ctx, "u")
	check(t, err)
	mark := eraser.keys.mark(eraser.keys.head("u"))
	if left := eraser.client.PTTL(ctx, mark).Val(); left <= 0 || left > markFor {
		t.Fatalf("the mark stays for %v", left)
	}
	want(running, store.Result{Accepted: 1, Erased: 2})
	want(running, store.Result{Duplicate: 1, Erased: 2}) // a history again, and the mark still counts
	check(t, eraser.client.Del(ctx, mark).Err())
	want(open(t, o), store.Result{Duplicate: 1, Erased: 2})
	now.Add(erasedEvery.Milliseconds())
	want(running, store.Result{Duplicate: 1, Erased: 2})

	// What is no mark marks nothing, and a receipt that cannot be read keeps nobody out.
	check(t, eraser.client.RPush(ctx, mark, "x").Err())
	check(t, eraser.client.HSet(ctx, eraser.keys.shared("e"), "bad", "x").Err())
	now.Add(erasedEvery.Milliseconds())
	want(running, store.Result{Duplicate: 1, Erased: 2})
	want(open(t, o), store.Result{Duplicate: 1, Erased: 2})
	mustAppend(t, running, history("u", 9))

	// Another store in its place has erased nobody.
	check(t, eraser.client.FlushAll(ctx).Err())
	now.Add(2 * identityEvery.Milliseconds())
	want(running, store.Result{Accepted: 3})
}
