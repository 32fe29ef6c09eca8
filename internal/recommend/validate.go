package recommend

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/event"
)

// InvalidError carries every fault of a request. It matches ErrInvalid.
type InvalidError struct{ Faults []event.Fault }

// Error lists the faults.
func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		parts[i] = f.String()
	}
	return "invalid request: " + strings.Join(parts, "; ")
}

// Unwrap lets errors.Is find ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }

// Validate returns every fault of the request at once, nil when it has none.
// Pointers are those of the public JSON form.
func (r *Request) Validate() []event.Fault {
	var f faults
	if r.User != "" {
		f.id("/user", string(r.User))
	}
	if r.K < 0 || r.K > MaxK {
		f.add("/k", "must be between 1 and %d", MaxK)
	}
	if r.At < 0 || r.At > event.MaxTime {
		f.add("/at", "must be Unix milliseconds between 1970 and the year 9999")
	}
	f.atMost("/history", len(r.History), MaxHistory)
	f.atMost("/events", len(r.Events), MaxEvents)
	f.atMost("/candidates", len(r.Candidates), MaxCandidates)
	f.atMost("/exclude", len(r.Exclude), MaxExclude)
	for i := range r.History {
		f.historyEvent(i, &r.History[i])
	}
	f.events(r)
	for i, id := range r.Candidates {
		f.id(at("/candidates", i, ""), string(id))
	}
	for i, id := range r.Exclude {
		f.id(at("/exclude", i, ""), string(id))
	}
	return f
}

// validateSimilar returns every fault of a request for similar items.
func validateSimilar(items []event.ItemID, k int) []event.Fault {
	var f faults
	if k < 0 || k > MaxK {
		f.add("/k", "must be between 1 and %d", MaxK)
	}
	if len(items) == 0 {
		f.add("/items", "must not be empty")
	}
	f.atMost("/items", len(items), MaxCandidates)
	for i, id := range items {
		f.id(at("/items", i, ""), string(id))
	}
	return f
}

// faults collects what is wrong.
type faults []event.Fault

func (f *faults) add(pointer, format string, args ...any) {
	*f = append(*f, event.Fault{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (f *faults) id(pointer, id string) {
	if d := event.CheckID(id); d != "" {
		*f = append(*f, event.Fault{Pointer: pointer, Detail: d})
	}
}

func (f *faults) atMost(pointer string, n, limit int) {
	if n > limit {
		f.add(pointer, "must not hold more than %d, holds %d", limit, n)
	}
}

// historyEvent checks an event that is only read, so needs no user.
func (f *faults) historyEvent(i int, e *event.Event) {
	if event.CheckID(string(e.Item)) != "" {
		f.id(at("/history", i, "/item"), string(e.Item))
	}
	if e.Time < 0 || e.Time > event.MaxTime {
		f.add(at("/history", i, "/time"), "must be Unix milliseconds between 1970 and the year 9999")
	}
}

// events checks those that will be stored: they must all be of one user.
func (f *faults) events(r *Request) {
	if len(r.Events) == 0 {
		return
	}
	user := r.eventUser()
	for i, e := range r.Events {
		for _, fault := range e.Validate(time.Time{}) {
			f.add(at("/events", i, fault.Pointer), "%s", fault.Detail)
		}
		if e.User != user {
			f.add(at("/events", i, "/user"), "must be the user the request is about")
		}
	}
}

// eventUser is the user whom the request is about.
func (r *Request) eventUser() event.UserID {
	if r.User != "" || len(r.Events) == 0 {
		return r.User
	}
	return r.Events[0].User
}

func at(pointer string, i int, rest string) string {
	return pointer + "/" + strconv.Itoa(i) + rest
}
