package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/store"
	"seqrec/internal/store/pebblestore"
	"seqrec/internal/train"
)

// log is a world of timed events that ends at share of its time.
func worldLog(t *testing.T, share float64) []event.Event {
	t.Helper()
	data, _ := features.World(5, features.WorldOptions{Users: 250, Items: 60, MinLength: 8, MaxLength: 16})
	times := slices.Sorted(slices.Values(data.Times))
	end := times[int(share*float64(len(times)-1))]
	var out []event.Event
	for u, user := range data.Users {
		items, at := data.User(u)
		for i, item := range items {
			if at[i] <= end {
				out = append(out, event.Event{User: event.UserID(user), Item: event.ItemID(data.Vocab.ID(item)), Time: at[i]})
			}
		}
	}
	return out
}

// writeLog writes events as NDJSON into a folder of sources.
func writeLog(t *testing.T, dir, name string, events []event.Event) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewEncoder(f)
	for _, e := range events {
		if err := lines.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// nightArgs are a night of a second.
func nightArgs(reg string, more ...string) []string {
	return append([]string{
		"nightly", "--registry", reg, "--recipe", "quick", "--width", "16", "--length", "12", "--epochs", "6", "--batch-size", "16", "--warmup", "5",
		"--min-item-count", "0", "--judge-share", "0.1", "--checkpoint-every", "1ns",
	}, more...)
}

// A night on 80 % of a log, then one on all of it: the second begins where the
// first one ended, is judged beside it and takes its place.
func TestNights(t *testing.T) {
	src, reg := t.TempDir(), t.TempDir()
	writeLog(t, src, "a.ndjson", worldLog(t, 0.8))
	first := must(t, nightArgs(reg, "--source", src)...).last(t)
	if first["promoted"] != true || first["split"] != "temporal" || first["start"] != nil {
		t.Errorf("the first night: %v", first)
	}
	writeLog(t, src, "b.ndjson", worldLog(t, 1)) // tells all of a.ndjson again
	if err := os.WriteFile(filepath.Join(src, "items.csv"), []byte("item_id,title\nitem-1,One\nitem-2,Two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fetched := filepath.Join(reg, ".night", train.FetchedFolder) // as a killed night leaves it
	if err := errors.Join(os.Mkdir(fetched, 0o755), os.WriteFile(filepath.Join(fetched, "0-a.ndjson"), []byte("secret"), 0o644)); err != nil {
		t.Fatal(err)
	}
	o := must(t, nightArgs(reg, "--source", src, "--max-drop", "0.5")...)
	second := o.last(t)
	gathered := second["gathered"].(map[string]any)
	if gathered["events"] != float64(len(worldLog(t, 1))) || gathered["told_twice"] != float64(len(worldLog(t, 0.8))) {
		t.Errorf("gathered %v", gathered)
	}
	if start, _ := second["start"].(string); !strings.Contains(start, first["version"].(string)) || !strings.Contains(start, "the rest of the network too") {
		t.Errorf("the second night began with %q", start)
	}
	if current, ok := second["current"].(map[string]any); !ok || current["ndcg@10"] == 0.0 || second["promoted"] != true {
		t.Errorf("the second night: %v\n%s", second, o.errors)
	}
	page := readFile(t, filepath.Join(reg, second["version"].(string), registry.ReportHTMLFile))
	for _, want := range []string{"first weights", "vmis-knn", "current: ", "told by more than one source"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	left, err := filepath.Glob(filepath.Join(reg, ".night", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "night.lock" {
		t.Errorf("the working folder holds %v, %v", left, err)
	}
}

// A night with a second stage publishes one version more, which holds both; the next night says that it would lose the
// second, or trains it anew.
func TestNightWithSecondStage(t *testing.T) {
	src, reg := t.TempDir(), t.TempDir()
	data, _ := features.World(5, features.WorldOptions{Users: 150, Items: 100, MinLength: 24, MaxLength: 40})
	var events []event.Event
	for u, user := range data.Users {
		items, at := data.User(u)
		for i, item := range items {
			events = append(events, event.Event{User: event.UserID(user), Item: event.ItemID(data.Vocab.ID(item)), Time: at[i]})
		}
	}
	writeLog(t, src, "a.ndjson", events)
	night := must(t, nightArgs(reg, "--source", src, "--second", "dare")...).last(t)
	second, ok := night["second_stage"].(map[string]any)
	if !ok || second["first_stage"] != night["version"] || second["version"] == night["version"] || second["auc"].(float64) < 0.4 {
		t.Fatalf("the night: %v", night)
	}
	r, err := registry.Open(reg)
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Load(second["version"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if v.Manifest.Reranker == nil || v.Manifest.Night != night["night"] || v.Size(registry.RerankerFile) == 0 {
		t.Errorf("the version of both stages: %+v", v.Manifest)
	}
	if current := strings.TrimSpace(readFile(t, filepath.Join(reg, "current"))); second["promoted"] == true && current != second["version"] {
		t.Errorf("%s is current, want %s", current, second["version"])
	}
	if err := r.Promote(v.Manifest.Version); err != nil {
		t.Fatal(err)
	}
	if o := must(t, nightArgs(reg, "--source", src, "--max-drop", "0.9")...); !strings.Contains(o.errors, "has a second stage (dare), this one has none") {
		t.Errorf("a night without a second stage says nothing of it:\n%s", o.errors)
	}
	// A training run names the command that trains one; it works as it stands.
	if err := r.Promote(v.Manifest.Version); err != nil {
		t.Fatal(err)
	}
	o := must(t, "train", "--recipe", "popularity", "--no-baselines", "--data", filepath.Join(src, "a.ndjson"), "--registry", reg, "--min-item-count", "3", "--drop-items", "item-1,item-2")
	_, command, _ := strings.Cut(o.errors, "to train it one: trainjob ")
	command, _, _ = strings.Cut(command, "\n")
	if got := must(t, strings.Fields(command)...).last(t); got["first_stage"] != o.last(t)["version"] {
		t.Errorf("%q trained %v", command, got)
	}
}

// A night whose source has all but dried up has nothing to show that its model is as good: the current version stays.
func TestNightWithoutItsSource(t *testing.T) {
	src, dry, reg := t.TempDir(), t.TempDir(), t.TempDir()
	events := worldLog(t, 1)
	writeLog(t, src, "a.ndjson", events)
	writeLog(t, dry, "a.ndjson", events[:90])
	first := must(t, nightArgs(reg, "--source", src)...).last(t)
	o := trainjob(t, nightArgs(reg, "--source", dry)...)
	if o.code != exitRefused || !strings.Contains(o.errors, "test cases cannot show") {
		t.Errorf("exit code %d:\n%s", o.code, o.errors)
	}
	if current := readFile(t, filepath.Join(reg, "current")); strings.TrimSpace(current) != first["version"] {
		t.Errorf("%s is current, want %s", current, first["version"])
	}
}

const childArgs = "TRAINJOB_TEST_ARGS"

// TestChild is the program that tests kill.
func TestChild(t *testing.T) {
	args := os.Getenv(childArgs)
	if args == "" {
		return // only of use as the child of TestKilledNight
	}
	os.Exit(run(context.Background(), strings.Split(args, "\n"), os.Stdout, os.Stderr))
}

// killAt runs the program and kills it once it has said word. It reports whether
// the program lived to say it.
func killAt(t *testing.T, word string, args []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childArgs+"="+strings.Join(args, "\n"))
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := false
	for lines := bufio.NewScanner(errs); !said && lines.Scan(); {
		said = strings.Contains(lines.Text(), word)
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, errs)
	_ = cmd.Wait() // it was killed
	if !said {
		t.Fatalf("the program never said %q", word)
	}
}

func TestKilledNight(t *testing.T) {
	src := t.TempDir()
	writeLog(t, src, "a.ndjson", worldLog(t, 0.8))
	later := t.TempDir()
	writeLog(t, later, "b.ndjson", worldLog(t, 1))
	base := t.TempDir()
	must(t, nightArgs(base, "--source", src)...)
	nights := func(reg string) []string {
		return nightArgs(reg, "--source", src, "--source", later, "--max-drop", "0.5", "--name", "x")
	}
	alone := copyOf(t, base)
	want := weightsOf(t, alone, must(t, nights(alone)...))
	for _, word := range []string{"gathered from", "epoch   1", "epoch   2", "training ended", "published version", "is current"} {
		t.Run(word, func(t *testing.T) {
			reg := copyOf(t, base)
			killAt(t, word, nights(reg))
			o := must(t, nights(reg)...)
			resumed := o.last(t)["resumed"] == true
			if word == "is current" && !resumed {
				return // the kill came after the last step: this was the night after
			}
			if !resumed {
				t.Errorf("it did not go on:\n%s", o.errors)
			}
			if got := weightsOf(t, reg, o); got != want {
				t.Error("the night that was killed ended with other weights")
			}
			r, err := registry.Open(reg)
			if err != nil {
				t.Fatal(err)
			}
			versions, err := r.List()
			if err != nil || len(versions) != 2 || !versions[0].Current {
				t.Errorf("%d versions, %v", len(versions), err)
			}
		})
	}
}

// copyOf copies a registry.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "models")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestTwoNightsNeverRun(t *testing.T) {
	src, reg, work := t.TempDir(), t.TempDir(), t.TempDir()
	writeLog(t, src, "a.ndjson", worldLog(t, 1))
	for _, at := range []string{reg, work} {
		cmd := exec.CommandContext(t.Context(), "flock", filepath.Join(at, "night.lock"), "sh", "-c", "echo held; read end")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "night.lock"), []byte("4711\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		o := trainjob(t, nightArgs(reg, "--source", src, "--work", work)...)
		if o.code != exitFailed || !strings.Contains(o.errors, "another night is running: process 4711 holds "+at) {
			t.Errorf("exit code %d\n%s", o.code, o.errors)
		}
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil && !strings.Contains(err.Error(), "exit status") {
			t.Fatal(err)
		}
	}
	must(t, nightArgs(reg, "--source", src, "--work", work)...)

	// In a bucket the other one is on another machine.
	at := filepath.Join(t.TempDir(), "night.lease")
	lock, err := json.Marshal(map[string]any{"format": 1, "host": "elsewhere", "pid": 4711, "token": "x", "taken": time.Now(), "renewed": time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, lock, 0o644); err != nil {
		t.Fatal(err)
	}
	o := trainjob(t, nightArgs("file://"+filepath.ToSlash(filepath.Dir(at)), "--registry-cache", t.TempDir(), "--source", src)...)
	if o.code != exitFailed || !strings.Contains(o.errors, "another night is running: file://"+filepath.ToSlash(at)) || !strings.Contains(o.errors, "process 4711 on elsewhere") {
		t.Errorf("exit code %d\n%s", o.code, o.errors)
	}
}

// Whom a store has erased is in no training data, whatever source still tells of
// them, and the version proves it.
func TestErasedUsersAreNotLearnedFrom(t *testing.T) {
	src, reg, dir := t.TempDir(), t.TempDir(), t.TempDir()
	events := worldLog(t, 1)
	writeLog(t, src, "a.ndjson", events)
	s, err := pebblestore.Open(dir, pebblestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gone, back := events[0].User, events[len(events)-1].User
	held := 0
	for _, e := range events {
		if e.User == gone || e.User == back {
			held++
		}
	}
	var receipts []store.Receipt
	for _, user := range []event.UserID{gone, back} {
		r, err := s.Erase(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	again := event.Event{User: back, Item: events[0].Item, Time: time.Now().Add(time.Hour).UnixMilli()}
	if _, err := s.Append(t.Context(), []event.Event{again}); err != nil {
		t.Fatal(err)
	}
	list, err := store.ListErasures(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "erased.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(list.Write(file), file.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"by list":  {"--source", src, "--erasures", file.Name()},
		"by store": {"--source", src, "--source", "pebble:" + dir},
	} {
		t.Run(name, func(t *testing.T) {
			o := must(t, nightArgs(reg, append(args, "--hold")...)...).last(t)
			g := o["gathered"].(map[string]any)
			if g["erased_users"] != 2.0 || g["erased_events"] != float64(held) || g["receipts"] != 2.0 {
				t.Errorf("gathered %v, want %d events of 2 users left out", g, held)
			}
			version := o["version"].(string)
			kept := readFile(t, filepath.Join(reg, version, registry.ErasuresFile))
			if !strings.Contains(kept, receipts[0].ID) || !strings.Contains(kept, receipts[1].UserHash) || strings.Contains(kept, string(gone)) {
				t.Errorf("kept receipts:\n%s", kept)
			}
			shown := must(t, "validate", version, "--registry", reg, "--receipt", receipts[0].ID).out
			if !strings.Contains(shown, fmt.Sprintf("obeys 2 erasures (%d events of 2 users left out)", held)) || !strings.Contains(shown, receipts[0].ID+" is among them") {
				t.Errorf("validate:\n%s", shown)
			}
			if o := trainjob(t, "validate", version, "--registry", reg, "--receipt", "none"); o.code != exitFailed {
				t.Errorf("a receipt that is not there: exit code %d\n%s", o.code, o.out)
			}
		})
	}
}

func TestNightUsage(t *testing.T) {
	src, empty := t.TempDir(), t.TempDir()
	writeLog(t, src, "a.ndjson", worldLog(t, 1))
	bad := filepath.Join(t.TempDir(), "erased")
	if err := os.WriteFile(bad, []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no source", nil, exitUsage, "--source"},
		{"unknown scheme", []string{"--source", "ftp://x"}, exitUsage, "pebble:DIR"},
		{"a Redis with a setting that is none", []string{"--source", "redis://127.0.0.1:1/0?prefux=a"}, exitUsage, "prefux"},
		{"no Redis there", []string{"--source", "redis://127.0.0.1:1/0"}, exitFailed, "127.0.0.1:1"},
		{"a log with a window that is none", []string{"--source", "kafka://127.0.0.1:1/t?from=yesterday&tpyo=1"}, exitUsage, "tpyo"},
		{"a log without a topic", []string{"--source", "kafka://127.0.0.1:1"}, exitUsage, "topic"},
		{"a second stage that is none", []string{"--source", src, "--second", "sasrec-ce"}, exitUsage, "want one of dare"},
		{"fewer cases than none", []string{"--source", src, "--min-cases", "-1"}, exitUsage, "min-cases"},
		{"no such folder", []string{"--source", "/nowhere/at/all"}, exitFailed, "/nowhere/at/all"},
		{"nothing in it", []string{"--source", empty}, exitFailed, "no file of events"},
		{"no such store", []string{"--source", "pebble:/nowhere/at/all"}, exitFailed, "/nowhere/at/all"},
		{"not a list of erasures", []string{"--source", src, "--erasures", bad}, exitFailed, "not a list of erasures"},
		{"share too large", []string{"--source", src, "--judge-share", "0.7"}, exitUsage, "test share"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := trainjob(t, nightArgs(t.TempDir(), tt.args...)...)
			if o.code != tt.code || !strings.Contains(o.errors, tt.says) || o.out != "" {
				t.Errorf("exit code %d, want %d saying %q:\n%s%s", o.code, tt.code, tt.says, o.errors, o.out)
			}
		})
	}
}

// A registry in a bucket: one machine trains there, another one goes on from it.
func TestNightsInBucket(t *testing.T) {
	src, place := t.TempDir(), "file://"+filepath.ToSlash(t.TempDir())
	writeLog(t, src, "a.ndjson", worldLog(t, 0.8))
	first := must(t, nightArgs(place, "--registry-cache", t.TempDir(), "--source", src)...).last(t)
	writeLog(t, src, "b.ndjson", worldLog(t, 1))
	second := must(t, nightArgs(place, "--registry-cache", t.TempDir(), "--source", "file://"+filepath.ToSlash(src), "--max-drop", "0.5")...).last(t)
	if start, _ := second["start"].(string); !strings.Contains(start, first["version"].(string)) || second["promoted"] != true {
		t.Errorf("the second machine: %v", second)
	}
	if o := must(t, "validate", "current", "--registry", place, "--registry-cache", t.TempDir()); !strings.Contains(o.out, second["version"].(string)) {
		t.Errorf("a third machine finds %s", o.out)
	}
	// Any machine lists, promotes and rolls back what the bucket holds.
	elsewhere := func(args ...string) string {
		t.Helper()
		return must(t, append(args, "--registry", place, "--registry-cache", t.TempDir())...).out
	}
	was, is := first["version"].(string), second["version"].(string)
	for _, step := range []struct {
		args    []string
		current string
	}{
		{[]string{"rollback"}, was}, {[]string{"promote", "latest"}, is}, {[]string{"promote", was}, was}, {[]string{"rollback"}, is},
	} {
		if out := elsewhere(step.args...); strings.TrimSpace(out) != step.current {
			t.Errorf("%v says %s, want %s", step.args, out, step.current)
		}
		lines := strings.Split(elsewhere("list"), "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, " current") })
		if len(lines) != 4 || i < 0 || !strings.HasPrefix(lines[i], step.current) { // heading, two versions, end
			t.Errorf("after %v: %q, want %s to be current", step.args, lines, step.current)
		}
	}
	if out := elsewhere("list", "--json"); !strings.Contains(out, `"current":true`) || strings.Count(out, "\n") != 2 {
		t.Errorf("list --json: %s", out)
	}
}

// The list of erasures may come from a running service, which asks for a key.
func TestErasuresOverHTTP(t *testing.T) {
	src, key := t.TempDir(), filepath.Join(t.TempDir(), "key")
	events := worldLog(t, 1)
	writeLog(t, src, "a.ndjson", events)
	if err := os.WriteFile(key, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := store.Secret{1}
	list := store.NewErasureList(secret, []store.Receipt{{ID: "A", UserHash: secret.UserHash(events[0].User), At: time.Now().UTC()}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
		} else if err := list.Write(w); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	args := nightArgs(t.TempDir(), "--source", src, "--erasures", server.URL+"/admin/v1/erasures")
	if o := trainjob(t, args...); o.code != exitFailed || !strings.Contains(o.errors, "401") {
		t.Errorf("without the key: exit code %d\n%s", o.code, o.errors)
	}
	o := must(t, append(args, "--erasures-key-file", key)...).last(t)
	if g := o["gathered"].(map[string]any); g["erased_users"] != 1.0 {
		t.Errorf("gathered %v", g)
	}
}
