package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"seqrec/internal/registry"
	"seqrec/internal/services"
)

// broker is the real one that the tests of this package share; each test has topics of its own.
var broker struct {
	sync.Once
	dir string
	*services.Kafka
	err error
}

func stopBroker() error {
	if broker.Kafka == nil {
		return nil
	}
	return errors.Join(broker.Kill(), os.RemoveAll(broker.dir))
}

// kafkaArgs are settings for topics of the test's own, which it makes.
func kafkaArgs(t *testing.T, more ...string) []string {
	t.Helper()
	broker.Do(func() {
		if broker.dir, broker.err = os.MkdirTemp("", "recsvc-test-"); broker.err == nil { //nolint:usetesting // it outlives the test
			broker.Kafka, broker.err = services.StartKafka(context.Background(), services.KafkaOptions{Dir: broker.dir})
		}
	})
	if broker.err != nil {
		t.Fatal(broker.err)
	}
	name := t.Name()
	args := append([]string{
		"--kafka-brokers=" + broker.Addresses[0], "--kafka-topic=" + name, "--kafka-dead-letter-topic=" + name + ".dead-letter",
		"--kafka-items-topic=" + name + ".items", "--kafka-group=" + name, "--kafka-session=1500ms", "--kafka-drain=1s",
	}, more...)
	if code, _, errs := execute(t, nil, append([]string{"create-topics", "--partitions=2"}, args...)...); code != 0 {
		t.Fatalf("create-topics: %s", errs)
	}
	return args
}

// newRegistry publishes an untrained model into a folder.
func newRegistry(t *testing.T, dir string) {
	t.Helper()
	reg, err := registry.Open(filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := publishBench(reg, 1)
	if err == nil {
		err = reg.Promote(version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask calls a service until the answer is as wanted.
func ask(t *testing.T, base, body string, want func(answer) bool) answer {
	t.Helper()
	for t.Context().Err() == nil {
		var a answer
		if err := call(t.Context(), "POST", base+"/v1/predict", "", []byte(body), &a); err != nil {
			t.Fatal(err)
		}
		if want(a) {
			return a
		}
	}
	t.Fatal("the answer never came")
	return answer{}
}

// TestStreaming runs two servers on one Kafka, each with a store of its own, of which one takes events in: what is sent
// to either reaches it, and items changed on one change on both.
func TestStreaming(t *testing.T) {
	args := kafkaArgs(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	var bases []string
	for i, dir := range dirs {
		newRegistry(t, dir)
		r := run(t, nil, serveArgs(dir, append(args, fmt.Sprintf("--kafka-ingest=%v", i == 0))...)...)
		bases = append(bases, "http://"+r.Data)
	}
	var got struct{ Accepted, Duplicate int }
	events := []byte(`[{"user":"ann","item":"item-7","time":1700000000000},{"user":"ann","item":"item-8","time":1700000001000}]`)
	for range 2 { // by Kafka duplicates are not seen here
		if err := call(t.Context(), "POST", bases[1]+"/v1/events", "", events, &got); err != nil || got.Accepted != 2 || got.Duplicate != 0 {
			t.Fatalf("events: %+v, %v", got, err)
		}
	}
	ask(t, bases[0], `{"user":"ann","k":3}`, func(a answer) bool { return a.History.Used == 2 })

	with := `{"user":"bob","k":3,"events":[{"item":"item-9","time":1700000000000}]}`
	if a := ask(t, bases[1], with, func(answer) bool { return true }); a.History.Used != 1 {
		t.Errorf("events of the request were not used: %+v", a)
	}
	ask(t, bases[0], `{"user":"bob","k":3}`, func(a answer) bool { return a.History.Used == 1 })

	best := ask(t, bases[0], `{"user":"ann","k":1}`, func(answer) bool { return true }).Items[0].ID
	shown := func(a answer) bool { return a.Items[0].ID == best }
	body := `{"k":1,"history":[{"item":"item-7","time":1700000000000},{"item":"item-8","time":1700000001000}]}`
	for _, base := range bases {
		ask(t, base, body, shown)
	}
	item := bases[0] + "/v1/items/" + best
	if err := call(t.Context(), "PUT", item, "", []byte(`{"hidden":true,"title":"T"}`), nil); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, bases[0], body, func(answer) bool { return true }); shown(a) {
		t.Error("the hidden item is shown where it was hidden")
	}
	ask(t, bases[1], body, func(a answer) bool { return !shown(a) })
	if err := call(t.Context(), "DELETE", bases[1]+"/v1/items/"+best, "", nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, base := range bases {
		ask(t, base, body, shown)
	}
	var refused *statusError
	if err := call(t.Context(), "DELETE", item, "", nil, nil); !errors.As(err, &refused) {
		t.Errorf("deleted twice: %v", err)
	}
}

// TestIngestAndReplay: the ingest command fills a store and drains; replay fills another, equally; a dead letter is seen.
func TestIngestAndReplay(t *testing.T) {
	args := kafkaArgs(t)
	dir := t.TempDir()
	newRegistry(t, dir)
	args = append(args, "--listen-probes=127.0.0.1:0", "--registry", filepath.Join(dir, "registry"))
	first := filepath.Join(dir, "first")
	r := run(t, nil, append([]string{"ingest", "--store", first}, args...)...)
	probes := "http://" + r.Probes
	await(t, probes+"/readyz", 200)

	sender := run(t, nil, serveArgs(t.TempDir(), args...)...)
	var events strings.Builder
	for i := range 500 {
		fmt.Fprintf(&events, "{\"user\":\"user-%d\",\"item\":\"item-%d\",\"time\":%d}\n", i%7, i%31, 1_700_000_000_000+i)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+sender.Data+"/v1/events", strings.NewReader(events.String()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for text := ""; !strings.Contains(text, `recsvc_ingest_events_total{result="accepted"} 500`); {
		resp, err := http.Get(probes + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		text = string(body)
	}
	if got := status(t, probes+"/livez"); got != 200 {
		t.Errorf("livez: %d", got)
	}
	if code := r.stop(); code != 0 || !strings.Contains(r.err.String(), `"msg":"closed"`) {
		t.Fatalf("ended with %d:\n%s", code, r.err)
	}
	second := filepath.Join(dir, "second")
	code, out, errs := execute(t, nil, append([]string{"replay", "--from=1h", "--store", second}, args...)...)
	if code != 0 || !strings.Contains(out, "500 records: 500 events new") {
		t.Fatalf("replay: %d %s%s", code, out, errs)
	}
	if code, out, _ = execute(t, nil, append([]string{"replay", "--store", first}, args...)...); code != 0 || !strings.Contains(out, "0 events new, 500 held") {
		t.Errorf("replay into the live store: %d %s", code, out)
	}
	if code, out, _ = execute(t, nil, append([]string{"replay-dead-letters"}, args...)...); code != 0 || !strings.Contains(out, "0 dead letters") {
		t.Errorf("replay-dead-letters: %d %s", code, out)
	}
	for name, wrong := range map[string][]string{
		"--from": append([]string{"replay", "--from=yesterday"}, args...), "kafka.brokers": {"replay"}, "kafka.brokers:": {"ingest", "--listen-probes=127.0.0.1:0"},
	} {
		if code, _, errs := execute(t, nil, wrong...); code != 1 || !strings.Contains(errs, name) {
			t.Errorf("%v: %d %s", wrong, code, errs)
		}
	}
}

// TestIngestCountsErrorsOfTheStore: why the store did not take an event is a metric of the ingester too.
func TestIngestCountsErrorsOfTheStore(t *testing.T) {
	redis, dir := startRedis(t, services.RedisOptions{}), t.TempDir()
	if _, err := redis.Do(t.Context(), "SET", "sr:{ann}", "garbage"); err != nil {
		t.Fatal(err)
	}
	newRegistry(t, dir)
	args := kafkaArgs(t, "--redis-addresses", redis.Addr, "--listen-probes=127.0.0.1:0", "--registry", filepath.Join(dir, "registry"))
	r := run(t, nil, append([]string{"ingest"}, args...)...)
	sender := run(t, nil, serveArgs(dir, args...)...)
	events := []byte(`[{"user":"ann","item":"item-7","time":1700000000000}]`)
	if err := call(t.Context(), "POST", "http://"+sender.Data+"/v1/events", "", events, new(struct{})); err != nil {
		t.Fatal(err)
	}
	for text := ""; !strings.Contains(text, `recsvc_ingest_bad_total{reason="history-lost"} 1`) || !strings.Contains(text, `recsvc_store_errors_total{reason="corrupt"}`); {
		resp, err := http.Get("http://" + r.Probes + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		text = string(body)
	}
}

func TestCreateTopicsUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"above zero":  {"create-topics", "--kafka-brokers=127.0.0.1:1", "--partitions=0"},
		"127.0.0.1:1": {"create-topics", "--kafka-brokers=127.0.0.1:1"},
	} {
		if code, _, errs := execute(t, nil, args...); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s, want %q", args, code, errs, want)
		}
	}
}
