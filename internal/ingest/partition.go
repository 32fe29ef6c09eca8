package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"seqrec/internal/store"
)

// log is what a partition is read from and its bad records are written to; a cluster.
type log interface {
	producer
	fetch(ctx context.Context, topic string, partition int, offset int64) (fetched, error)
	first(ctx context.Context, topic string, partition int) (int64, error)
	end(ctx context.Context, topic string, partition int) (int64, error)
	since(ctx context.Context, topic string, partition int, at time.Time) (int64, error)
}

// partition is one partition while it is ours. It belongs to one goroutine and holds one fetch in memory.
type partition struct {
	id       int
	next     int64 // offset of the next fetch
	done     int64 // offset after the last record that is stored or sent away
	opts     *Options
	log      log
	to       Appender
	appended func(partition int, next int64) // told when all before next is done with
	retry    backoff
}

// follow fetches, appends and says so, in the order of the log, until ctx ends. The batch under way then may take
// Options.Drain to finish; what is not finished is read again by the next owner.
func (p *partition) follow(ctx context.Context) {
	if p.next < 0 && !p.begin(ctx) {
		return
	}
	p.done = p.next
	for ctx.Err() == nil {
		f, err := p.log.fetch(ctx, p.opts.Topic, p.id, p.next)
		if err != nil {
			p.fetchFailed(ctx, err)
			continue
		}
		p.retry.reset()
		if len(f.records) == 0 {
			p.idle(ctx, f)
			continue
		}
		for from := 0; from < len(f.records); from += p.opts.Batch.Events {
			some := f.records[from:min(from+p.opts.Batch.Events, len(f.records))]
			if !p.take(ctx, some, f.high) {
				return
			}
			p.done = some[len(some)-1].offset + 1
			p.appended(p.id, p.done)
		}
		p.next = f.next
	}
}

// begin finds where to start a partition of which nothing was committed, and has that committed before anything else:
// a consumer that began at the latest record and died before its first batch would otherwise begin later the next time.
func (p *partition) begin(ctx context.Context) bool {
	for {
		next, err := p.startAt(ctx)
		if err == nil {
			p.next = next
			p.appended(p.id, next)
			p.retry.reset()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		p.opts.Observer.Troubled("fetch", err)
		if !p.retry.wait(ctx) {
			return false
		}
	}
}

func (p *partition) startAt(ctx context.Context) (int64, error) {
	if p.opts.Start.latest {
		return p.log.end(ctx, p.opts.Topic, p.id)
	}
	if at := p.opts.Start.since(p.opts.Now()); !at.IsZero() {
		return p.log.since(ctx, p.opts.Topic, p.id, at)
	}
	return p.log.first(ctx, p.opts.Topic, p.id)
}

// fetchFailed waits before the next try. Two failures are mended by no waiting. A batch that is too much to unpack or cannot
// be read is left out: it stops nobody but itself. And where an offset is not in the log any more, reading goes on at the
// oldest record there is, which at worst brings again what is in the store already.
func (p *partition) fetchFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	var left *batchError
	if errors.As(err, &left) {
		doing, reason := left.trouble()
		p.opts.Observer.Troubled(doing, err)
		if left.damage == nil {
			reason += "; replay with a larger kafka.batch_unpacked brings it"
		}
		p.opts.Log.Error("a batch of records is left out: "+reason, "partition", p.id, "first", left.first, "next", left.next, "error", err)
		p.next, p.done = left.next, left.next
		p.appended(p.id, p.done)
		return
	}
	if errors.Is(err, errGap) {
		first, lookup := p.log.first(ctx, p.opts.Topic, p.id)
		if lookup == nil {
			p.opts.Observer.Troubled("gap", fmt.Errorf("going on at %d: %w", first, err))
			p.opts.Log.Error("records were deleted before they were read, or the topic was made anew", "partition", p.id, "wanted", p.next, "oldest", first)
			p.next, p.done = first, first
			return
		}
		err = lookup
	}
	p.opts.Observer.Troubled("fetch", err)
	p.retry.wait(ctx)
}

// idle is for a fetch without records. Batches may be empty (marks of transactions, what compaction left): one that
// does not move us on although there is more to read must not be asked for in a tight loop.
func (p *partition) idle(ctx context.Context, f fetched) {
	if f.next == p.next && f.high > p.next {
		pause(ctx, p.opts.Retry)
	}
	if f.next > p.next {
		p.next, p.done = f.next, f.next
		p.appended(p.id, p.next)
	}
	p.opts.Observer.Took(Batched{Partition: p.id, Lag: max(f.high-p.next, 0)})
}

// take stores the events of some records and sends the bad ones away. It reports false when ctx ended before both were
// acknowledged.
func (p *partition) take(ctx context.Context, records []record, high int64) bool {
	b := Batched{Partition: p.id, Records: len(records), Lag: max(high-records[len(records)-1].offset-1, 0)}
	now := p.opts.Now()
	events, letters := newBatch(len(records)), []record(nil)
	sources := make([]*record, 0, len(records)) // of events
	refuse := func(r *record, why *fault) {
		letters = append(letters, letter(*r, why, p.opts.Topic, p.id))
		b.Bad = append(b.Bad, why.reason)
	}
	for i := range records {
		r := &records[i]
		b.Bytes += len(r.key) + len(r.value)
		e, bad := decode(r, p.opts.Batch.Record, now)
		if bad != nil {
			refuse(r, bad)
			continue
		}
		events.add(e, r.sent().UnixMilli())
		sources = append(sources, r)
	}
	start := time.Now()
	if !p.store(ctx, events, &b.Result, func(i int, why *fault) { refuse(sources[i], why) }) || !p.sendAway(ctx, letters) {
		return false
	}
	if len(letters) > 0 { // one line a batch, however many; the letters say the rest
		p.opts.Log.Warn("bad records", "partition", p.id, "records", len(letters), "first_offset", letters[0].offset, "first_reason", b.Bad[0])
	}
	b.Append, b.Events = time.Since(start), events.events
	p.opts.Observer.Took(b)
	return true
}

// appendTimeout bounds one try of an append, so that a store that hangs is asked again.
const appendTimeout = 30 * time.Second

// store appends events until the store has acknowledged them all, whatever it takes, or until ctx ends: then it reports
// false. An event that can never be stored is refused alone.
func (p *partition) store(ctx context.Context, in batch, sum *store.Result, refuse func(i int, why *fault)) bool {
	return appendAll(func(in batch) (store.Result, error) {
		for try := (backoff{first: p.opts.Retry}); ; {
			result, err := p.tryAppend(ctx, in)
			if err == nil || hopeless(err) != nil {
				return result, err
			}
			p.stuck(ctx, "append", err)
			if !try.wait(ctx) {
				return result, ctx.Err()
			}
		}
	}, in, sum, refuse) == nil
}

// lagTimeout bounds the look at how far behind a batch that waits is.
const lagTimeout = time.Second

// stuck tells of a batch that has to wait, and how much is waiting behind it by now: nothing else would say so.
func (p *partition) stuck(ctx context.Context, doing string, err error) {
	p.opts.Observer.Troubled(doing, err)
	ctx, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	if end, err := p.log.end(ctx, p.opts.Topic, p.id); err == nil {
		p.opts.Observer.Took(Batched{Partition: p.id, Lag: max(end-p.done, 0)})
	}
}

func (p *partition) tryAppend(ctx context.Context, in batch) (store.Result, error) {
	ctx, cancel := grace(ctx, p.opts.Drain)
	defer cancel()
	ctx, cancelTry := context.WithTimeout(ctx, appendTimeout)
	defer cancelTry()
	return p.to.AppendSent(ctx, in.events, in.sent)
}

// sendAway writes letters until the broker has acknowledged them all, or until ctx ends.
func (p *partition) sendAway(ctx context.Context, letters []record) bool {
	try := backoff{first: p.opts.Retry}
	for len(letters) > 0 {
		err := p.trySend(ctx, letters)
		if err == nil {
			return true
		}
		p.stuck(ctx, "dead-letter", err)
		if !try.wait(ctx) {
			return false
		}
	}
	return true
}

func (p *partition) trySend(ctx context.Context, letters []record) error {
	ctx, cancel := grace(ctx, p.opts.Drain)
	defer cancel()
	return send(ctx, p.log, p.opts.DeadLetterTopic, p.id, letters)
}
