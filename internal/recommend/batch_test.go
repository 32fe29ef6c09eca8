package recommend

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameAnswer ignores what is meant to differ between two equal requests.
var sameAnswer = cmp.Options{cmpopts.IgnoreFields(Answer{}, "RecommendationID", "Took", "Stages")}

func TestBatchEqualsSingle(t *testing.T) {
	s := start(t, Config{Workers: 3, MaxBatch: 7, BatchDelay: time.Microsecond}, nil, newRing(130))
	rng := rand.New(rand.NewPCG(3, 4))
	reqs := make([]Request, MaxBatch)
	want := make([]Answer, len(reqs))
	for i := range reqs {
		reqs[i] = randomRequest(rng, 130)
		want[i] = predict(t, s, reqs[i])
	}
	for i, r := range s.PredictBatch(t.Context(), reqs) {
		if r.Err != nil {
			t.Fatalf("request %d: %v", i, r.Err)
		}
		if diff := cmp.Diff(want[i], r.Answer, sameAnswer); diff != "" {
			t.Fatalf("request %d: %s", i, diff)
		}
	}
	many := s.PredictBatch(t.Context(), make([]Request, MaxBatch+1))
	if many[MaxBatch-1].Err != nil || !errors.Is(many[MaxBatch].Err, ErrInvalid) {
		t.Errorf("beyond the bound: %v", many[MaxBatch].Err)
	}
}

// held is a service with one worker whose ranker waits at a gate, where a first
// request, for item 0, has arrived.
func held(t *testing.T, cfg Config, m *ringModel) (s *Service, first <-chan Result) {
	t.Helper()
	m.gate = newGate()
	cfg.Workers = 1
	s = start(t, cfg, nil, m)
	first = ask(t.Context(), s, Request{History: bare(0), K: 1})
	<-m.gate.arrived
	return s, first
}

// ask sends a request from a goroutine of its own.
func ask(ctx context.Context, s *Service, req Request) <-chan Result {
	out := make(chan Result, 1)
	go func() {
		a, err := s.Predict(ctx, req)
		out <- Result{a, err}
	}()
	return out
}

// waiting blocks until n jobs stand in the queue.
func waiting(t *testing.T, s *Service, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for len(s.batcher.queue) != n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d jobs wait, want %d", len(s.batcher.queue), n)
		}
	}
}

func TestWaitingRequestsAreRankedTogether(t *testing.T) {
	m := newRing(50)
	s, first := held(t, Config{MaxBatch: 4}, m)
	var rest []<-chan Result
	for i := range 6 {
		rest = append(rest, ask(t.Context(), s, Request{History: bare(10 + i), K: 1}))
	}
	waiting(t, s, 6)
	close(m.gate.open)
	for i, r := range rest {
		if got := <-r; got.Err != nil || got.Answer.Items[0].ID != id(11+i) {
			t.Errorf("request %d: %+v", i, got)
		}
	}
	<-first
	if want := []int{1, 4, 2}; !slices.Equal(m.calls.sizes, want) {
		t.Errorf("batches of %v, want %v", m.calls.sizes, want)
	}
}

func TestShareOfIdleWorkers(t *testing.T) {
	for _, c := range []struct{ queued, idle, want int }{
		{0, 0, 1}, {0, 3, 1}, {5, 0, 6}, {5, 1, 3}, {3, 3, 1}, {4, 3, 2}, {100, 0, 8},
	} {
		b := &batcher{queue: make(chan *job, 200), maxBatch: 8}
		for range c.queued {
			b.queue <- nil
		}
		b.idle.Store(int32(c.idle))
		if got := b.share(); got != c.want {
			t.Errorf("%d queued beside the one held, %d idle: share %d, want %d", c.queued, c.idle, got, c.want)
		}
	}
}

func TestFullQueueSheds(t *testing.T) {
	m := newRing(50)
	s, first := held(t, Config{Queue: 2}, m)
	a, b := ask(t.Context(), s, Request{History: bare(1), K: 1}), ask(t.Context(), s, Request{History: bare(2), K: 1})
	waiting(t, s, 2)
	if _, err := s.Predict(t.Context(), Request{History: bare(3), Strict: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("strict: %v, want ErrBusy", err)
	}
	if _, err := s.Similar(t.Context(), ids(3), 2); !errors.Is(err, ErrBusy) {
		t.Errorf("similar: %v, want ErrBusy", err)
	}
	got := predict(t, s, Request{History: bare(0, 3), K: 1})
	if got.Rung != RungPopular || got.Degraded == nil || !slices.Equal(answered(got), ids(1)) {
		t.Errorf("rung %q, degraded %v, items %v", got.Rung, got.Degraded, answered(got))
	}
	if checks := s.Ready(t.Context()); checks[2].OK {
		t.Errorf("ready with a full queue: %+v", checks[2])
	}
	close(m.gate.open)
	for i, r := range []<-chan Result{first, a, b} {
		if got := <-r; got.Err != nil || got.Answer.Items[0].ID != id(i+1) {
			t.Errorf("request %d: %+v", i, got)
		}
	}
}

func TestCancelledWaitingRequestCostsNothing(t *testing.T) {
	m := newRing(50)
	s, first := held(t, Config{}, m)
	ctx, cancel := context.WithCancel(t.Context())
	second := ask(ctx, s, Request{History: bare(30)})
	third := ask(t.Context(), s, Request{History: bare(31), K: 1})
	waiting(t, s, 2)
	cancel()
	if r := <-second; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("cancelled: %v", r.Err)
	}
	close(m.gate.open)
	<-first
	if r := <-third; r.Err != nil {
		t.Error(r.Err)
	}
	if m.calls.saw(30) {
		t.Error("the model ranked a request whose caller had left")
	}
}

func TestCancelledRankedRequest(t *testing.T) {
	m := newRing(50)
	m.gate = newGate()
	s := start(t, Config{Workers: 1}, nil, m)
	ctx, cancel := context.WithCancel(t.Context())
	first := ask(ctx, s, Request{History: bare(7)})
	<-m.gate.arrived
	cancel()
	if r := <-first; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("cancelled: %v", r.Err)
	}
	close(m.gate.open)
	if got := answered(predict(t, s, Request{History: bare(3), K: 1})); !slices.Equal(got, ids(4)) {
		t.Errorf("the next request got %v", got)
	}
	s.Close()
	if n := m.closed.Load(); n != 1 {
		t.Errorf("model closed %d times, want once: an abandoned job must let its snapshot go", n)
	}
}

// TestLateModelGivesPopular: the model is stuck, the deadline comes, and the
// caller answers by itself.
func TestLateModelGivesPopular(t *testing.T) {
	m := newRing(50)
	m.gate = newGate()
	s := start(t, Config{Workers: 1, Reserve: time.Hour - time.Millisecond}, nil, m)
	force(s, RungModel)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	first := ask(t.Context(), s, Request{History: bare(0), K: 1})
	<-m.gate.arrived
	a, err := s.Predict(ctx, Request{History: bare(0, 7), K: 1})
	if err != nil || a.Rung != RungPopular || a.Degraded == nil || !slices.Equal(answered(a), ids(1)) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := s.Predict(ctx, Request{History: bare(0, 7), Strict: true}); !errors.Is(err, ErrDeadline) {
		t.Errorf("strict: %v", err)
	}
	close(m.gate.open)
	<-first
}

func TestPoisonedRequestSpoilsNobody(t *testing.T) {
	m := newRing(50)
	s, first := held(t, Config{}, m)
	m.poison = 13 // read only by rankers that begin later
	var rest []<-chan Result
	for _, n := range []int{10, 13, 20} {
		rest = append(rest, ask(t.Context(), s, Request{History: bare(n), K: 1}))
	}
	strict := ask(t.Context(), s, Request{History: bare(13), Strict: true})
	waiting(t, s, 4)
	close(m.gate.open)
	<-first
	for i, want := range []string{"item11", "item0", "item21"} {
		r := <-rest[i]
		if r.Err != nil || string(r.Answer.Items[0].ID) != want || (r.Answer.Degraded != nil) != (i == 1) {
			t.Errorf("request %d: %+v", i, r)
		}
	}
	r := <-strict
	for _, sentinel := range []error{ErrBusy, ErrDeadline, ErrInvalid, ErrRefused, ErrStore} {
		if r.Err == nil || errors.Is(r.Err, sentinel) {
			t.Errorf("strict and poisoned: %v", r.Err)
		}
	}
}

func TestCloseFinishesWhatWaits(t *testing.T) {
	m := newRing(50)
	s, first := held(t, Config{}, m)
	second := ask(t.Context(), s, Request{History: bare(5), K: 1})
	waiting(t, s, 1)
	var wg sync.WaitGroup
	wg.Go(func() { s.Close() })
	close(m.gate.open)
	for _, r := range []<-chan Result{first, second} {
		if got := <-r; got.Err != nil {
			t.Error(got.Err)
		}
	}
	wg.Wait()
	if _, err := s.Predict(t.Context(), Request{History: bare(5)}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
