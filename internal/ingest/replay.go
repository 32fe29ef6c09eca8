package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"seqrec/internal/store"
)

// Replayed says what Replay did.
type Replayed struct {
	Records   int64
	Accepted  int64
	Duplicate int64
	Dropped   int64            // older than all that the store keeps of the user
	Erased    int64            // sent before their user was erased
	Bad       map[string]int64 // by reason; they went to the dead-letter topic when they were new
	Refused   map[string]int64 // by reason; good events that the store cannot take, see ErrRefused
}

// Window is a part of a log.
type Window struct {
	From time.Time // records stamped then or later; zero means from the oldest on
	To   time.Time // records stamped before; zero means all that the log holds now
	// Erased are users whose events from before their erasures are left out, beside those that the store itself has
	// erased. A new store knows of none.
	Erased []*store.ErasureList
}

// ErrRefused says that a replay is done but for events that the store cannot take, as a rule because what it holds of their
// users cannot be read. When those are erased, another replay completes the store.
var ErrRefused = errors.New("the store refused some events")

// Replay appends the events of a window of the log to a store. Whatever part of it the store has already changes
// nothing, so a store that is being written may be replayed into, and a replay that failed may be run again.
// progress, which may be nil, is told of each batch: records done, records in all (as far as offsets tell). Errors:
// ErrRefused, ErrLeftOut, and those of the brokers and the store, which end it.
func Replay(ctx context.Context, opts Options, w Window, into Appender, progress func(done, all int64)) (Replayed, error) {
	if !w.From.IsZero() && !w.To.IsZero() && !w.From.Before(w.To) {
		return Replayed{}, fmt.Errorf("the window is empty: it begins at %s and ends at %s", w.From.Format(time.RFC3339), w.To.Format(time.RFC3339))
	}
	c, err := connect(opts)
	if err != nil {
		return Replayed{}, fmt.Errorf("configure kafka: %w", err)
	}
	defer c.close()
	spans, err := c.window(ctx, w.From, w.To)
	if err != nil {
		return Replayed{}, err
	}
	r := replay{cluster: c, into: into, erased: w.Erased, sum: Replayed{Bad: map[string]int64{}, Refused: map[string]int64{}}, progress: progress}
	for _, s := range spans {
		r.all += s.end - s.next
	}
	var partitions sync.WaitGroup
	faults := make([]error, len(spans))
	for i, s := range spans {
		partitions.Go(func() { faults[i] = c.each(ctx, c.opts.Topic, s, r.take) })
	}
	partitions.Wait()
	var left []error // said only of a window that is done
	for i, fault := range faults {
		if errors.Is(fault, ErrLeftOut) {
			left, faults[i] = append(left, fault), nil
		}
	}
	if err = errors.Join(faults...); err == nil {
		err = errors.Join(left...)
	}
	if len(r.sum.Refused) > 0 {
		err = errors.Join(err, fmt.Errorf("%w: erase their users, then replay again", ErrRefused))
	}
	return r.sum, err
}

// span is a part of a partition.
type span struct {
	id        int
	next, end int64
}

// window finds the part of each partition that lies between two times.
func (c *cluster) window(ctx context.Context, from, to time.Time) ([]span, error) {
	ids, err := c.partitions(ctx, c.opts.Topic)
	if err != nil {
		return nil, err
	}
	spans := make([]span, len(ids))
	for i, id := range ids {
		s := span{id: id}
		if from.IsZero() {
			s.next, err = c.first(ctx, c.opts.Topic, id)
		} else {
			s.next, err = c.since(ctx, c.opts.Topic, id, from)
		}
		if err != nil {
			return nil, err
		}
		if to.IsZero() {
			s.end, err = c.end(ctx, c.opts.Topic, id)
		} else {
			s.end, err = c.since(ctx, c.opts.Topic, id, to)
		}
		if err != nil {
			return nil, err
		}
		spans[i] = s
	}
	return spans, nil
}

// tries is how often in a row a command asks brokers that are away.
const tries = 8

// each calls fn with the records of a span, some at a time. Unlike a consumer it gives up: a command has somebody who
// waits for it. ErrLeftOut: the whole span is done but for some batches.
func (c *cluster) each(ctx context.Context, topic string, s span, fn func(context.Context, []record) error) error {
	retry, failed, left := backoff{first: c.opts.Retry}, 0, leftOut(nil)
	for s.next < s.end {
		f, err := c.fetch(ctx, topic, s.id, s.next)
		var out *batchError
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, errGap)):
			return err
		case errors.As(err, &out):
			left, s.next, failed = append(left, err), out.next, 0
			continue
		case err == nil && f.next > s.next:
			failed = 0
		default: // away, or nothing though there must be something
			if failed++; failed == tries {
				return cmp.Or(err, fmt.Errorf("fetch %s/%d at %d: the broker has nothing before %d", topic, s.id, s.next, s.end))
			}
			retry.wait(ctx)
			continue
		}
		n, _ := slices.BinarySearchFunc(f.records, s.end, func(r record, end int64) int { return int(min(max(r.offset-end, -1), 1)) })
		for some := range slices.Chunk(f.records[:n], c.opts.Batch.Events) {
			if err := fn(ctx, some); err != nil {
				return err
			}
		}
		s.next = f.next
	}
	if left != nil {
		return left
	}
	return nil
}

type replay struct {
	cluster  *cluster
	into     Appender
	erased   []*store.ErasureList
	progress func(done, all int64)

	mu  sync.Mutex
	sum Replayed
	all int64
}

func (r *replay) take(ctx context.Context, records []record) error {
	now := r.cluster.opts.Now()
	bad, refused, erased := map[string]int64{}, map[string]int64{}, int64(0)
	in := newBatch(len(records))
	for i := range records {
		e, why := decode(&records[i], r.cluster.opts.Batch.Record, now)
		if why != nil {
			bad[why.reason]++
			continue
		}
		sent := records[i].sent().UnixMilli()
		if slices.ContainsFunc(r.erased, func(l *store.ErasureList) bool { return l.Covers(e.User, sent) }) {
			erased++
			continue
		}
		in.add(e, sent)
	}
	var result store.Result
	err := appendAll(func(in batch) (store.Result, error) { return r.into.AppendSent(ctx, in.events, in.sent) }, in, &result,
		func(_ int, why *fault) { refused[why.reason]++ })
	if err != nil {
		return fmt.Errorf("append %d events: %w", len(in.events), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Records += int64(len(records))
	r.sum.Accepted += int64(result.Accepted)
	r.sum.Duplicate += int64(result.Duplicate)
	r.sum.Dropped += int64(result.Dropped)
	r.sum.Erased += int64(result.Erased) + erased
	for reason, n := range bad {
		r.sum.Bad[reason] += n
	}
	for reason, n := range refused {
		r.sum.Refused[reason] += n
	}
	if r.progress != nil {
		r.progress(r.sum.Records, r.all)
	}
	return nil
}
