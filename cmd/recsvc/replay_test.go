package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seqrec/internal/services"
	"seqrec/internal/store"
)

// TestReplayAfterErasure: a store that is rebuilt from the log with the erasures of the live one, as a list or from the
// store itself, equals it; without them the user would be back.
func TestReplayAfterErasure(t *testing.T) {
	args := kafkaArgs(t)
	dir := t.TempDir()
	newRegistry(t, dir)
	redis := startRedis(t, services.RedisOptions{})
	live := "redis://" + redis.Addr + "/0"
	r := run(t, nil, serveArgs(dir, append(args, "--kafka-ingest=true", "--redis-addresses="+redis.Addr)...)...)
	base := "http://" + r.Data
	send := func(events string) {
		t.Helper()
		if err := call(t.Context(), "POST", base+"/v1/events", "", []byte(events), nil); err != nil {
			t.Fatal(err)
		}
	}
	send(`[{"user":"ann","item":"item-7","time":5},{"user":"ann","item":"item-8","time":6},{"user":"bob","item":"item-7","time":5}]`)
	ask(t, base, `{"user":"ann","k":3}`, func(a answer) bool { return a.History.Used == 2 })
	ask(t, base, `{"user":"bob","k":3}`, func(a answer) bool { return a.History.Used == 1 })
	if err := call(t.Context(), "DELETE", base+"/v1/users/ann", "", nil, nil); err != nil {
		t.Fatal(err)
	}
	text := page(t, "http://"+r.Admin+"/admin/v1/erasures")
	list, err := store.ReadErasures(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for at, _ := list.Until("ann"); time.Now().UnixMilli() <= at.UnixMilli(); { // what comes in that millisecond is of before
	}
	send(`[{"user":"ann","item":"item-9","time":7}]`)
	ask(t, base, `{"user":"ann","k":3}`, func(a answer) bool { return a.History.Used == 1 })
	if code := r.stop(); code != 0 {
		t.Fatalf("ended with %d:\n%s", code, r.err)
	}
	file := filepath.Join(dir, "erased.ndjson")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	replay := func(want string, more ...string) {
		t.Helper()
		code, out, errs := execute(t, nil, append(append([]string{"replay"}, args...), more...)...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("replay %v: %d %s%s", more, code, out, errs)
		}
	}
	replay("4 records: 0 events new, 2 held already, 0 beyond the cap, 2 from before an erasure", "--redis-addresses="+redis.Addr)
	for name, erasures := range map[string]string{"file": file, "store": live} {
		folder := filepath.Join(dir, name)
		replay("4 records: 2 events new, 0 held already, 0 beyond the cap, 2 from before an erasure", "--store="+folder, "--erasures="+erasures)
		if got, want := digestOf(t, folder), digestOf(t, live); got != want {
			t.Errorf("with the erasures of a %s: %s, want %s", name, got, want)
		}
	}
	replay("4 events new", "--store="+filepath.Join(dir, "without"))
	for _, bad := range []string{filepath.Join(dir, "nothing"), filepath.Join(dir, "log"), "redis://127.0.0.1:1/0"} {
		if err := os.WriteFile(filepath.Join(dir, "log"), []byte(text[:len(text)/2]), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := execute(t, nil, append([]string{"replay", "--erasures=" + bad, "--store=" + filepath.Join(dir, "x")}, args...)...); code != 1 || !strings.Contains(errs, "--erasures: ") {
			t.Errorf("%s: %d %s", bad, code, errs)
		}
	}
}
