package ingest

import (
	"context"
	"time"
)

// backoff is the pause between tries: doubled with each failure, up to 64 times the first.
type backoff struct {
	first, next time.Duration
}

// wait pauses, and reports false when ctx ended meanwhile.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, b.first), 64*b.first)
	return pause(ctx, b.next)
}

// reset is for after a success.
func (b *backoff) reset() { b.next = 0 }

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// grace returns a context that outlives ctx by d, so that what has begun can end.
func grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		pause(long, d)
		cancel()
	})
	return long, func() { stop(); cancel() }
}
