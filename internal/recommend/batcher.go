package recommend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// batcher carries jobs from callers to workers through one bounded queue.
//
// A worker that becomes free takes its share of what waits: all of it when the
// others are busy, an equal part when they are idle too. So a lone request is
// begun at once, and requests that arrive while the machine is busy are ranked
// together. As in bbolt's Batch, a batch that breaks is run again one by one, so
// that only the job which broke it fails.
type batcher struct {
	queue    chan *job
	maxBatch int
	delay    time.Duration
	now      func() time.Time
	observe  Observer
	idle     atomic.Int32 // workers that wait for a job

	mu     sync.RWMutex // write-held only to close
	closed bool
	wg     sync.WaitGroup
}

// newBatcher starts the workers; Close ends them.
func newBatcher(c Config) *batcher {
	b := &batcher{
		queue:    make(chan *job, c.Queue),
		maxBatch: c.MaxBatch,
		delay:    c.BatchDelay,
		now:      c.Now,
		observe:  c.Observer,
	}
	for i := range c.Workers {
		w := newWorker(i, b)
		b.wg.Go(w.run)
	}
	return b
}

// Close refuses new jobs, finishes those that wait and ends the workers.
func (b *batcher) Close() {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.queue)
	}
	b.mu.Unlock()
	b.wg.Wait()
}

// submit puts a job in the queue, or fails with ErrBusy or ErrClosed at once.
func (b *batcher) submit(j *job) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	j.queued = b.now()
	select {
	case b.queue <- j:
		return nil
	default:
		return ErrBusy
	}
}

// outcome of waiting for a job.
type outcome int

const (
	finished outcome = iota // the job is the caller's again
	late                    // it is not back in time; it must not be reused
	gone                    // the caller left; it must not be reused
)

// wait blocks until the job is done, its time is over or ctx ends. A job that
// no worker has begun is withdrawn and costs nothing. Of a job that is not
// finished the caller may still read what it filled in, and it no longer holds
// its snapshot.
func (b *batcher) wait(ctx context.Context, j *job) outcome {
	var timeout <-chan time.Time
	if !j.due.IsZero() {
		j.timer.Reset(max(j.due.Sub(b.now()), 0))
		timeout = j.timer.C
		defer j.timer.Stop()
	}
	select {
	case <-j.done:
		return finished
	case <-timeout:
		return b.leave(j, late)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // the timer would have said so a moment later
			return b.leave(j, late)
		}
		return b.leave(j, gone)
	}
}

// leave gives a job up, unless the worker finished it in the same moment.
func (b *batcher) leave(j *job, how outcome) outcome {
	if j.state.CompareAndSwap(jobWaiting, jobWithdrawn) {
		return how
	}
	if j.state.CompareAndSwap(jobTaken, jobAbandoned) {
		return how
	}
	<-j.done
	return finished
}

// share is how many jobs a worker that holds one should take.
func (b *batcher) share() int {
	waiting, idle := len(b.queue)+1, int(b.idle.Load())
	return min((waiting+idle)/(idle+1), b.maxBatch)
}

// next blocks for a job; false when the batcher is closed and empty.
func (b *batcher) next() (*job, bool) {
	b.idle.Add(1)
	defer b.idle.Add(-1)
	j, ok := <-b.queue
	return j, ok
}

// gather appends to batch what its worker should take now, first included.
// Withdrawn jobs are dropped here.
func (b *batcher) gather(batch []*job, first *job, timer *time.Timer) []*job {
	want := b.share()
	for j := first; j != nil; {
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			batch = append(batch, j)
		} else {
			j.snap.release()
		}
		if len(batch) >= want {
			break
		}
		j = b.poll()
	}
	if b.delay > 0 && len(batch) > 1 {
		batch = b.linger(batch, timer)
	}
	return batch
}

// poll returns a waiting job, nil if there is none.
func (b *batcher) poll() *job {
	select {
	case j := <-b.queue: // nil once closed and empty
		return j
	default:
		return nil
	}
}

// linger waits a moment for neighbours of a batch that already has some.
func (b *batcher) linger(batch []*job, timer *time.Timer) []*job {
	timer.Reset(b.delay)
	defer timer.Stop()
	for len(batch) < b.maxBatch {
		select {
		case j, ok := <-b.queue:
			if !ok {
				return batch
			}
			if j.state.CompareAndSwap(jobWaiting, jobTaken) {
				batch = append(batch, j)
			} else {
				j.snap.release()
			}
		case <-timer.C:
			return batch
		}
	}
	return batch
}

// finish hands a job back to its caller, or cleans up after one who left.
func (b *batcher) finish(j *job) {
	if j.state.CompareAndSwap(jobTaken, jobDone) {
		j.done <- struct{}{}
		return
	}
	j.snap.release() // abandoned
}
