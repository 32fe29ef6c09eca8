package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

const (
	// maxPiece is the number of events that one round takes; a longer Append is cut.
	maxPiece = 8192
	// maxRounds is how often the plan of a history is made anew because another writer was faster.
	maxRounds = 100
	// maxPause bounds the random pause between two rounds.
	maxPause = 20 * time.Millisecond
)

// Append implements store.Histories. Users whose history cannot be read do not keep the others from being stored.
func (s *Store) Append(ctx context.Context, events []event.Event) (store.Result, error) {
	return s.AppendSent(ctx, events, nil)
}

// AppendSent implements store.Histories.
func (s *Store) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	var total store.Result
	for i, e := range events {
		if faults := e.Validate(time.Time{}); faults != nil {
			return total, fmt.Errorf("append: %w: event %d: %w", store.ErrInvalid, i, &event.InvalidError{Faults: faults})
		}
	}
	for first := true; first || len(events) > 0; first = false {
		n := min(len(events), maxPiece)
		piece := logged{events[:n], sent[:min(n, len(sent))]}
		events, sent = events[n:], sent[len(piece.sent):]
		var erased int
		if len(piece.sent) > 0 {
			var err error
			if piece, erased, err = s.withoutErased(ctx, piece); err != nil {
				return total, fmt.Errorf("append: %w", err)
			}
		}
		err := s.call(ctx, "append", s.opts.WriteTimeout, func(ctx context.Context) error {
			a := appender{s: s, total: store.Result{Erased: erased}}
			err := a.append(ctx, piece)
			total.Add(a.total)
			s.counters.add(a.total)
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// appender does the work of one piece of an Append.
type appender struct {
	s      *Store
	names  lookup
	editor store.Editor
	total  store.Result
	rows   []row
}

// row is an event with its numbers.
type row struct {
	event event.Event
	entry store.Entry
	sent  int64 // see AppendSent
}

// sentNow is later than any erasure.
const sentNow = 1 << 52

// logged are events with the moments at which they were sent, none if that was now.
type logged struct {
	events []event.Event
	sent   []int64
}

// at is the moment at which event i was sent.
func (l logged) at(i int) int64 {
	if len(l.sent) == 0 {
		return sentNow
	}
	return l.sent[i]
}

// change is what is new for one user, and how it is to be written.
type change struct {
	rows   []row // sorted
	key    string
	head   *redis.StringCmd
	result store.Result
	script *redis.Script
	args   []any // of script; nil when nothing changes
	done   *redis.Cmd
}

// append stores at most maxPiece valid events.
func (a *appender) append(ctx context.Context, events logged) error {
	if len(events.events) == 0 {
		return nil
	}
	a.names = lookup{ctx, a.s.items, a.s.kinds}
	a.editor = store.Editor{Layout: a.s.layout, Names: &a.names}
	open, generation, err := a.changes(ctx, events)
	if err != nil {
		return err
	}
	var faults []error
	for round := 0; len(open) > 0; round++ {
		if round == maxRounds {
			return fmt.Errorf("%d histories changed under each of %d plans: %w", len(open), round, store.ErrUnavailable)
		}
		if err := pause(ctx, round); err != nil {
			return err
		}
		same, err := a.read(ctx, open)
		if err != nil {
			return err
		}
		if !same || a.s.generation() != generation {
			if open, generation, err = a.changes(ctx, remaining(open)); err != nil {
				return err
			}
			continue
		}
		if open, err = a.round(ctx, open, &faults); err != nil {
			return err
		}
		a.s.counters.conflicts.Add(uint64(len(open)))
	}
	return errors.Join(faults...)
}

// pause keeps writers that met once from meeting again.
func pause(ctx context.Context, round int) error {
	if round == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(mathrand.N(min(time.Duration(round)*time.Millisecond, maxPause)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// remaining returns the events of changes.
func remaining(open []*change) (out logged) {
	for _, c := range open {
		for _, r := range c.rows {
			out.events, out.sent = append(out.events, r.event), append(out.sent, r.sent)
		}
	}
	return out
}

// changes gives numbers to the events and sorts them into one change for each user. The numbers hold for the generation
// that it returns.
func (a *appender) changes(ctx context.Context, in logged) ([]*change, uint64, error) {
	generation, events := a.s.generation(), in.events
	items, kinds := make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		e = e.Canonical()
		items[i], kinds[i] = string(e.Item), string(e.Kind)
	}
	kindOf, err := a.s.kindNumbers(ctx, kinds)
	if err != nil {
		return nil, 0, err
	}
	itemOf, err := a.s.items.numbers(ctx, items)
	if err != nil {
		return nil, 0, err
	}
	a.rows = make([]row, len(events))
	for i, e := range events {
		a.rows[i] = row{e.Canonical(), store.Entry{Time: e.Time, Item: itemOf[items[i]], Kind: kindOf[kinds[i]]}, in.at(i)}
	}
	slices.SortFunc(a.rows, func(x, y row) int { return event.Compare(x.event, y.event) })
	var out []*change
	for rows := a.rows; len(rows) > 0; {
		n := 1
		for n < len(rows) && rows[n].event.User == rows[0].event.User {
			n++
		}
		out = append(out, &change{rows: rows[:n:n], key: a.s.keys.head(rows[0].event.User)})
		rows = rows[n:]
	}
	return out, generation, nil
}

// kindNumbers is numbers of the dictionary of kinds, in which 0 is the default kind, because the packed form says so.
func (s *Store) kindNumbers(ctx context.Context, kinds []string) (map[string]uint32, error) {
	out, err := s.kinds.numbers(ctx, append([]string{string(event.DefaultKind)}, kinds...))
	if err == nil && out[string(event.DefaultKind)] != 0 {
		err = foreign(fmt.Errorf("dictionary %s: kind %q has number %d, not 0: %w", s.kinds.byName, event.DefaultKind, out[string(event.DefaultKind)], store.ErrCorrupt))
	}
	return out, err
}

// read reads the heads of all users, and whether the numbers still hold.
func (a *appender) read(ctx context.Context, open []*change) (same bool, err error) {
	p := a.s.client.Pipeline()
	look := a.s.ask(ctx, p)
	for _, c := range open {
		c.head = p.Get(ctx, c.key)
	}
	if err := exec(ctx, p); err != nil {
		return false, err
	}
	return a.s.settle(ctx, look)
}

// round plans and writes all changes once and returns those that another writer has overtaken. Faults of single users go
// to faults; an error ends the append.
func (a *appender) round(ctx context.Context, open []*change, faults *[]error) ([]*change, error) {
	var planned, overtaken []*change
	now := a.s.opts.Now()
	for _, c := range open {
		if err := a.plan(ctx, c, now); errors.Is(err, errOvertaken) {
			overtaken = append(overtaken, c)
			continue
		} else if err != nil {
			ofUser := errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNewerFormat) || redis.HasErrorPrefix(err, "WRONGTYPE")
			if !ofUser || errors.Is(err, store.ErrForeign) {
				return nil, err
			}
			*faults = append(*faults, fmt.Errorf("history of a user: %w", classify(ctx, err)))
			continue
		}
		planned = append(planned, c)
	}
	if err := a.write(ctx, planned); err != nil {
		return nil, err
	}
	unknown := false // the scripts, to a node
	for _, c := range planned {
		if c.args == nil {
			a.count(c)
			continue
		}
		switch done, err := c.done.Int(); {
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = true
			overtaken = append(overtaken, c)
		case err != nil:
			if err = a.s.moved(ctx, err); !errors.Is(err, errMoved) {
				return nil, fmt.Errorf("write history: %w", err)
			}
			overtaken = append(overtaken, c)
		case done == 0:
			overtaken = append(overtaken, c)
		case done < 0: // erased just now
			if a.forget(c, -int64(done)); len(c.rows) > 0 {
				overtaken = append(overtaken, c)
			}
		default:
			a.count(c)
		}
	}
	if unknown {
		return overtaken, a.s.loadScripts(ctx)
	}
	return overtaken, nil
}

func (a *appender) count(c *change) { a.total.Add(c.result) }

// forget leaves out what was sent up to a moment.
func (a *appender) forget(c *change, until int64) {
	before := len(c.rows)
	c.rows = slices.DeleteFunc(c.rows, func(r row) bool { return r.sent <= until })
	a.total.Erased += before - len(c.rows)
}

// plan turns the new events of a user into arguments of the script.
func (a *appender) plan(ctx context.Context, c *change, now time.Time) error {
	head, err := c.head.Bytes()
	stored := err == nil
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if stored && head == nil {
		head = []byte{}
	}
	in := make([]store.Entry, len(c.rows))
	for i := range c.rows {
		in[i] = c.rows[i].entry
	}
	sealed := sealedReader{s: a.s, ctx: ctx, key: c.key, head: head}
	edit, result, err := a.editor.Apply(head, &sealed, in, now)
	if err != nil {
		return err
	}
	c.result, c.args = result, nil
	if edit.Head != nil {
		c.args, err = a.arguments(c, head, &sealed, edit)
	}
	return err
}

// arguments chooses the script and are its arguments. They copy the edit, whose memory the next plan takes.
func (a *appender) arguments(c *change, head []byte, sealed *sealedReader, edit *store.Edit) ([]any, error) {
	after, err := store.ParseChunk(edit.Head)
	if err != nil {
		return nil, err
	}
	// The moment at which the first of the new events was sent.
	sent := c.rows[0].sent
	for i := range c.rows {
		sent = min(sent, c.rows[i].sent)
	}
	// Nearly always the head is all there is, before and after.
	if len(head) > 0 && !sealed.loaded && !edit.Clear && len(edit.Delete)+len(edit.Put) == 0 && after.Head.Older == 0 {
		c.script = replaceScript
		return []any{head, slices.Clone(edit.Head), a.s.lifetime().Milliseconds(), sent}, nil
	}
	c.script = appendScript
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return ""
	}
	revision := ""
	if edit.Clear || len(edit.Delete)+len(edit.Put) > 0 {
		revision = rand.Text()[:10]
	}
	if after.Head.Older == 0 {
		revision = "" // the script removes them all
	}
	args := []any{
		head, slices.Clone(edit.Head), a.s.lifetime().Milliseconds(), flag(sealed.loaded), sealed.revision, revision,
		flag(edit.Clear), flag(after.Head.Older > 0), len(edit.Delete), sent,
	}
	for _, key := range edit.Delete {
		args = append(args, slices.Clone(key))
	}
	for _, r := range edit.Put {
		args = append(args, slices.Clone(r.Key), slices.Clone(r.Value))
	}
	return args, nil
}

// lifetime is after what time Redis may remove a history: heads count in minutes, rounded up.
func (s *Store) lifetime() time.Duration { return s.opts.TTL + time.Minute }

// write sends all planned changes in one pipeline, or in one for each node if replicas are waited for.
func (a *appender) write(ctx context.Context, planned []*change) error {
	if a.s.opts.WaitReplicas > 0 {
		return a.writeAndWait(ctx, planned)
	}
	p := a.s.client.Pipeline()
	for _, c := range planned {
		if c.args != nil {
			a.s.eval(ctx, p, c)
		}
	}
	if p.Len() == 0 {
		return nil
	}
	return exec(ctx, p)
}

func (s *Store) eval(ctx context.Context, p redis.Cmdable, c *change) {
	keys := []string{c.key, s.keys.mark(c.key)}
	if c.script == appendScript {
		keys = append(keys, s.keys.sealed(c.key))
	}
	c.done = p.EvalSha(ctx, c.script.Hash(), keys, c.args...)
}

// writeAndWait writes each node's share on one connection and waits there: WAIT is about the writes of its connection.
// A history that does not change is touched, since whoever wrote it may still be waiting.
func (a *appender) writeAndWait(ctx context.Context, planned []*change) error {
	shares := map[*redis.Client]redis.Pipeliner{}
	for _, c := range planned {
		node, err := a.s.node(ctx, c.key)
		if err != nil {
			return err
		}
		p := shares[node]
		if p == nil {
			p = node.Pipeline()
			shares[node] = p
		}
		if c.args != nil {
			a.s.eval(ctx, p, c)
		} else {
			p.PExpire(ctx, c.key, a.s.lifetime())
		}
	}
	// One after the other: waiting overlaps, since a replica that has the last share mostly has the first.
	var faults []error
	for _, p := range shares {
		waited := p.Do(ctx, "WAIT", a.s.opts.WaitReplicas, patience(ctx).Milliseconds())
		err := exec(ctx, p)
		var got int64
		if err == nil {
			got, err = waited.Int64()
		}
		if err == nil && got < int64(a.s.opts.WaitReplicas) {
			err = fmt.Errorf("%d of %d replicas have the append: %w", got, a.s.opts.WaitReplicas, store.ErrUnavailable)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// errOvertaken: the history has changed since its head was read, so nothing can be planned on it.
var errOvertaken = errors.New("another writer was faster")

// sealedReader is store.Sealed for one user. It reads all sealed chunks when the first is needed, and the head with them:
// chunks of another moment than the head's would look like corruption.
type sealedReader struct {
	s        *Store
	ctx      context.Context //nolint:containedctx // store.Sealed has no room for it, and the reader outlives nothing
	key      string          // of the head
	head     []byte          // as it was read before
	loaded   bool
	revision string
	chunks   []store.Record
}

// Cover implements store.Sealed.
func (r *sealedReader) Cover(key []byte) (chunkKey, value, next []byte, err error) {
	if !r.loaded {
		p := r.s.client.TxPipeline()
		head, chunks := p.Get(r.ctx, r.key), p.HGetAll(r.ctx, r.s.keys.sealed(r.key))
		if err := exec(r.ctx, p); err != nil {
			return nil, nil, nil, fmt.Errorf("read older chunks: %w", err)
		}
		if now, err := found(head); err != nil || !bytes.Equal(now, r.head) {
			return nil, nil, nil, cmp.Or(err, errOvertaken)
		}
		all, err := chunks.Result()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read older chunks: %w", err)
		}
		r.loaded, r.revision = true, all[revisionField]
		r.chunks = sortedChunks(all)
	}
	if len(r.chunks) == 0 {
		return nil, nil, nil, nil
	}
	at := max(after(r.chunks, key)-1, 0)
	if at+1 < len(r.chunks) {
		next = r.chunks[at+1].Key
	}
	return r.chunks[at].Key, r.chunks[at].Value, next, nil
}
