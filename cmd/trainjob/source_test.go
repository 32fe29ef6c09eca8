package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/ingest"
	"seqrec/internal/services"
)

// TestSharedSources gathers the same events from a real Redis and from a real Kafka, in whole and in windows.
func TestSharedSources(t *testing.T) {
	events := worldLog(t, 1)
	dir := t.TempDir()
	r, err := services.StartRedis(t.Context(), dir, "redis", services.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill() //nolint:errcheck // it dies with the test at the latest
	k, err := services.StartKafka(t.Context(), services.KafkaOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Kill() //nolint:errcheck // the same
	fillShared(t, "redis://"+r.Addr+"/0?prefix=night", k.Addresses, events)
	// Two whose histories cannot be read: they are left out, and nobody else.
	_, err1 := r.Do(t.Context(), "SET", "night:{lost-1}", "garbage")
	_, err2 := r.Do(t.Context(), "LPUSH", "night:{lost-2}", "garbage")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}

	var said strings.Builder
	a := &app{ctx: t.Context(), out: io.Discard, err: &said}
	for place, want := range map[string]int{
		"redis://" + r.Addr + "/0?prefix=night":               len(events),
		"kafka://" + k.Addresses[0] + "/interactions":         len(events),
		"kafka://" + k.Addresses[0] + "/interactions?from=1h": len(events),
		"kafka://" + k.Addresses[0] + "/interactions?to=1h":   0,
	} {
		source, erased, closed, err := (&nightlyCmd{}).sourceOf(a, place)
		if err != nil {
			t.Fatal(err)
		}
		g, err := features.NewGatherer(features.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Gather(t.Context(), g); err != nil {
			t.Fatalf("%s: %v", place, err)
		}
		got := 0
		if d, _, err := g.Dataset(nil); err == nil {
			got = d.Len()
		} else if want > 0 {
			t.Fatalf("%s: %v", place, err)
		}
		if got != want || strings.Contains(source.Name(), "?") || (erased != nil) != strings.HasPrefix(place, "redis") {
			t.Errorf("%s gave %d events, want %d; erasures %v", source.Name(), got, want, erased)
		}
		if err := closed(); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(said.String(), "2 histories cannot be read") {
		t.Errorf("nobody is told of the two: %s", said.String())
	}
}

// Two places have two names, by which an unfinished night is known; none of them holds a secret.
func TestSourceNames(t *testing.T) {
	r, err := services.StartRedis(t.Context(), t.TempDir(), "redis", services.RedisOptions{Password: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill() //nolint:errcheck // it dies with the test at the latest
	a, seen := &app{ctx: t.Context(), out: io.Discard, err: io.Discard}, map[string]string{}
	for _, place := range []string{
		"redis://:s3cret@" + r.Addr, "redis://:s3cret@" + r.Addr + "/1", "redis://:s3cret@" + r.Addr + "?prefix=a", "redis://:s3cret@" + r.Addr + "?prefix=b",
		"s3://b/p?region=r", "s3://b/p?region=r&endpoint=https://one&key=s3cret", "s3://b/p?region=r&endpoint=https://two",
	} {
		source, _, closed, err := (&nightlyCmd{}).sourceOf(a, place)
		if err != nil {
			t.Fatal(err)
		}
		name := source.Name()
		if seen[name] != "" || strings.Contains(name, "s3cret") {
			t.Errorf("%s and %s are both called %s", place, seen[name], name)
		}
		seen[name] = place
		if err := closed(); err != nil {
			t.Error(err)
		}
	}
}

// fillShared stores events in a Redis and sends them to a Kafka.
func fillShared(t *testing.T, redis string, brokers []string, events []event.Event) {
	t.Helper()
	s, _, err := openRedis(t.Context(), redis)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), events)
	opts := ingest.Options{Brokers: brokers, Topic: "interactions", DeadLetterTopic: "dead", ItemsTopic: "items", Group: "night"}
	if err := errors.Join(err, s.Close(), ingest.CreateTopics(t.Context(), opts, 3, 1)); err != nil {
		t.Fatal(err)
	}
	p, err := ingest.NewProducer(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Produce(t.Context(), events), p.Close()); err != nil {
		t.Fatal(err)
	}
}
