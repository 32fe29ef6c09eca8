package recommend

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// TestSwapUnderLoad: two versions go back and forth while requests run. No
// request fails, each answer is that of the version it names, and every model
// but the last is closed exactly once.
func TestSwapUnderLoad(t *testing.T) {
	const clients, swaps = 8, 50
	s := start(t, Config{Workers: 4}, newMemStore(), newRing(100))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var answers atomic.Int64
	for c := range clients {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				last := (c*31 + i) % 90
				a, err := s.Predict(t.Context(), Request{History: bare(last), K: 1})
				if err != nil {
					t.Errorf("predict: %v", err)
					return
				}
				if want := id(last + 1); a.Items[0].ID != want || a.Degraded != nil {
					t.Errorf("version %s answered %+v, want %s", a.Model.Version, a, want)
					return
				}
				answers.Add(1)
			}
		})
	}
	var models []*ringModel
	for i := range swaps {
		m := newRing(91 + i%10)
		models = append(models, m)
		if err := s.Serve(t.Context(), load(m, string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
		if err := s.PutItems(t.Context(), []CatalogItem{{ID: id(95), Title: "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	for i, m := range models[:swaps-1] {
		if n := m.closed.Load(); n != 1 {
			t.Errorf("model %d closed %d times", i, n)
		}
	}
	if models[swaps-1].closed.Load() != 0 {
		t.Error("the serving model was closed")
	}
}

func TestModelOutlivesItsRequests(t *testing.T) {
	m := newRing(20)
	m.gate = newGate()
	s := start(t, Config{Workers: 1}, nil, m)
	first := ask(t.Context(), s, Request{History: bare(3), K: 1})
	<-m.gate.arrived
	next := newRing(20)
	if err := s.Serve(t.Context(), load(next, "v2")); err != nil {
		t.Fatal(err)
	}
	if m.closed.Load() != 0 {
		t.Error("the model was closed under a request")
	}
	close(m.gate.open)
	if r := <-first; r.Err != nil || r.Answer.Model.Version != "v1" {
		t.Errorf("%+v", r)
	}
	if a := predict(t, s, Request{History: bare(3)}); a.Model.Version != "v2" {
		t.Errorf("answered by %s", a.Model.Version)
	}
	s.Close()
	if m.closed.Load() != 1 || next.closed.Load() != 1 {
		t.Errorf("closed %d and %d times", m.closed.Load(), next.closed.Load())
	}
}

// brokenModel answers what fn says.
type brokenModel struct {
	*ringModel
	fn func([]kernel.Scored) []kernel.Scored
}

func (m brokenModel) NewRanker() features.Ranker {
	return brokenRanker{m.ringModel.NewRanker(), m.fn}
}

type brokenRanker struct {
	features.Ranker
	fn func([]kernel.Scored) []kernel.Scored
}

func (r brokenRanker) Rank(dst [][]kernel.Scored, queries []features.Query) {
	r.Ranker.Rank(dst, queries)
	for i := range dst {
		dst[i] = r.fn(dst[i])
	}
}

func TestBadVersionIsRefused(t *testing.T) {
	broken := func(fn func([]kernel.Scored) []kernel.Scored) *Loaded {
		l := load(newRing(20), "bad")
		l.Model = brokenModel{l.Model.(*ringModel), fn}
		return l
	}
	var calls atomic.Int32
	cases := []struct {
		name string
		make func() *Loaded
		want string
	}{
		{"no items", func() *Loaded { return load(newRing(0), "bad") }, "no items"},
		{"vocabulary of another model", func() *Loaded { l := load(newRing(20), "bad"); l.Vocab = features.NewVocab("a"); return l }, "vocabulary"},
		{"counts of another model", func() *Loaded { l := load(newRing(20), "bad"); l.Counts = l.Counts[:3]; return l }, "counts"},
		{"vectors of another model", func() *Loaded { m := newRing(20); m.table = m.table[:6]; return load(m, "bad") }, "vectors"},
		{"panics", func() *Loaded { return broken(func([]kernel.Scored) []kernel.Scored { panic("index out of range") }) }, "panic"},
		{"NaN", func() *Loaded {
			return broken(func(s []kernel.Scored) []kernel.Scored { s[0].Score = float32(math.NaN()); return s })
		}, "NaN"},
		{"nothing", func() *Loaded { return broken(func(s []kernel.Scored) []kernel.Scored { return s[:0] }) }, "nothing"},
		{"item out of range", func() *Loaded { return broken(func(s []kernel.Scored) []kernel.Scored { s[0].Item = 20; return s }) }, "item number 20"},
		{"unsorted", func() *Loaded {
			return broken(func(s []kernel.Scored) []kernel.Scored { slices.Reverse(s); return s })
		}, "not sorted"},
		{"workers differ", func() *Loaded {
			return broken(func(s []kernel.Scored) []kernel.Scored { s[9].Score -= float32(calls.Add(1)); return s })
		}, "differently"},
	}
	s := start(t, Config{Workers: 2}, nil, newRing(20))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := c.make()
			err := s.Serve(t.Context(), l)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrRefused with %q", err, c.want)
			}
			if a := predict(t, s, Request{History: bare(1)}); a.Model.Version != "v1" {
				t.Errorf("answered by %s", a.Model.Version)
			}
			m, ok := l.Model.(*ringModel)
			if !ok {
				m = l.Model.(brokenModel).ringModel
			}
			if n := m.closed.Load(); n != 1 {
				t.Errorf("refused model closed %d times", n)
			}
		})
	}
}

func TestPromoteRollbackWatch(t *testing.T) {
	good := func(v string) func() (*Loaded, error) {
		return func() (*Loaded, error) { return load(newRing(20), v), nil }
	}
	v := &memVersions{changed: make(chan string), load: map[string]func() (*Loaded, error){
		"v1": good("v1"), "v2": good("v2"), "v3": good("v3"),
		"torn": func() (*Loaded, error) { return nil, errors.New("SHA-256 differs") },
	}}
	watched := make(chan string, 10)
	s, err := New(Config{Observer: swapObserver{swapped: watched}}, nil, v)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Reload(t.Context()); !errors.Is(err, ErrNoModel) {
		t.Errorf("nothing promoted yet: %v", err)
	}
	step := func(name string, fn func(context.Context) (ModelInfo, error), wantErr error, serving, current string) {
		t.Helper()
		info, err := fn(t.Context())
		if !errors.Is(err, wantErr) || err == nil && (info.Version != serving || info.State != "serving") {
			t.Errorf("%s: %+v, %v; want error %v", name, info, err, wantErr)
		}
		if now, _ := s.Model(t.Context(), "current"); now.Version != serving {
			t.Errorf("%s: %q serves, want %q", name, now.Version, serving)
		}
		if now, _ := v.Current(); now != current {
			t.Errorf("%s: %q is current, want %q", name, now, current)
		}
	}
	promote := func(version string) func(context.Context) (ModelInfo, error) {
		return func(ctx context.Context) (ModelInfo, error) { return s.Promote(ctx, version) }
	}
	step("first", promote("v1"), nil, "v1", "v1")
	step("rollback from the first", s.Rollback, ErrUnknownModel, "v1", "v1")
	step("second", promote("v2"), nil, "v2", "v2")
	step("torn", promote("torn"), ErrRefused, "v2", "v2")
	step("missing", promote("v9"), ErrUnknownModel, "v2", "v2")
	step("back", s.Rollback, nil, "v1", "v1")
	v.full = errors.New("no space left on device")
	step("a registry that cannot note it", promote("v2"), v.full, "v1", "v1")
	v.full = nil

	infos, err := s.Models(t.Context())
	var states []string
	for _, info := range infos {
		states = append(states, info.Version+" "+info.State)
	}
	if want := []string{"v3 available", "v2 available", "v1 serving", "torn refused"}; err != nil || !slices.Equal(states, want) {
		t.Errorf("%v, %v; want %v", states, err, want)
	}
	if _, err := s.Model(t.Context(), "v9"); !errors.Is(err, ErrUnknownModel) {
		t.Errorf("model v9: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Watch(ctx, time.Millisecond) }()
	drain(watched)
	v.Promote("torn")
	v.changed <- "torn"
	if got := <-watched; got != "torn refused" {
		t.Errorf("watch: %s", got)
	}
	v.Promote("v3")
	v.changed <- "v3"
	if got := <-watched; got != "v3" {
		t.Errorf("watch: %s", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("watch ended with %v", err)
	}
	if info, _ := s.Model(t.Context(), ""); info.Version != "v3" {
		t.Errorf("%s serves", info.Version)
	}
}

// TestStartFallsBack: a restart with a broken current version serves the last one that was current and is whole.
func TestStartFallsBack(t *testing.T) {
	v := &memVersions{current: []string{"v1", "gone", "torn"}, load: map[string]func() (*Loaded, error){
		"v1":   func() (*Loaded, error) { return load(newRing(20), "v1"), nil },
		"v2":   func() (*Loaded, error) { return load(newRing(20), "v2"), nil }, // never promoted
		"torn": func() (*Loaded, error) { return nil, errors.New("SHA-256 differs") },
	}}
	s, err := New(Config{}, nil, v)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("started with %v, want the reason why current does not serve", err)
	}
	if info, err := s.Model(t.Context(), "current"); err != nil || info.Version != "v1" {
		t.Errorf("%q serves, %v; want v1", info.Version, err)
	}
	if now, _ := v.Current(); now != "torn" {
		t.Errorf("current is %q: Start must not change it", now)
	}
}

// TestCloseMeetsWriters: a change of the catalogue that meets the end leaves no model behind.
func TestCloseMeetsWriters(t *testing.T) {
	for range 200 {
		m := newRing(5)
		s := start(t, Config{Workers: 1}, newMemStore(), m)
		done := make(chan error)
		go func() { done <- s.PutItems(t.Context(), []CatalogItem{{ID: id(1)}}) }()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s.current.Load() != nil || m.closed.Load() != 1 {
			t.Fatalf("after the end a snapshot is %v, the model was closed %d times", s.current.Load(), m.closed.Load())
		}
	}
}

func drain(c chan string) {
	for len(c) > 0 {
		<-c
	}
}

// swapObserver passes swaps on.
type swapObserver struct {
	NopObserver
	swapped chan string
}

func (o swapObserver) Swapped(version string, _ time.Duration, err error) {
	if err != nil {
		version += " refused"
	}
	o.swapped <- version
}
