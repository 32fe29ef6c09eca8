package train

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
)

// modulo scores an item by how near it is, in a ring, to the newest event.
type modulo struct{ items int }

func (m modulo) Items() int                 { return m.items }
func (m modulo) Describe() string           { return "modulo" }
func (m modulo) NewRanker() features.Ranker { return m }

func (m modulo) Score(dst []float32, queries []features.Query) {
	for i, q := range queries {
		for j := range m.items {
			dst[i*m.items+j] = -float32((j - int(q.History[len(q.History)-1]) + m.items) % m.items)
		}
	}
}

func (m modulo) Rank(dst [][]kernel.Scored, queries []features.Query) {
	scores := make([]float32, m.items)
	var top kernel.TopK
	for i, q := range queries {
		m.Score(scores, queries[i:i+1])
		top.Reset(q.K)
		top.Scan(scores, 0, q.Blocked)
		dst[i] = top.Sorted(dst[i][:0])
	}
}

// TestAddHardNegatives checks that what is added is among the nearest that the
// user never takes, and the same whoever draws it.
func TestAddHardNegatives(t *testing.T) {
	data, truth := features.LifelongWorld(1, features.LifelongOptions{Users: 40, History: 250, Items: 400})
	b := NewBehaviours(data, truth.Items)
	model := modulo{data.Vocab.Len()}
	cut := func() *features.SlateSplit {
		split, err := features.CutSlates(data, features.SlateOptions{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		return split
	}
	const n, candidates = 3, 20
	plain, hard, alone := cut().Train, cut().Train, cut().Train
	var mu sync.Mutex
	most := 0
	asked := func(done int) {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, done)
	}
	for workers, slates := range map[int][]features.Slate{4: hard, 1: alone} {
		if err := addHardNegatives(t.Context(), model, b, slates, n, candidates, 7, workers, asked); err != nil {
			t.Fatal(err)
		}
	}
	if most != len(plain) {
		t.Errorf("asked about %d of %d", most, len(plain))
	}
	if !reflect.DeepEqual(hard, alone) {
		t.Error("the number of workers changes what is drawn")
	}
	for i, s := range hard {
		before := plain[i].Candidates
		if len(s.Candidates) != len(before)+n || !slices.Equal(s.Candidates[:len(before)], before) {
			t.Fatalf("slate %d: %v of %v", i, s.Candidates, before)
		}
		for k, item := range s.Candidates[len(before):] {
			if slices.Contains(s.Candidates[:len(before)+k], item) {
				t.Fatalf("slate %d: item %d comes twice in %v", i, item, s.Candidates)
			}
		}
		items, _ := data.User(int(s.User))
		newest := int(items[s.End-1])
		var near []int32
		for k := 0; len(near) < candidates; k++ {
			if item := int32((newest + k) % model.items); !slices.Contains(items, item) {
				near = append(near, item)
			}
		}
		for _, item := range s.Candidates[len(before):] {
			if !slices.Contains(near, item) {
				t.Fatalf("slate %d: item %d is none of the %d nearest %v", i, item, candidates, near)
			}
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := addHardNegatives(stopped, model, b, hard, n, candidates, 7, 2, func(int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestAddHardNegativesFew: what a slate has, and what was drawn, is not drawn again,
// so that where little is retrieved all of it is taken once.
func TestAddHardNegativesFew(t *testing.T) {
	v := features.NewVocab("a", "b", "c", "d", "e", "f")
	data := &features.Dataset{Vocab: v, Users: []string{"u"}, Offsets: []int{0, 3}, Items: []int32{0, 0, 0}}
	for _, tt := range []struct {
		candidates, n int
		have, want    []int32 // the nearest to item 0 are 1, 2, 3, ...
	}{
		{1, 4, []int32{0, 5}, []int32{1}},
		{1, 4, []int32{0, 1}, nil},
		{3, 4, []int32{0, 2, 5}, []int32{1, 3}},
		{5, 5, []int32{0}, []int32{1, 2, 3, 4, 5}},
	} {
		slates := []features.Slate{{End: 2, Candidates: tt.have}}
		if err := addHardNegatives(t.Context(), modulo{v.Len()}, &Behaviours{Data: data}, slates, tt.n, tt.candidates, 1, 1, func(int) {}); err != nil {
			t.Fatal(err)
		}
		got := slates[0].Candidates
		added := slices.Sorted(slices.Values(got[len(tt.have):]))
		if !slices.Equal(got[:len(tt.have)], tt.have) || !slices.Equal(added, tt.want) {
			t.Errorf("%d of %d beside %v: %v", tt.n, tt.candidates, tt.have, got)
		}
	}
}

// TestAddHardNegativesNone leaves a slate as it is where its user takes every
// item.
func TestAddHardNegativesNone(t *testing.T) {
	v := features.NewVocab()
	for _, id := range []string{"a", "b"} {
		v.Add(id)
	}
	data := &features.Dataset{Vocab: v, Users: []string{"u"}, Offsets: []int{0, 3}, Items: []int32{0, 1, 0}}
	slates := []features.Slate{{End: 2, Candidates: []int32{0}}}
	if err := addHardNegatives(t.Context(), modulo{2}, &Behaviours{Data: data}, slates, 2, 5, 1, 1, func(int) {}); err != nil || len(slates[0].Candidates) != 1 {
		t.Errorf("%v, %v", slates, err)
	}
}
