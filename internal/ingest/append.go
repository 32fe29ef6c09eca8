package ingest

import (
	"errors"

	"seqrec/internal/event"
	"seqrec/internal/store"
)

// appendAll appends events by to and adds up what became of them. Events that can never be stored are refused one by one
// and do not keep the others out; any other error ends it.
func appendAll(to func([]event.Event) (store.Result, error), events []event.Event, sum *store.Result, refuse func(i int, why *fault)) error {
	if len(events) == 0 {
		return nil
	}
	result, err := to(events)
	why := hopeless(err)
	switch {
	case err == nil:
		sum.Accepted += result.Accepted
		sum.Duplicate += result.Duplicate
		sum.Dropped += result.Dropped
		return nil
	case why == nil:
		return err
	case len(events) == 1:
		refuse(0, why)
		return nil
	}
	half := len(events) / 2 // until it stands alone
	if err := appendAll(to, events[:half], sum, refuse); err != nil {
		return err
	}
	return appendAll(to, events[half:], sum, func(i int, why *fault) { refuse(half+i, why) })
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
