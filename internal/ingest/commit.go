package ingest

import (
	"context"
	"sync"
	"time"
)

// commitPause is the least time between two commits. What was appended and not yet committed is read again after a
// crash, so it is short; a commit for each small batch would cost more than the batch.
const commitPause = 50 * time.Millisecond

// committer commits the offsets of one generation of a group. The broker refuses them once the generation is over, so
// a consumer that was taken for dead can do no harm.
type committer struct {
	watch  Observer
	commit func(map[int]int64) error

	mu    sync.Mutex
	at    map[int]int64 // partition -> offset to commit
	dirty chan struct{} // holds one when at is not empty
}

func newCommitter(watch Observer, commit func(map[int]int64) error) *committer {
	return &committer{watch: watch, commit: commit, at: map[int]int64{}, dirty: make(chan struct{}, 1)}
}

// mark says that everything before next is done with.
func (c *committer) mark(partition int, next int64) {
	c.mu.Lock()
	c.at[partition] = next
	c.mu.Unlock()
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// run commits what is marked until ctx ends and the partitions have finished, and then what they left. It returns early
// when a commit fails: then the generation is over, or must be.
func (c *committer) run(ctx context.Context, partitions *sync.WaitGroup) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.dirty:
			if !c.flush() {
				return
			}
			pause(ctx, commitPause)
		}
	}
	partitions.Wait()
	c.flush()
}

func (c *committer) flush() bool {
	c.mu.Lock()
	at := c.at
	c.at = map[int]int64{}
	c.mu.Unlock()
	if len(at) == 0 {
		return true
	}
	if err := c.commit(at); err != nil {
		c.watch.Troubled("commit", err)
		return false
	}
	c.watch.Committed(len(at))
	return true
}
