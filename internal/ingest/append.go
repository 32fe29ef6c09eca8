package ingest

import (
	"errors"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// batch is events and, if it is known, when each was sent, in Unix milliseconds.
type batch struct {
	events []event.Event
	sent   []int64
}

// newBatch returns an empty one with room for n events.
func newBatch(n int) batch { return batch{make([]event.Event, 0, n), make([]int64, 0, n)} }

func (b *batch) add(e event.Event, sent int64) {
	b.events, b.sent = append(b.events, e), append(b.sent, sent)
}

// appendAll appends events by to and adds up what became of them. Events that can never be stored are refused one by one
// and do not keep the others out; any other error ends it.
func appendAll(to func(batch) (store.Result, error), in batch, sum *store.Result, refuse func(i int, why *fault)) error {
	n := len(in.events)
	if n == 0 {
		return nil
	}
	result, err := to(in)
	why := hopeless(err)
	switch {
	case err == nil:
		sum.Add(result)
		return nil
	case why == nil:
		return err
	case n == 1:
		refuse(0, why)
		return nil
	}
	half := n / 2 // until it stands alone
	if err := appendAll(to, batch{in.events[:half], in.sent[:half]}, sum, refuse); err != nil {
		return err
	}
	return appendAll(to, batch{in.events[half:], in.sent[half:]}, sum, func(i int, why *fault) { refuse(half+i, why) })
}

// hopeless says what is wrong with events that the store will refuse however often it is asked; nil for what waiting may
// mend, and for a store that refuses everything.
func hopeless(err error) *fault {
	switch {
	case errors.Is(err, store.ErrForeign):
		return nil
	case errors.Is(err, store.ErrInvalid):
		return &fault{reasonRefused, err.Error()}
	case errors.Is(err, store.ErrNewerFormat):
		return &fault{reasonNewer, err.Error()}
	case errors.Is(err, store.ErrCorrupt):
		return &fault{reasonCorrupt, err.Error()}
	}
	return nil
}
