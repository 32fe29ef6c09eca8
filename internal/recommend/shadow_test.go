package recommend

import (
	"testing"
)

// TestShadowBothStages: a shadow is compared by what it would serve, with its second
// stage, over more of the history than its first one needs. Requests that want no
// second stage, and answers whose second stage had too little time, are not compared
// with one.
func TestShadowBothStages(t *testing.T) {
	second := kin(t, 40)
	version := func(name string, blend float64) func() (*Loaded, error) {
		return func() (*Loaded, error) {
			l := load(newRing(40), name)
			l.Reranker = &Reranker{Model: second, Blend: blend}
			return l, nil
		}
	}
	for name, c := range map[string]struct {
		serves, shadows float64 // weights of the second stages; 0 for none
		req             Request
		same            bool
	}{
		"both":                    {100, 100, Request{User: "ann", K: 3}, true},
		"a bare history":          {100, 100, Request{History: bare(3, 11, 3, 11, 8), K: 3}, true},
		"candidates":              {100, 100, Request{User: "ann", Candidates: ids(9, 35, 10, 19)}, true},
		"the second stage is new": {0, 100, Request{User: "ann", K: 3}, false},
		"the second stage goes":   {100, 0, Request{User: "ann", K: 3}, false},
		"not wanted":              {0, 100, Request{User: "ann", K: 3, NoRerank: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			past := make([]int, 300) // interest 3 long ago, then something else
			for i := range past {
				if past[i] = 8; i < 20 {
					past[i] = 3 + 8*(i%2)
				}
			}
			compared := compareShadow(t, Config{}, version("v1", c.serves), version("v2", c.shadows), past, c.req)
			if compared.Err != nil || (compared.Overlap == 1) != c.same {
				t.Errorf("%+v", compared)
			}
		})
	}
}

// compareShadow serves one version with another in its shadow, asks for ann, who has
// taken these items, and gives what the shadow said beside it.
func compareShadow(t *testing.T, cfg Config, served, shadowed func() (*Loaded, error), past []int, req Request) Comparison {
	t.Helper()
	o, store := newAsideObserver(), newMemStore()
	store.events["ann"] = did("ann", 1000, past...)
	cfg.Workers, cfg.ShadowShare, cfg.Observer = 2, 1, o
	s, err := New(cfg, store, &memVersions{current: []string{"v1"}, load: map[string]func() (*Loaded, error){"v1": served, "v2": shadowed}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Shadow(t.Context(), "v2"); err != nil {
		t.Fatal(err)
	}
	c := Comparison{Dropped: true}
	for c.Dropped { // no worker was idle
		predict(t, s, req)
		c = <-o.compared
	}
	return c
}

// TestShadowOfDegraded: an answer whose second stage had no time is not compared; of
// others no more than a bounded part of the history is copied.
func TestShadowOfDegraded(t *testing.T) {
	s := startBoth(t, Config{ShadowShare: 1}, newMemStore(), newRing(40), kin(t, 40), 100)
	o := newAsideObserver()
	sh := &shadow{snap: s.current.Load(), observe: o, share: 1, queue: make(chan copied, 1)}
	idle := &batcher{}
	idle.idle.Store(1)
	long := bare(make([]int, shadowEvents+5)...)
	req, events := Request{User: "ann", K: 3}, &past{recent: long[len(long)-7:], whole: long, both: true}
	for _, c := range []struct {
		ans  Answer
		want int
	}{
		{Answer{Rung: RungModel, Rerank: &RerankUse{Rung: RerankNone}}, 0},
		{Answer{Rung: RungModel, Rerank: &RerankUse{Rung: RerankShorter}}, 0},
		{Answer{Rung: RungPopular}, 0},
		{Answer{Rung: RungModel, Rerank: &RerankUse{Rung: RerankWhole}}, 1},
	} {
		if sh.offer(idle, &req, events, &c.ans); len(sh.queue) != c.want {
			t.Errorf("%+v: %d copies", c.ans, len(sh.queue))
		}
	}
	if c := <-sh.queue; len(c.req.History) != shadowEvents || c.recent != 7 {
		t.Errorf("%d events were copied, of which retrieval looks at %d", len(c.req.History), c.recent)
	}
}

// TestShadowShortSearch: a shadow masks what the served version masks, also where a
// second stage searches less of the history than that.
func TestShadowShortSearch(t *testing.T) {
	second := kin(t, 40)
	version := func(name string) func() (*Loaded, error) {
		return func() (*Loaded, error) {
			l := load(newRing(40), name)
			l.Reranker = &Reranker{Model: second, Blend: 100}
			return l, nil
		}
	}
	past := make([]int, 300)
	for i := range past {
		if past[i] = i % 30; i >= 200 {
			past[i] = 8
		}
	}
	c := compareShadow(t, Config{RerankHistory: 60}, version("v1"), version("v2"), past, Request{User: "ann", K: 5})
	if c.Err != nil || c.Overlap != 1 {
		t.Errorf("the same version as its own shadow: %+v", c)
	}
}
