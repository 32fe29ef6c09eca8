package ingest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"seqrec/internal/store"
)

// TestAppendAll: however a batch is halved to find what can never be stored, each event keeps its moment, what is refused
// is named by its place, and what the store says of the others adds up.
func TestAppendAll(t *testing.T) {
	in := newBatch(0)
	for i, e := range someEvents(37, 5) {
		in.add(e, int64(i))
	}
	away := errors.New("away")
	for name, c := range map[string]struct {
		fail    error // of a batch that holds one of these
		at      []int64
		refused map[int]string
		want    store.Result
		err     error
	}{
		"all":           {nil, nil, map[int]string{}, store.Result{Accepted: 37, Erased: 37}, nil},
		"some":          {store.ErrCorrupt, []int64{0, 17, 36}, map[int]string{0: reasonCorrupt, 17: reasonCorrupt, 36: reasonCorrupt}, store.Result{Accepted: 34, Erased: 34}, nil},
		"away":          {away, []int64{20}, map[int]string{}, store.Result{}, away},
		"foreign store": {fmt.Errorf("%w: %w", store.ErrForeign, store.ErrCorrupt), []int64{20}, map[int]string{}, store.Result{}, store.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			refused, sum := map[int]string{}, store.Result{}
			err := appendAll(func(part batch) (store.Result, error) {
				for i, e := range part.events {
					if in.events[part.sent[i]] != e {
						t.Errorf("%v came with the moment of another", e)
					}
				}
				if slices.ContainsFunc(part.sent, func(at int64) bool { return slices.Contains(c.at, at) }) {
					return store.Result{}, c.fail
				}
				return store.Result{Accepted: len(part.events), Erased: len(part.events)}, nil
			}, in, &sum, func(i int, why *fault) { refused[i] = why.reason })
			if !errors.Is(err, c.err) || sum != c.want || fmt.Sprint(refused) != fmt.Sprint(c.refused) {
				t.Errorf("%+v, refused %v, %v; want %+v, %v, %v", sum, refused, err, c.want, c.refused, c.err)
			}
		})
	}
}
