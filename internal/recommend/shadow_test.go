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
			o, store := newAsideObserver(), newMemStore()
			past := make([]int, 300) // interest 3 long ago, then something else
			for i := range past {
				if past[i] = 8; i < 20 {
					past[i] = 3 + 8*(i%2)
				}
			}
			store.events["ann"] = did("ann", 1000, past...)
			v := &memVersions{current: []string{"v1"}, load: map[string]func() (*Loaded, error){"v1": version("v1", c.serves), "v2": version("v2", c.shadows)}}
			s, err := New(Config{Workers: 2, ShadowShare: 1, Observer: o}, store, v)
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
			compared := Comparison{Dropped: true}
			for compared.Dropped {
				predict(t, s, c.req)
				compared = <-o.compared
			}
			if compared.Err != nil || (compared.Overlap == 1) != c.same {
				t.Errorf("%+v", compared)
			}
		})
	}
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
	o, store := newAsideObserver(), newMemStore()
	past := make([]int, 300)
	for i := range past {
		if past[i] = i % 30; i >= 200 {
			past[i] = 8
		}
	}
	store.events["ann"] = did("ann", 1000, past...)
	v := &memVersions{current: []string{"v1"}, load: map[string]func() (*Loaded, error){"v1": version("v1"), "v2": version("v2")}}
	s, err := New(Config{Workers: 2, ShadowShare: 1, Observer: o, RerankHistory: 60}, store, v)
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
		predict(t, s, Request{User: "ann", K: 5})
		c = <-o.compared
	}
	if c.Err != nil || c.Overlap != 1 {
		t.Errorf("the same version as its own shadow: %+v", c)
	}
}
