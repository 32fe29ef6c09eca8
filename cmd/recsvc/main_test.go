package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"seqrec/internal/recommend"
	"seqrec/internal/registry"
	"seqrec/internal/store"
)

// TestMain lets the tests start this very program: benchmarks run `serve` and
// others in processes of their own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "ingest", "replay"}, os.Args[1]) {
		main()
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := stopBroker(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}), goleak.IgnoreTopFunction("seqrec/internal/services.(*Process).Start.func1"),
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"))
}

// syncBuffer can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// running is the program under test.
type running struct {
	addresses
	out, err *syncBuffer
	stop     func() int
}

// run starts the program with a command that serves and waits until it does.
func run(t *testing.T, environ []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{out: &syncBuffer{}, err: &syncBuffer{}}
	serving := make(chan addresses, 1)
	code := make(chan int, 1)
	m := &Main{Stdout: r.out, Stderr: r.err, Environ: environ, OnServing: func(a addresses) { serving <- a }}
	go func() { code <- m.Execute(ctx, args) }()
	r.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { r.stop(); http.DefaultClient.CloseIdleConnections() })
	select {
	case r.addresses = <-serving:
	case c := <-code:
		code <- c
		t.Fatalf("ended with %d instead of serving:\n%s%s", c, r.out, r.err)
	}
	return r
}

// execute runs a command that ends by itself.
func execute(t *testing.T, environ []string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	m := &Main{Stdout: &o, Stderr: &e, Environ: environ}
	code = m.Execute(t.Context(), args)
	http.DefaultClient.CloseIdleConnections()
	return code, o.String(), e.String()
}

// serveArgs serve temporary folders on free ports.
func serveArgs(dir string, more ...string) []string {
	return append([]string{"serve", "--registry", filepath.Join(dir, "registry"), "--store", filepath.Join(dir, "store"),
		"--listen-data=127.0.0.1:0", "--listen-admin=127.0.0.1:0", "--listen-probes=127.0.0.1:0", "--drain-delay=0s", "--watch=5ms"}, more...)
}

func status(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestServe lives through a whole life: no model, a model, events, a prediction
// that has read them, a restart that remembers, an end.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	r := run(t, nil, serveArgs(dir)...)
	if got := status(t, "http://"+r.Probes+"/livez"); got != 200 {
		t.Errorf("livez without a model: %d", got)
	}
	if got := status(t, "http://"+r.Probes+"/readyz"); got != 503 {
		t.Errorf("readyz without a model: %d", got)
	}
	reg, err := registry.Open(filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := publishBench(reg, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.Promote(version); err != nil {
		t.Fatal(err)
	}
	base := "http://" + r.Data
	await(t, "http://"+r.Probes+"/readyz", 200)
	body := []byte(`{"user":"ann","k":3,"events":[{"item":"item-7","time":1700000000000}]}`)
	var a answer
	if err := call(t.Context(), "POST", base+"/v1/predict", "", body, &a); err != nil {
		t.Fatal(err)
	}
	if a.Rung != "model" || a.History.Used != 1 || len(a.Items) != 3 || a.Model.Version != version {
		t.Errorf("answer %+v", a)
	}
	if got := status(t, "http://"+r.Probes+"/metrics"); got != 200 {
		t.Errorf("metrics: %d", got)
	}
	if code := r.stop(); code != 0 || !strings.Contains(r.err.String(), `"msg":"closed"`) {
		t.Fatalf("ended with %d:\n%s", code, r.err)
	}

	r = run(t, nil, serveArgs(dir)...)
	var again answer
	if err := call(t.Context(), "POST", "http://"+r.Data+"/v1/predict", "", []byte(`{"user":"ann","k":3}`), &again); err != nil {
		t.Fatal(err)
	}
	if again.History.Used != 1 || fmt.Sprint(again.Items) != fmt.Sprint(a.Items) {
		t.Errorf("after the restart %+v, before %+v", again, a)
	}
}

// await asks until the answer has that status.
func await(t *testing.T, url string, want int) {
	t.Helper()
	for t.Context().Err() == nil {
		if status(t, url) == want {
			return
		}
	}
	t.Fatalf("%s never answered %d", url, want)
}

// TestDrain: once asked to end, the service says that it is not ready and goes
// on answering until the delay is over.
func TestDrain(t *testing.T) {
	r := run(t, nil, serveArgs(t.TempDir(), "--drain-delay=1s")...)
	ended := make(chan int)
	go func() { ended <- r.stop() }()
	ready := "http://" + r.Probes + "/readyz?verbose"
	for text := ""; !strings.Contains(text, "drain"); { // before that it is unready for want of a model
		resp, err := http.Get(ready)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		text = string(body)
	}
	if got := status(t, "http://"+r.Data+"/v1/models"); got != 200 {
		t.Errorf("while draining: %d", got)
	}
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d: %s", code, r.err)
	}
}

func TestServeKeys(t *testing.T) {
	dir := t.TempDir()
	code, _, errs := execute(t, nil, serveArgs(dir, "--listen-admin=0.0.0.0:0")...)
	if code != 1 || !strings.Contains(errs, "listen.admin") {
		t.Errorf("an open admin plane without a key: %d %s", code, errs)
	}
	secret := filepath.Join(dir, "key")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, []string{"RECSVC_AUTH_KEY_FILE=" + secret}, serveArgs(dir, "--listen-admin=0.0.0.0:0")...)
	if err := get(t.Context(), "http://"+r.Data+"/v1/models", "", nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without the key: %v", err)
	}
	if err := get(t.Context(), "http://"+r.Data+"/v1/models", "s3cret", nil); err != nil {
		t.Errorf("with the key: %v", err)
	}
	if strings.Contains(r.err.String(), "s3cret") {
		t.Error("the key is in the log")
	}
}

func TestServeRefusesTakenPortAndBusyStore(t *testing.T) {
	dir := t.TempDir()
	r := run(t, nil, serveArgs(dir)...)
	for name, args := range map[string][]string{
		"listen.data": serveArgs(t.TempDir(), "--listen-data="+r.Data),
		"open store":  serveArgs(dir),
	} {
		if code, _, errs := execute(t, nil, args...); code != 1 || !strings.Contains(errs, name) {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
}

// TestDemo runs all of it, with one pass over the data.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a model")
	}
	code, out, errs := execute(t, nil, "demo", "--exit", "--epochs=1", "--listen=127.0.0.1:0")
	if code != 0 {
		t.Fatalf("ended with %d: %s", code, errs)
	}
	for _, want := range []string{"What comes next", "the page", "curl", "   1  The "} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "Ctrl-C") {
		t.Error("it says that it goes on")
	}
}

// TestBenches runs each benchmark for as short as it goes, on services in other
// processes, and reads the lines for machines.
func TestBenches(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, c := range []struct {
		args []string
		rows []string
		zero []string
	}{
		{[]string{"predict", "--time=1s", "--history=20", "--clients=2"}, []string{"rest-p50", "rest-p99", "rest-rps"}, nil},
		{[]string{"events", "--time=1s"}, []string{"ingest-eps"}, nil},
		{[]string{"swap", "--swaps=3", "--every=1ms", "--history=20"}, []string{"swap-errors", "swap-p99-ratio", "swap-rss-growth"}, []string{"swap-errors"}},
		{[]string{"kill", "--kills=2", "--events=3000"}, []string{"kill-lost", "kill-doubled"}, []string{"kill-lost", "kill-doubled"}},
		{[]string{"stream", "--events=5000", "--users=50", "--looks=10", "--hides=3"}, []string{"stream-eps", "visible-p99-ms", "hide-visible-ms"}, nil},
		{[]string{"stream-faults", "--events=20000", "--users=100", "--rate=10000", "--kills=2", "--restarts=1"}, []string{"faults-lost", "faults-doubled", "faults-misordered", "cluster-lost"}, []string{"faults-lost", "faults-doubled", "faults-misordered"}},
		{[]string{"allocs"}, []string{"allocs-predict"}, []string{"allocs-predict"}},
		{[]string{"redis", "--users=300", "--time=1s", "--away=1s"}, []string{"redis-gib", "plan-error", "redis-predict-p50", "redis-predict-p99", "redis-away"}, []string{"redis-away"}},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			page := filepath.Join(t.TempDir(), "benchmarks.md")
			if err := os.WriteFile(page, []byte("# Figures\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			code, out, errs := execute(t, nil, append(append([]string{"bench"}, c.args...), "--write", page)...)
			if code != 0 {
				t.Fatalf("ended with %d: %s", code, errs)
			}
			got := map[string]float64{}
			for line := range strings.Lines(out) {
				if text, ok := strings.CutPrefix(line, "BENCH "); ok {
					var r struct {
						Row   string
						Value float64
					}
					if err := json.Unmarshal([]byte(text), &r); err != nil {
						t.Fatal(err)
					}
					got[r.Row] = r.Value
				}
			}
			written, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range c.rows {
				if _, ok := got[name]; !ok || !strings.Contains(string(written), "| "+name+" |") {
					t.Errorf("row %s is missing:\n%s\n%s", name, out, written)
				}
			}
			for _, name := range c.zero {
				if got[name] != 0 {
					t.Errorf("%s is %v", name, got[name])
				}
			}
		})
	}
	for _, url := range []string{"http://example.com", "https://127.0.0.1:1", "127.0.0.1:80"} {
		if code, _, errs := execute(t, nil, "bench", "predict", "--url", url); code != 1 || !strings.Contains(errs, "--url") {
			t.Errorf("%s: %d %s", url, code, errs)
		}
	}
}

func TestReplaceSection(t *testing.T) {
	for _, c := range []struct{ page, want string }{
		{"# P\n", "# P\n\n## t\nnew\n"},
		{"# P\n\n## t\nold\nold\n", "# P\n\n## t\nnew\n"},
		{"# P\n\n## t\nold\n\n## u\nkept\n", "# P\n\n## t\nnew\n\n## u\nkept\n"},
		{"## tt\nkept\n", "## tt\nkept\n\n## t\nnew\n"},
	} {
		if got := replaceSection(c.page, "t", "## t\nnew\n"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.page, got, c.want)
		}
	}
}

// TestOversizedItems: items that cannot be stored are named by their place, before anything is stored or produced.
func TestOversizedItems(t *testing.T) {
	big := map[string]any{"text": strings.Repeat("x", store.MaxItem)}
	err := storage{}.PutItems(t.Context(), []recommend.CatalogItem{{ID: "a"}, {ID: "b", Attributes: big}, {ID: "c", Attributes: big}})
	var wrong *recommend.InvalidError
	if !errors.As(err, &wrong) || len(wrong.Faults) != 2 || wrong.Faults[0].Pointer != "/items/1" || wrong.Faults[1].Pointer != "/items/2" {
		t.Errorf("error %v", err)
	}
}
