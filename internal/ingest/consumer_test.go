package ingest

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/store"
	"seqrec/internal/store/pebblestore"
)

// TestRoundTrip: what is produced is in the store, whoever reads it, and a second consumer of the group begins where
// the first ended.
func TestRoundTrip(t *testing.T) {
	opts := options(t, 3)
	events := someEvents(2000, 40)
	produce(t, opts, events)
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	stop := consume(t, opts, s)
	w.wait(t, "all records", func() bool { return w.records >= len(events) })
	stop()
	compare(t, s, events)
	if w.commits == 0 || len(w.bad) > 0 || len(w.assigned) < 2 || len(w.assigned[0]) != 3 || w.assigned[len(w.assigned)-1] != nil {
		t.Errorf("%d commits, bad %v, assigned %v", w.commits, w.bad, w.assigned)
	}
	more := someEvents(10, 3)
	produce(t, opts, more)
	w = newWatcher()
	opts.Observer = w
	stop = consume(t, opts, s)
	w.wait(t, "the rest", func() bool { return w.records >= len(more) })
	stop()
	if w.records != len(more) {
		t.Errorf("the second consumer read %d records, want %d", w.records, len(more))
	}
	for id, lag := range w.lag {
		if lag != 0 {
			t.Errorf("partition %d ends with a lag of %d", id, lag)
		}
	}
}

// TestStart: a group that has committed nothing begins where it is told to, and goes on from there in its next life.
func TestStart(t *testing.T) {
	old := time.Now().Add(-48 * time.Hour).Truncate(time.Millisecond)
	at := func(user string, stamp time.Time) kafka.Message {
		return kafka.Message{Key: []byte(user), Value: fmt.Appendf(nil, `{"user":%q,"item":"i","time":5}`, user), Time: stamp}
	}
	for _, c := range []struct {
		name, start string
		want        int
	}{
		{"default", "", 3},
		{"earliest", "earliest", 3},
		{"latest", "latest", 0},
		{"ago", "24h", 1},
		{"time", old.Add(time.Minute).Format(time.RFC3339), 2},
		{"future", "2999-01-01T00:00:00Z", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := options(t, 1)
			produceRaw(t, opts, opts.Topic, at("older", old), at("old", old.Add(time.Hour)), at("young", time.Now()))
			start, err := ParseStart(c.start)
			if err != nil {
				t.Fatal(err)
			}
			w := newWatcher()
			opts.Start, opts.Observer = start, w
			s := openStore(t, t.TempDir())
			stop := consume(t, opts, s)
			w.wait(t, "records and a commit", func() bool { return w.records >= c.want && w.commits > 0 })
			stop()
			if w.records != c.want {
				t.Errorf("read %d records, want %d", w.records, c.want)
			}
			produceRaw(t, opts, opts.Topic, at("next", old))
			w = newWatcher()
			opts.Observer = w
			stop = consume(t, opts, s)
			w.wait(t, "the next record", func() bool { return w.records >= 1 })
			stop()
		})
	}
}

// TestRebalances: consumers join and leave all the time, and the store ends exact.
func TestRebalances(t *testing.T) {
	opts := options(t, 4)
	events := someEvents(20_000, 200)
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	opts.Batch = Batch{Events: 50, Bytes: 10_000}
	consume(t, opts, slow{s})
	done := make(chan struct{})
	var guests sync.WaitGroup
	guests.Go(func() {
		for rng := rand.New(rand.NewPCG(1, 2)); ; {
			select {
			case <-done:
				return
			default:
			}
			before := w.count()
			stop := consume(t, opts, slow{s})
			w.wait(t, "progress", func() bool { return w.records >= min(before+rng.IntN(1500), len(events)) })
			stop()
		}
	})
	produce(t, opts, events)
	// Some are read twice, so their number says nothing; but each is new to the store once.
	w.wait(t, "all events", func() bool { return w.accepted == len(events) })
	close(done)
	guests.Wait()
	compare(t, s, events)
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.records
}

func sum(lag map[int]int64) (all int64) {
	for _, n := range lag {
		all += n
	}
	return all
}

// slow makes an appender take a moment, so that a group has something to do while it changes hands.
type slow struct{ Appender }

func (s slow) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	pause(ctx, 2*time.Millisecond)
	return s.Appender.AppendSent(ctx, events, sent)
}

// away fails so many times before it lets an append through.
type away struct {
	Appender
	mu    sync.Mutex
	times int
	err   error
}

// back lets appends through from now on.
func (a *away) back() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = 0
}

func (a *away) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	a.mu.Lock()
	a.times--
	gone := a.times >= 0
	a.mu.Unlock()
	if gone {
		return store.Result{}, cmp.Or(a.err, store.ErrUnavailable)
	}
	return a.Appender.AppendSent(ctx, events, sent)
}

// TestStoreAway: a store that fails is asked again and again; nothing is skipped and nothing committed meanwhile.
func TestStoreAway(t *testing.T) {
	opts := options(t, 1)
	events := someEvents(500, 10)
	produce(t, opts, events)
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	gone := &away{Appender: s, times: 1 << 30}
	stop := consume(t, opts, gone)
	w.wait(t, "failures", func() bool { return w.troubles["append"] > 3 })
	if w.count() != 0 {
		t.Errorf("%d records count as taken", w.count())
	}
	stop() // it ends although the store is away
	gone.times = 3
	stop = consume(t, opts, gone)
	w.wait(t, "all records", func() bool { return w.records >= len(events) })
	stop()
	compare(t, s, events)
}

// TestLagWhileStuck: the lag tells what waits behind a batch that does not get in, and grows with it.
func TestLagWhileStuck(t *testing.T) {
	opts := options(t, 1)
	produce(t, opts, someEvents(20, 3))
	w, gone := newWatcher(), &away{Appender: openStore(t, t.TempDir()), times: 1 << 30}
	opts.Observer = w
	stop := consume(t, opts, gone)
	w.wait(t, "a lag", func() bool { return w.lag[0] == 20 })
	produce(t, opts, someEvents(7, 3))
	w.wait(t, "more of it", func() bool { return w.lag[0] == 27 })
	gone.back()
	w.wait(t, "an end of it", func() bool { return w.lag[0] == 0 && w.records == 27 })
	stop()
}

// TestBrokerAway: whoever asks hears that a consumer is no member of its group any more, and that it is one again.
func TestBrokerAway(t *testing.T) {
	k := ownBrokers(t, 1)
	w := newWatcher()
	opts := Options{
		Brokers: k.Addresses, Topic: "events", Group: "g", Session: 1500 * time.Millisecond, Drain: time.Second, Retry: 10 * time.Millisecond, Observer: w,
	}
	makeTopics(t, opts, 1, 1)
	consume(t, opts, openStore(t, t.TempDir()))
	member := func() bool { n := len(w.assigned); return n > 0 && w.assigned[n-1] != nil }
	w.wait(t, "a membership", member)
	if err := k.Brokers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	w.wait(t, "an end of it", func() bool { return !member() })
	if err := k.Brokers[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wait(t, "another", member)
}

// TestDrain: a batch that is being appended when the end comes is finished and committed.
func TestDrain(t *testing.T) {
	opts := options(t, 1)
	events := someEvents(100, 10)
	produce(t, opts, events)
	s := openStore(t, t.TempDir())
	held := &gate{Appender: s, entered: make(chan struct{}, 1), open: make(chan struct{})}
	w := newWatcher()
	opts.Observer = w
	opts.Drain, opts.Session = 20*time.Second, 30*time.Second
	c, err := NewConsumer(opts, held)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-held.entered
	cancel()
	close(held.open)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	compare(t, s, events)
	again := newWatcher()
	opts.Observer = again
	stop := consume(t, opts, s)
	again.wait(t, "an assignment and a fetch", func() bool { return len(again.assigned) > 0 && len(again.lag) > 0 })
	stop()
	if again.records != 0 {
		t.Errorf("%d records were read again after a drain", again.records)
	}
}

// gate holds an append until it is opened.
type gate struct {
	Appender
	entered, open chan struct{}
}

func (g *gate) AppendSent(ctx context.Context, events []event.Event, sent []int64) (store.Result, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
	case <-ctx.Done():
		return store.Result{}, ctx.Err()
	}
	return g.Appender.AppendSent(ctx, events, sent)
}

// childVariable tells the test binary to be a consumer: broker, topic and store folder.
const childVariable = "SEQREC_INGEST_CHILD"

// TestKilledConsumer kills a consumer in another process, at any moment, and starts it again.
func TestKilledConsumer(t *testing.T) {
	opts := options(t, 2)
	opts.Session = 600 * time.Millisecond // soon after a kill the next may have its partitions
	opts.Drain = 100 * time.Millisecond
	events := someEvents(30_000, 100)
	produce(t, opts, events)
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		child := startChild(t, opts, dir)
		lines := bufio.NewScanner(child.out)
		for n := 1 + rng.IntN(20); n > 0 && lines.Scan(); n-- { // so many batches
		}
		if err := child.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.cmd.Wait() //nolint:errcheck // it was killed
	}
	s := openStore(t, dir)
	w := newWatcher()
	opts.Observer = w
	stop := consume(t, opts, s)
	w.wait(t, "an end of the lag", func() bool { return len(w.lag) == 2 && sum(w.lag) == 0 })
	stop()
	compare(t, s, events)
}

type childProcess struct {
	cmd *exec.Cmd
	out *os.File
}

func startChild(t *testing.T, opts Options, dir string) childProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVariable+"="+opts.Brokers[0]+" "+opts.Topic+" "+dir)
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return childProcess{cmd, r}
}

// runChild consumes until it is killed, and writes a line for each batch.
func runChild() {
	var address, topic, dir string
	if _, err := fmt.Sscan(os.Getenv(childVariable), &address, &topic, &dir); err != nil {
		panic(err)
	}
	s, err := pebblestore.Open(dir, pebblestore.Options{Cap: 1 << 20})
	if err != nil {
		panic(err)
	}
	c, err := NewConsumer(Options{
		Brokers: []string{address}, Topic: topic, ItemsTopic: topic + ".items", Group: topic,
		Session: 600 * time.Millisecond, Drain: 100 * time.Millisecond, Batch: Batch{Events: 300, Bytes: 30_000}, Observer: teller{},
	}, s)
	if err != nil {
		panic(err)
	}
	if err := c.Run(context.Background()); err != nil {
		panic(err)
	}
}

// teller writes a line for each batch that brought something.
type teller struct{ nobody }

func (teller) Took(b Batched) {
	if b.Records > 0 {
		fmt.Println(b.Records)
	}
}

// TestBrokerRestarts: the broker is killed in the middle and comes back.
func TestBrokerRestarts(t *testing.T) {
	opts := options(t, 2)
	events := someEvents(10_000, 100)
	s := openStore(t, t.TempDir())
	w := newWatcher()
	opts.Observer = w
	opts.Batch = Batch{Events: 50, Bytes: 10_000}
	consume(t, opts, slow{s})
	half := len(events) / 2
	produce(t, opts, events[:half])
	w.wait(t, "a beginning", func() bool { return w.records > 500 })
	k := startBroker(t)
	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}
	w.wait(t, "trouble", func() bool { return w.troubles["fetch"]+w.troubles["join"] > 0 })
	if err := k.Brokers[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	produce(t, opts, events[half:])
	w.wait(t, "all events", func() bool { return w.accepted == len(events) })
	compare(t, s, events)
}
