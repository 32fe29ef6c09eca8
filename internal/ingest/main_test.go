package ingest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
	"seqrec/internal/store/pebblestore"
)

// broker is the real one that the tests of this package share; each test has topics and groups of its own.
var broker struct {
	sync.Once
	dir         string
	certificate string
	*services.Kafka
	err error
}

// TestMain ends the broker when the tests are done. Run as a child by TestKilledConsumer it is a consumer instead.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		runChild()
	}
	code := m.Run()
	if broker.Kafka != nil {
		if err := errors.Join(broker.Kill(), os.RemoveAll(broker.dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// ownBrokers are for a test that breaks them.
func ownBrokers(t *testing.T, n int) *services.Kafka {
	t.Helper()
	k, err := services.StartKafka(t.Context(), services.KafkaOptions{Dir: t.TempDir(), Brokers: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Kill(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// makeTopics tries until brokers that have just started know themselves.
func makeTopics(t *testing.T, opts Options, partitions, replicas int) {
	t.Helper()
	var err error
	for range tries {
		if err = CreateTopics(t.Context(), opts, partitions, replicas); err == nil {
			return
		}
	}
	t.Fatal(err)
}

const brokerUser, brokerPassword = "ann", "s3cret"

// startBroker starts the shared broker the first time.
func startBroker(t *testing.T) *services.Kafka {
	t.Helper()
	broker.Do(func() {
		if broker.dir, broker.err = os.MkdirTemp("", "ingest-test-"); broker.err != nil { //nolint:usetesting // it outlives the test
			return
		}
		broker.certificate = filepath.Join(broker.dir, "broker.pem")
		if broker.err = writeCertificate(broker.certificate); broker.err != nil {
			return
		}
		broker.Kafka, broker.err = services.StartKafka(context.Background(), services.KafkaOptions{
			Dir: broker.dir, User: brokerUser, Password: brokerPassword, Certificate: broker.certificate,
		})
	})
	if broker.err != nil {
		t.Fatal(broker.err)
	}
	return broker.Kafka
}

// writeCertificate makes a key and a certificate for 127.0.0.1 that signs itself.
func writeCertificate(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	form := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &form, &form, &key.PublicKey, key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	return os.WriteFile(file, text, 0o600)
}

// options returns those of a test: topics made for it, and short times. Limits, by topic, are the longest records where
// they are not the usual.
func options(t *testing.T, partitions int, limits ...map[string]string) Options {
	t.Helper()
	k := startBroker(t)
	name := strings.NewReplacer("/", ".", " ", "-", "#", "").Replace(t.Name())
	opts := Options{
		Brokers: k.Addresses, Topic: name, ItemsTopic: name + ".items", Group: name,
		Session: 1500 * time.Millisecond, Drain: time.Second, Retry: 10 * time.Millisecond,
	}
	for _, limit := range limits {
		for suffix, bytes := range limit {
			makeTopic(t, opts, opts.Topic+suffix, partitions, bytes)
		}
	}
	var err error
	for range tries { // a broker that has just started may not know itself yet
		if err = CreateTopics(t.Context(), opts, partitions, 1); err == nil {
			return opts
		}
	}
	t.Fatal(err)
	return opts
}

// makeTopic makes a topic that takes records up to a length.
func makeTopic(t *testing.T, opts Options, name string, partitions int, bytes string) {
	t.Helper()
	c, err := connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range tries {
		res, fault := c.client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
			Topic: name, NumPartitions: partitions, ReplicationFactor: 1,
			ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: bytes}},
		}}})
		if err = fault; err == nil {
			err = res.Errors[name]
		}
		if err == nil {
			return
		}
	}
	t.Fatal(err)
}

// openStore opens a real store in a folder that may hold one already.
func openStore(t *testing.T, dir string) *pebblestore.Store {
	t.Helper()
	s, err := pebblestore.Open(dir, pebblestore.Options{Cap: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// watcher is an Observer that a test can wait with.
type watcher struct {
	mu       sync.Mutex
	fresh    *sync.Cond
	records  int
	accepted int // events that were new to the store
	bad      map[string]int
	lag      map[int]int64
	troubles map[string]int
	assigned [][]int
	commits  int
	last     error
}

func newWatcher() *watcher {
	w := &watcher{bad: map[string]int{}, lag: map[int]int64{}, troubles: map[string]int{}}
	w.fresh = sync.NewCond(&w.mu)
	return w
}

func (w *watcher) note(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
	w.fresh.Broadcast()
}

func (w *watcher) Took(b Batched) {
	w.note(func() {
		w.records += b.Records
		w.accepted += b.Result.Accepted
		w.lag[b.Partition] = b.Lag
		for _, reason := range b.Bad {
			w.bad[reason]++
		}
	})
}
func (w *watcher) Committed(n int) { w.note(func() { w.commits += n }) }
func (w *watcher) Troubled(doing string, err error) {
	w.note(func() { w.troubles[doing]++; w.last = err })
}
func (w *watcher) Assigned(ids []int) { w.note(func() { w.assigned = append(w.assigned, ids) }) }

// wait blocks until done says so, and fails the test after a minute and a half.
func (w *watcher) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(90*time.Second, func() { w.note(func() { late = true }) })
	defer timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !done() {
		if late {
			t.Fatalf("waited in vain for %s: %d records, bad %v, lag %v, troubles %v, assigned %v, last error %v",
				what, w.records, w.bad, w.lag, w.troubles, w.assigned, w.last)
		}
		w.fresh.Wait()
	}
}

// consume runs a consumer until the returned function is called, which waits for its end.
func consume(t *testing.T, opts Options, to Appender) (stop func()) {
	t.Helper()
	c, err := NewConsumer(opts, to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// produce writes events as the service does.
func produce(t *testing.T, opts Options, events []event.Event) {
	t.Helper()
	p, err := NewProducer(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Produce(t.Context(), events), p.Close()); err != nil {
		t.Fatal(err)
	}
}

// produceStubbornly produces again and again until the brokers have it, as a client of the service would.
func produceStubbornly(t *testing.T, opts Options, events []event.Event) {
	t.Helper()
	p, err := NewProducer(opts)
	if err != nil {
		t.Fatal(err)
	}
	for err = errors.New("not yet"); err != nil; err = p.Produce(t.Context(), events) {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// produceRaw writes records as somebody else might.
func produceRaw(t *testing.T, opts Options, topic string, messages ...kafka.Message) {
	t.Helper()
	c, err := connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	w := kafka.Writer{
		Addr: c.client.Addr, Transport: c.transport, Topic: topic, RequiredAcks: kafka.RequireAll,
		Balancer: kafka.Murmur2Balancer{}, BatchTimeout: time.Millisecond, BatchBytes: 32 << 20,
	}
	if err := errors.Join(w.WriteMessages(t.Context(), messages...), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// readAll returns every record of a topic.
func readAll(t *testing.T, opts Options, topic string) (all []record) {
	t.Helper()
	opts.Topic, opts.DeadLetterTopic, opts.ItemsTopic = topic, "-d", "-i"
	c, err := connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	spans, err := c.window(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		err := c.each(t.Context(), topic, s, func(_ context.Context, r []record) error { all = append(all, r...); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// someEvents are all different: n of them, of so many users, in no order of time.
func someEvents(n, users int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			User: event.UserID(fmt.Sprintf("user-%d", i%users)), Item: event.ItemID(fmt.Sprintf("item-%d", i%97)),
			Time: 1_700_000_000_000 + int64(i*7919%n)*1000 + int64(i%users),
		}
	}
	return events
}

// compare fails unless a store holds exactly these events, each history in order.
func compare(t *testing.T, s store.Histories, want []event.Event) {
	t.Helper()
	left := map[event.Event]bool{}
	for _, e := range want {
		left[e.Canonical()] = true
	}
	strange, misplaced := 0, 0
	err := s.Users(t.Context(), func(user event.UserID) error {
		history, err := s.Recent(t.Context(), user, len(want))
		for i, e := range history {
			if !left[e.Canonical()] { // also one that comes twice
				strange++
			}
			delete(left, e.Canonical())
			if i > 0 && event.Compare(history[i-1], e) >= 0 {
				misplaced++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(left)+strange+misplaced > 0 {
		t.Errorf("%d events lost, %d doubled or strange, %d out of order, of %d", len(left), strange, misplaced, len(want))
	}
}
