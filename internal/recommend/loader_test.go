package recommend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seqrec/internal/baseline"
	"seqrec/internal/event"
	"seqrec/internal/features"
	"seqrec/internal/registry"
	"seqrec/internal/seqmodel"
	"seqrec/internal/tensor/tensortest"
)

const worldItems = 130

// world is small and has titles.
func world() (*features.Dataset, *features.Truth, *features.Split) {
	d, truth := features.World(1, features.WorldOptions{Users: 60, Items: worldItems, MaxLength: 30})
	return d, truth, features.LeaveOneOut(d)
}

// publishModel writes a version with kind "seqmodel" or a baseline's name; more may
// add to its folder and manifest.
func publishModel(t testing.TB, r *registry.Registry, kind string, more ...func(dir string, m *registry.Manifest)) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d, truth, split := world()
	draft, err := r.Begin()
	must(err)
	defer draft.Abort()
	create := func(name string, fill func(*os.File) error) {
		t.Helper()
		f, err := os.Create(filepath.Join(draft.Dir(), name))
		must(err)
		must(fill(f))
		must(f.Close())
	}
	m := registry.Manifest{Name: kind, Kind: kindBaseline, Items: worldItems}
	if kind == kindSequence {
		m.Kind = kindSequence
		create(registry.WeightsFile, func(f *os.File) error { return seqmodel.Save(f, smallSASRec(t, worldItems, 20)) })
	} else {
		b, err := baseline.Fit(baseline.Kind(kind), split, baseline.Options{})
		must(err)
		create(registry.WeightsFile, func(f *os.File) error { return b.Save(f) })
	}
	create(registry.VocabFile, func(f *os.File) error { return features.WriteVocab(f, d.Vocab) })
	create(registry.PopularFile, func(f *os.File) error {
		return features.WriteCounts(f, features.Counts(split.Train, worldItems))
	})
	create(registry.ItemsFile, func(f *os.File) error {
		enc := json.NewEncoder(f)
		for _, item := range truth.Items {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		return nil
	})
	for _, add := range more {
		add(draft.Dir(), &m)
	}
	version, err := draft.Publish(m)
	must(err)
	return version
}

func smallSASRec(t testing.TB, items, length int) seqmodel.Model {
	t.Helper()
	m, err := seqmodel.New(seqmodel.Config{Model: "sasrec", Items: items, Width: 16, Length: length}.WithDefaults(), 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEveryKindServes publishes each kind of model, promotes it, and checks that
// its answers obey the mask and do not depend on the batch.
func TestEveryKindServes(t *testing.T) {
	for _, kind := range []string{kindSequence, string(baseline.Popularity), string(baseline.Transition), string(baseline.VMISKNN)} {
		t.Run(kind, func(t *testing.T) {
			reg, err := registry.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			version := publishModel(t, reg, kind)
			s, err := New(Config{Workers: 2}, newMemStore(), FromRegistry(reg))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			info, err := s.Promote(t.Context(), version)
			if err != nil || info.State != "serving" || info.Items != worldItems || info.Describe == "" {
				t.Fatalf("%+v, %v", info, err)
			}
			hide := []event.ItemID{worldID(s, 3), worldID(s, 4)}
			if err := s.PutItems(t.Context(), []CatalogItem{{ID: hide[0], Hidden: true}, {ID: hide[1], Hidden: true}}); err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(5, 6))
			reqs := make([]Request, 100)
			want := make([]Answer, len(reqs))
			for i := range reqs {
				reqs[i] = worldRequest(s, rng)
				want[i] = predict(t, s, reqs[i])
				checkWorldMask(t, s, &reqs[i], want[i], hide)
			}
			for i, r := range s.PredictBatch(t.Context(), reqs) {
				if diff := cmp.Diff(want[i], r.Answer, sameAnswer); r.Err != nil || diff != "" {
					t.Fatalf("request %d in a batch: %v\n%s", i, r.Err, diff)
				}
			}
			if a := want[0]; a.Model.Version != version || a.Items[0].Title == "" {
				t.Errorf("answer %+v", a)
			}
			if a, err := s.Similar(t.Context(), []event.ItemID{worldID(s, 9)}, 5); err != nil || len(a.Items) != 5 {
				t.Errorf("similar: %+v, %v", a, err)
			}
		})
	}
}

func worldID(s *Service, n int32) event.ItemID {
	return event.ItemID(s.current.Load().vocab.ID(n))
}

func worldRequest(s *Service, rng *rand.Rand) Request {
	pick := func() event.ItemID { return worldID(s, int32(rng.IntN(worldItems))) }
	req := Request{K: 1 + rng.IntN(30), IncludeSeen: rng.IntN(2) == 0, Explain: rng.IntN(2) == 0}
	for i := range 1 + rng.IntN(40) {
		req.History = append(req.History, event.Event{Item: pick(), Time: int64(i)})
	}
	for range rng.IntN(10) {
		req.Exclude = append(req.Exclude, pick())
	}
	if rng.IntN(3) == 0 {
		for range 40 {
			req.Candidates = append(req.Candidates, pick())
		}
	}
	return req
}

func checkWorldMask(t *testing.T, s *Service, req *Request, ans Answer, hide []event.ItemID) {
	t.Helper()
	var got []event.ItemID
	for _, item := range ans.Items {
		seen := slices.ContainsFunc(req.History, func(e event.Event) bool { return e.Item == item.ID })
		switch {
		case seen && !req.IncludeSeen, slices.Contains(req.Exclude, item.ID), slices.Contains(hide, item.ID),
			slices.Contains(got, item.ID), req.Candidates != nil && !slices.Contains(req.Candidates, item.ID):
			t.Fatalf("%s left; request %+v", item.ID, req)
		}
		got = append(got, item.ID)
	}
	if len(got) < req.K && ans.Short == "" {
		t.Fatalf("%d of %d items and no reason", len(got), req.K)
	}
}

// TestBadFolderIsRefused breaks a published version in every way that matters
// here; what ran before answers on.
func TestBadFolderIsRefused(t *testing.T) {
	reg, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good := publishModel(t, reg, kindSequence)
	s, err := New(Config{Workers: 1}, nil, FromRegistry(reg))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Promote(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(dir string){
		"one bit of the weights":   func(dir string) { flip(t, filepath.Join(dir, registry.WeightsFile)) },
		"one bit of the manifest":  func(dir string) { flip(t, filepath.Join(dir, "manifest.json")) },
		"one bit of the counts":    func(dir string) { flip(t, filepath.Join(dir, registry.PopularFile)) },
		"no weights":               func(dir string) { os.Remove(filepath.Join(dir, registry.WeightsFile)) },
		"truncated vocabulary":     func(dir string) { os.Truncate(filepath.Join(dir, registry.VocabFile), 100) },
		"nothing but the manifest": func(dir string) { os.Remove(filepath.Join(dir, registry.VocabFile)) },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			bad := publishModel(t, reg, kindSequence)
			spoil(filepath.Join(reg.Dir(), bad))
			if _, err := s.Promote(t.Context(), bad); !errors.Is(err, ErrRefused) {
				t.Errorf("promote: %v, want ErrRefused", err)
			}
			if info, err := s.Model(t.Context(), "current"); err != nil || info.Version != good {
				t.Errorf("%s serves, %v", info.Version, err)
			}
			if info, err := s.Model(t.Context(), bad); err != nil || info.State != "refused" || info.Problem == "" {
				t.Errorf("%+v, %v", info, err)
			}
			if now, _ := reg.Current(); now != good {
				t.Errorf("%s is current", now)
			}
		})
	}
}

// TestModelsAreListedWithoutCurrent: the list is what an operator needs when the current file is spoilt.
func TestModelsAreListedWithoutCurrent(t *testing.T) {
	reg, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good := publishModel(t, reg, kindSequence)
	s, err := New(Config{Workers: 1}, nil, FromRegistry(reg))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.WriteFile(filepath.Join(reg.Dir(), "current"), []byte("\xff nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if infos, err := s.Models(t.Context()); err != nil || len(infos) != 1 || infos[0].Version != good {
		t.Errorf("%+v, %v", infos, err)
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWatchFollowsRegistry promotes from outside and waits for the service to
// notice.
func TestWatchFollowsRegistry(t *testing.T) {
	reg, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	swapped := make(chan string, 10)
	s, err := New(Config{Workers: 1, Observer: swapObserver{swapped: swapped}}, nil, FromRegistry(reg))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Watch(ctx, time.Millisecond) }()
	for _, kind := range []string{kindSequence, string(baseline.Transition)} {
		version := publishModel(t, reg, kind)
		if err := reg.Promote(version); err != nil {
			t.Fatal(err)
		}
		if got := <-swapped; got != version {
			t.Fatalf("swapped %q, want %q", got, version)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadItems(t *testing.T) {
	items, err := readItems(strings.NewReader(`{"item":"a","title":"A","categories":["x","y"]}` + "\n" + `{"item":"b"}`))
	want := []CatalogItem{{ID: "a", Title: "A", Categories: []string{"x", "y"}}, {ID: "b"}}
	if diff := cmp.Diff(want, items); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, text := range map[string]string{
		"no id":       `{"title":"A"}`,
		"not JSON":    `a,b`,
		"truncated":   `{"item":"a"`,
		"blank line":  "{\"item\":\"a\"}\n\n{\"item\":\"b\"}",
		"number":      `{"item":7}`,
		"control":     `{"item":"a\u0001"}`,
		"huge line":   `{"item":"a","title":"` + strings.Repeat("x", maxItemLine) + `"}`,
		"second line": "{\"item\":\"a\"}\n[]",
	} {
		if _, err := readItems(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzReadItems(f *testing.F) {
	f.Add(`{"item":"a","title":"A","categories":["x"]}`)
	f.Add("{}\n{")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := readItems(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, item := range items {
			if d := event.CheckID(string(item.ID)); d != "" {
				t.Errorf("accepted id %q that %s", item.ID, d)
			}
		}
	})
}

// BenchmarkPredict measures one in-process prediction with the served model of
// the benchmarks: 3,416 items, width 64, two blocks. "ranked" is what the
// worker does (encode, score, top-k); "whole" adds ids, mask, queue and answer.
func BenchmarkPredict(b *testing.B) {
	const items = 3416
	for _, length := range []int{50, 200} {
		s, req := benchService(b, items, length)
		b.Run(fmt.Sprintf("ranked/L%d", length), func(b *testing.B) {
			w, j := benchJob(s, &req)
			b.ReportAllocs()
			for b.Loop() {
				w.one[0] = j
				if err := w.rank(w.one[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("whole/L%d", length), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Predict(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchService(t testing.TB, items, length int) (*Service, Request) {
	t.Helper()
	m, err := seqmodel.New(seqmodel.Config{Model: "sasrec", Items: items, Length: length}.WithDefaults(), 1)
	if err != nil {
		t.Fatal(err)
	}
	l := load(newRing(items), "bench")
	l.Model = sequence{m, length}
	s, err := New(Config{Workers: 1}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Serve(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	req := Request{K: 10}
	for i := range length {
		req.History = append(req.History, event.Event{Item: id(i * 7 % items), Time: int64(i)})
	}
	return s, req
}

// benchJob is a filled job and a worker that is not running.
func benchJob(s *Service, req *Request) (*worker, *job) {
	snap := s.current.Load()
	snap.refs.Add(1)
	j := s.jobs.take(snap)
	j.fill(req, req.History)
	j.used = len(j.items)
	return newWorker(0, s.batcher), j
}

// TestRankAllocatesNothing: a warm worker encodes, scores and picks without
// touching the heap, alone and in a batch, on each rung that needs it.
func TestRankAllocatesNothing(t *testing.T) {
	if tensortest.RaceEnabled {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	s, req := benchService(t, 500, 50)
	w, j := benchJob(s, &req)
	_, k := benchJob(s, &req)
	batch := []*job{j, k}
	if n := testing.AllocsPerRun(20, func() {
		if err := w.rank(batch); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("the model rung allocates %v times", n)
	}
	if n := testing.AllocsPerRun(20, func() { w.runNear(j, 1) }); n != 0 {
		t.Errorf("the item-to-item rung allocates %v times", n)
	}
}

// BenchmarkSwap measures what a swap takes from the requests under way: reading
// and verifying a version of 3,416 items, and warming it.
func BenchmarkSwap(b *testing.B) {
	reg, err := registry.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	version := publishModel(b, reg, kindSequence)
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := FromRegistry(reg).Load(version); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		m, err := seqmodel.New(seqmodel.Config{Model: "sasrec", Items: 3416, Length: 200}.WithDefaults(), 1)
		if err != nil {
			b.Fatal(err)
		}
		l := load(newRing(3416), "bench")
		l.Model = sequence{m, 200}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := warm(l, 2, 32); err != nil {
				b.Fatal(err)
			}
		}
	})
}
