package recommend

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"seqrec/internal/event"
)

// twoVersions is a service over two versions of rings; v1 serves.
func twoVersions(t *testing.T, cfg Config, v2 *ringModel) (*Service, *memVersions) {
	t.Helper()
	v := &memVersions{current: []string{"v1"}, load: map[string]func() (*Loaded, error){
		"v1": func() (*Loaded, error) { return load(newRing(30), "v1"), nil },
		"v2": func() (*Loaded, error) { return load(v2, "v2"), nil },
		"v3": func() (*Loaded, error) { return nil, errors.New("half a folder") },
	}}
	s, err := New(cfg, nil, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, v
}

func stateOf(t *testing.T, s *Service, version string) string {
	t.Helper()
	info, err := s.Model(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	return info.State
}

func TestVersionsAside(t *testing.T) {
	v2 := newRing(20)
	s, _ := twoVersions(t, Config{Workers: 1}, v2)
	refused := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	_, err := s.Load(t.Context(), "v1")
	refused("load what serves", err, ErrConflict)
	_, err = s.Unload(t.Context(), "v1")
	refused("unload what serves", err, ErrConflict)
	_, err = s.Unload(t.Context(), "v2")
	refused("unload what is not loaded", err, ErrUnknownModel)
	_, err = s.Load(t.Context(), "v9")
	refused("load what is not there", err, ErrUnknownModel)
	_, err = s.Shadow(t.Context(), "v3")
	refused("shadow of half a folder", err, ErrRefused)

	if info, err := s.Load(t.Context(), "v2"); err != nil || info.State != "loaded" || info.Describe != "ring n20" {
		t.Errorf("loaded %+v, %v", info, err)
	}
	if a := predict(t, s, Request{History: bare(3), K: 1}); a.Model.Version != "v1" {
		t.Errorf("%s answers while v2 is aside", a.Model.Version)
	}
	if info, err := s.Unload(t.Context(), "v2"); err != nil || info.State != "available" || v2.closed.Load() != 1 {
		t.Errorf("unloaded %+v, %v, closed %d times", info, err, v2.closed.Load())
	}
	if info, err := s.Shadow(t.Context(), "v2"); err != nil || info.State != "shadow" {
		t.Errorf("shadow %+v, %v", info, err)
	}
	if info, err := s.Promote(t.Context(), "v2"); err != nil || info.State != "serving" || s.shadow.Load() != nil {
		t.Errorf("promoted %+v, %v", info, err)
	}
	if got := stateOf(t, s, "v1"); got != "available" {
		t.Errorf("v1 is %s", got)
	}
}

// asideObserver keeps what it hears of shadows and retreats.
type asideObserver struct {
	NopObserver
	compared chan Comparison
	rolled   chan string
}

func (o asideObserver) Shadowed(c Comparison) { o.compared <- c }
func (o asideObserver) RolledBack(from, to string, err error) {
	if err != nil {
		to = err.Error()
	}
	o.rolled <- from + " to " + to
}

func newAsideObserver() asideObserver {
	return asideObserver{compared: make(chan Comparison, 1000), rolled: make(chan string, 10)}
}

// A shadow answers copies and is compared; no answer of it leaves, and none is
// delayed by it.
func TestShadow(t *testing.T) {
	v2 := newRing(30)
	o := newAsideObserver()
	s, _ := twoVersions(t, Config{Workers: 2, ShadowShare: 1, Observer: o}, v2)
	if _, err := s.Shadow(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	// One after another, so that a worker is idle each time.
	for i := range 5 {
		if a := predict(t, s, Request{History: bare(i), K: 5, Exclude: ids(i + 1)}); a.Model.Version != "v1" {
			t.Fatalf("%s answered", a.Model.Version)
		}
		if c := <-o.compared; c.Version != "v2" || c.Err != nil || !c.Dropped && (c.Overlap != 1 || math.Abs(c.RBO-1) > 1e-9) {
			t.Errorf("compared: %+v", c)
		}
	}
	// A shadow that hangs: requests are answered as before, copies are dropped.
	g := newGate()
	v2.calls.mu.Lock()
	v2.gate = g
	v2.calls.mu.Unlock()
	dropped := 0
	for i := range 40 {
		predict(t, s, Request{History: bare(i % 29), K: 5})
	}
	close(g.open)
	if _, err := s.Unload(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	for len(o.compared) > 0 {
		if c := <-o.compared; c.Dropped {
			dropped++
		}
	}
	if dropped < 40-shadowQueue-1 {
		t.Errorf("%d of 40 copies were dropped, want all but those that fit", dropped)
	}
	predict(t, s, Request{History: bare(1), K: 5})
	if len(o.compared) != 0 {
		t.Error("a shadow that was unloaded still answers")
	}
}

func TestShadowSurvivesItsRanker(t *testing.T) {
	v2 := newRing(30)
	o := newAsideObserver()
	s, _ := twoVersions(t, Config{Workers: 2, ShadowShare: 1, Observer: o}, v2)
	if _, err := s.Shadow(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	v2.calls.mu.Lock()
	v2.poison = 7
	v2.calls.mu.Unlock()
	for _, item := range []int{7, 8} {
		predict(t, s, Request{History: bare(item), K: 5})
		if c := <-o.compared; !c.Dropped && (c.Err != nil) != (item == 7) {
			t.Errorf("item %d: %+v", item, c)
		}
	}
}

func TestShadowShare(t *testing.T) {
	o := newAsideObserver()
	s, _ := twoVersions(t, Config{Workers: 2, ShadowShare: 0.25, Observer: o}, newRing(30))
	if _, err := s.Shadow(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		predict(t, s, Request{History: bare(i), K: 5})
	}
	for range 5 {
		<-o.compared
	}
	if len(o.compared) != 0 {
		t.Error("more than a quarter was copied")
	}
}

// A new version that breaks, or is slow, is left for the one before it.
func TestGuard(t *testing.T) {
	const requests = 20
	tests := []struct {
		name  string
		guard GuardConfig
		spoil func(*ringModel, *clock)
		left  bool
	}{
		{"sound", GuardConfig{Window: time.Hour, Requests: requests, Latency: time.Hour}, func(*ringModel, *clock) {}, false},
		{"breaks", GuardConfig{Window: time.Hour, Requests: requests}, func(m *ringModel, _ *clock) { m.poison = 3 }, true},
		{"breaks within bounds", GuardConfig{Window: time.Hour, Requests: requests, Failures: 1}, func(m *ringModel, _ *clock) { m.poison = 3 }, false},
		{"slow", GuardConfig{Window: time.Hour, Requests: requests, Latency: time.Second}, func(_ *ringModel, c *clock) { c.step = 2 * time.Second }, true},
		{"after the window", GuardConfig{Window: time.Second, Requests: requests, Latency: time.Second}, func(_ *ringModel, c *clock) { c.step = 2 * time.Second }, false},
		{"no guard", GuardConfig{}, func(m *ringModel, _ *clock) { m.poison = 3 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v2, now, o := newRing(30), &clock{}, newAsideObserver()
			s, v := twoVersions(t, Config{Workers: 1, Guard: tt.guard, Observer: o, Now: now.Now}, v2)
			if _, err := s.Promote(t.Context(), "v2"); err != nil {
				t.Fatal(err)
			}
			v2.calls.mu.Lock()
			now.mu.Lock()
			tt.spoil(v2, now)
			now.mu.Unlock()
			v2.calls.mu.Unlock()
			for range requests {
				if _, err := s.Predict(t.Context(), Request{History: bare(3), K: 5}); err != nil {
					t.Fatal(err)
				}
			}
			want := "v2"
			if tt.left {
				want = "v1"
				if got := <-o.rolled; got != "v2 to v1" {
					t.Errorf("rolled back from %s", got)
				}
			}
			s.retreats.Wait()
			if len(o.rolled) != 0 {
				t.Errorf("rolled back from %s", <-o.rolled)
			}
			if a := predict(t, s, Request{History: bare(5), K: 5}); a.Model.Version != want {
				t.Errorf("%s serves, want %s", a.Model.Version, want)
			}
			if current, _ := v.Current(); current != want {
				t.Errorf("current is %s, want %s", current, want)
			}
		})
	}
}

// A registry that still names the version that was left, being mounted read-only
// for one, does not bring it back; an operator does.
func TestLeftVersionStaysLeft(t *testing.T) {
	v2, o := newRing(30), newAsideObserver()
	s, v := twoVersions(t, Config{Workers: 1, Guard: GuardConfig{Window: time.Hour, Requests: 1}, Observer: o}, v2)
	if _, err := s.Promote(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	v2.calls.mu.Lock()
	v2.poison = 3
	v2.calls.mu.Unlock()
	predict(t, s, Request{History: bare(3), K: 5})
	<-o.rolled
	s.retreats.Wait()
	if err := v.Promote("v2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err != nil || stateOf(t, s, "v1") != "serving" || stateOf(t, s, "v2") != "refused" {
		t.Errorf("reload: %v, v1 is %s, v2 is %s", err, stateOf(t, s, "v1"), stateOf(t, s, "v2"))
	}
	v2.calls.mu.Lock()
	v2.poison = 0
	v2.calls.mu.Unlock()
	if _, err := s.Promote(t.Context(), "v2"); err != nil || stateOf(t, s, "v2") != "serving" {
		t.Errorf("promote by name: %v, v2 is %s", err, stateOf(t, s, "v2"))
	}
}

// clock goes on by a step at each look.
type clock struct {
	mu   sync.Mutex
	at   time.Time
	step time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(c.step)
	return c.at
}

func TestOverlap(t *testing.T) {
	tests := []struct {
		name       string
		a, b       []event.ItemID
		share, rbo float64
	}{
		{"equal", ids(1, 2, 3), ids(1, 2, 3), 1, 1},
		{"nothing in common", ids(1, 2), ids(3, 4), 0, 0},
		{"nothing asked", nil, ids(1), 1, 1},
		{"last place differs", ids(1, 2), ids(1, 3), .5, (1 + .9*.5) / 1.9},
		{"first place differs", ids(1, 2), ids(3, 2), .5, .9 * .5 / 1.9},
		{"turned round", ids(1, 2), ids(2, 1), 1, .9 / 1.9},
		{"shorter", ids(1, 2), ids(1), .5, (1 + .9*.5) / 1.9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			share, rbo := overlap(tt.a, tt.b)
			if share != tt.share || math.Abs(rbo-tt.rbo) > 1e-12 {
				t.Errorf("overlap %v, %v; want %v, %v", share, rbo, tt.share, tt.rbo)
			}
		})
	}
}
