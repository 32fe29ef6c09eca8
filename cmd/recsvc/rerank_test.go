package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"seqrec/internal/event"
	"seqrec/internal/registry"
)

// reranked is what the tests look at of an answer.
type reranked struct {
	Items []struct {
		ID      string
		Score   float64
		Moments []struct {
			Item   string
			Place  int
			Weight float64
		}
	}
	Degraded *string
	Short    string
	Rerank   *struct {
		Rung               string
		Events, Candidates int
	}
	Errors []struct{ Pointer string }
}

// askPredict sends one request and gives status, answer and Server-Timing.
func askPredict(t *testing.T, base, body string) (status int, a reranked, timing string) {
	t.Helper()
	resp, err := http.Post(base+"/v1/predict", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return resp.StatusCode, a, resp.Header.Get("Server-Timing")
}

// serveStages serves a version with a second stage over histories that are stored
// already.
func serveStages(t *testing.T, events []event.Event, more ...string) *running {
	t.Helper()
	dir := t.TempDir()
	reg, err := registry.Open(filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := benchSecond(1)
	if err != nil {
		t.Fatal(err)
	}
	version, err := publishStages(reg, 1, second)
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.Promote(version); err != nil {
		t.Fatal(err)
	}
	if err := storeEvents(t.Context(), filepath.Join(dir, "store"), events); err != nil {
		t.Fatal(err)
	}
	// A busy machine must not decide what is answered.
	return run(t, nil, serveArgs(dir, append(more, "--model-history-timeout=5m", "--limits-timeout=10m", "--history-cap=2000000", "--model-rerank-candidates=20")...)...)
}

// histories of a list of items, as the body of a request.
func bareHistory(n int, item func(i int) string, when func(i int) int64) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `,{"item":%q,"time":%d}`, item(i), when(i))
	}
	return `"history":[` + strings.TrimPrefix(b.String(), ",") + `]`
}

// TestRerankOddInput asks what nobody should have to ask, of a real service over
// HTTP: each question has a fault that is named or an answer that is documented.
func TestRerankOddInput(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var stored []event.Event
	stored = append(stored, longHistory(rng, "one", 1)...)
	stored = append(stored, longHistory(rng, "short", benchSelect-1)...)
	stored = append(stored, longHistory(rng, "k", benchSelect)...)
	stored = append(stored, longHistory(rng, "long", 3000)...)
	stored = append(stored, event.Event{User: "strange", Item: "never seen", Kind: "never heard of", Time: 5}, event.Event{User: "strange", Item: "item-7", Kind: "stranger", Time: 5})
	base := "http://" + serveStages(t, stored).Data
	known := func(i int) string { return fmt.Sprintf("item-%d", i%50) }
	unknown := func(i int) string { return fmt.Sprintf("thing-%d", i) }
	now := time.Now().UnixMilli()
	minutes := func(i int) int64 { return now - 1e9 + int64(i)*60_000 }
	for name, c := range map[string]struct {
		body       string
		rung       string // "" for no second stage
		events     int
		candidates int
		items      int
		short      string
	}{
		"nobody":                    {`"user":"nobody"`, "none", 0, 0, 10, ""},
		"empty history":             {`"history":[]`, "none", 0, 0, 10, ""},
		"one event":                 {`"user":"one"`, "whole-history", 1, 20, 10, ""},
		"one fewer than are kept":   {`"user":"short"`, "whole-history", benchSelect - 1, 20, 10, ""},
		"as many as are kept":       {`"user":"k"`, "whole-history", benchSelect, 20, 10, ""},
		"long":                      {`"user":"long"`, "whole-history", 3000, 20, 10, ""},
		"again":                     {`"user":"long"`, "whole-history", 3000, 20, 10, ""},
		"explained":                 {`"user":"long","explain":true`, "whole-history", 3000, 20, 10, ""},
		"one, explained":            {`"user":"one","explain":true`, "whole-history", 1, 20, 10, ""},
		"not wanted":                {`"user":"long","rerank":false`, "", 0, 0, 10, ""},
		"unknown item and kinds":    {`"user":"strange","explain":true`, "whole-history", 2, 20, 10, ""},
		"unknown items only":        {bareHistory(5, unknown, minutes), "none", 0, 0, 10, ""},
		"candidates":                {`"user":"one","candidates":["item-1","item-2","item-3","item-1"],"include_seen":true`, "whole-history", 1, 3, 3, "only 3 of the candidates"},
		"candidates partly unknown": {`"user":"one","candidates":["item-1","no","item-2"],"include_seen":true`, "whole-history", 1, 2, 2, "only 2 of the candidates"},
		"candidates wholly unknown": {`"user":"one","candidates":["no","neither"]`, "none", 0, 0, 0, "none of the candidates"},
		"candidates empty":          {`"user":"one","candidates":[]`, "none", 0, 0, 0, "none of the candidates"},
		"k larger than candidates":  {`"user":"short","candidates":["item-1","item-2"],"include_seen":true,"k":1000`, "whole-history", benchSelect - 1, 2, 2, "only 2 of the candidates"},
		"k larger than are scored":  {`"user":"one","k":100`, "whole-history", 1, 100, 100, ""},
		"equal times":               {bareHistory(300, known, func(int) int64 { return now }), "whole-history", 300, 20, 10, ""},
		"reversed times":            {bareHistory(300, known, func(i int) int64 { return now - int64(i)*1000 }), "whole-history", 300, 20, 10, ""},
		"in the future":             {bareHistory(300, known, func(i int) int64 { return now + int64(i)*1000 }), "whole-history", 300, 20, 10, ""},
		"at the beginning of time":  {bareHistory(3, known, func(int) int64 { return 0 }), "whole-history", 3, 20, 10, ""},
		"some items unknown":        {bareHistory(5000, func(i int) string { return []string{known(i), unknown(i)}[i%2] }, minutes), "whole-history", 5000, 20, 10, ""},
		"every candidate excluded":  {`"user":"one","candidates":["item-1"],"exclude":["item-1"]`, "none", 0, 0, 0, "none of the candidates"},
	} {
		t.Run(name, func(t *testing.T) {
			status, a, timing := askPredict(t, base, "{"+c.body+"}")
			if status != 200 || a.Degraded != nil {
				t.Fatalf("status %d, %+v", status, a)
			}
			switch {
			case (a.Rerank == nil) != (c.rung == ""):
				t.Fatalf("rerank %+v", a.Rerank)
			case a.Rerank == nil:
			case a.Rerank.Rung != c.rung || a.Rerank.Events != c.events || a.Rerank.Candidates != c.candidates:
				t.Errorf("rerank %+v, want %+v", a.Rerank, c)
			case strings.Contains(timing, "rerank;dur=") != (c.rung != "none"):
				t.Errorf("Server-Timing %q", timing)
			}
			if len(a.Items) != c.items || !strings.HasPrefix(a.Short, c.short) || c.short == "" && a.Short != "" {
				t.Errorf("%d items, want %d, short %q", len(a.Items), c.items, a.Short)
			}
			for i, item := range a.Items {
				if i > 0 && item.Score > a.Items[i-1].Score && c.rung == "whole-history" {
					t.Errorf("place %d has a higher score than the one before", i)
				}
				for _, m := range item.Moments {
					if !(m.Weight >= 0 && m.Weight <= 1.0001) || m.Place < 1 || m.Place > c.events {
						t.Errorf("%s: moment %+v", item.ID, m)
					}
				}
				if explained := strings.Contains(c.body, "explain"); explained != (item.Moments != nil) || len(item.Moments) > 10 {
					t.Errorf("%s: %d moments", item.ID, len(item.Moments))
				}
			}
		})
	}
	for body, pointers := range map[string][]string{
		`{"rerank":"no","explain":1}`:             {"/rerank", "/explain"},
		`{"rerank":null}`:                         {"/rerank"},
		`{"rerank":false,"rerank":true}`:          {"/rerank"},
		`{"candidates":["",7],"rerank":true}`:     {"/candidates/0", "/candidates/1"},
		`{"history":[{"item":"a","time":-1}]}`:    {"/history/0/time"},
		`{"history":[{"item":"a","time":1e300}]}`: {"/history/0/time"},
	} {
		status, a, _ := askPredict(t, base, body)
		var got []string
		for _, e := range a.Errors {
			got = append(got, e.Pointer)
		}
		if status != 422 || !slices.Equal(got, pointers) {
			t.Errorf("%s: %d at %v, want 422 at %v", body, status, got, pointers)
		}
	}
}

// TestRerankMillion: of a history of a million events the newest count, up to 2 % fewer
// than are read, and the answer says how many.
func TestRerankMillion(t *testing.T) {
	events := longHistory(rand.New(rand.NewPCG(5, 6)), "ann", 1_000_000)
	r := serveStages(t, events, "--model-rerank-history=20000")
	searched := 0
	for try := range 2 { // built, then kept
		status, a, _ := askPredict(t, "http://"+r.Data, `{"user":"ann","explain":true,"k":3}`)
		if status != 200 || a.Degraded != nil || a.Rerank == nil || a.Rerank.Rung != "whole-history" || len(a.Items) != 3 || len(a.Items[0].Moments) != 10 {
			t.Fatalf("status %d, rerank %+v, %d items", status, a.Rerank, len(a.Items))
		}
		if n := a.Rerank.Events; n <= 19_600 || n > 20_000 || try > 0 && n != searched {
			t.Fatalf("%d events were searched, %d before", n, searched)
		}
		searched = a.Rerank.Events
	}
	resp, err := http.Get("http://" + r.Probes + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`recsvc_rerank_cache_total{result="hit"} 1`, `recsvc_rerank_cache_total{result="miss"} 1`, `recsvc_rerank_cache_total{result="extended"} 0`,
		`recsvc_rerank_cache_states 1`, `recsvc_rerank_cache_evictions_total 0`, `recsvc_rerank_rung_total{rung="whole-history"} 2`,
		fmt.Sprintf("recsvc_rerank_history_events_sum %d", 2*searched), `recsvc_stage_duration_seconds_count{stage="rerank"} 2`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}
