// Package event holds the words every other room speaks: who (UserID) did what (Kind) to which item (ItemID), and when.
//
// An event is identified by the whole of itself: user, item, kind and time in milliseconds. There is no separate event
// number. So the same event sent twice, by a retry, by a replay of a log or by two sources that overlap, is recognised
// wherever it lands and changes nothing. The price is stated here once: two real interactions of the same kind by the
// same user with the same item in the same millisecond are one event.
//
// Events of one user are ordered by Compare: time, then item, then kind. The order of equal times does not depend on
// which event arrived first, so a history rebuilt from a log equals the one that was built live.
package event

import (
	"cmp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// UserID names a person, a device or a session: any UTF-8 of 1 to MaxID bytes without control characters.
type UserID string

// ItemID names an item of the catalogue: any UTF-8 of 1 to MaxID bytes without control characters.
type ItemID string

// Kind says what the user did ("view", "purchase", ...): UTF-8 as the ids, or empty, which means DefaultKind.
type Kind string

const (
	// DefaultKind is what an empty Kind means.
	DefaultKind Kind = "view"
	// MaxID is the length limit of user ids, item ids and kinds in bytes.
	MaxID = 256
	// MaxTime is the latest time that any event can carry: the last millisecond of the year 9999.
	MaxTime int64 = 253402300799999
	// MaxAhead is how far the clock of a sender may run before ours.
	MaxAhead = 24 * time.Hour
)

// Event is one interaction. The zero value is not valid: user and item must be given. Its JSON form writes the time as an
// integer and leaves an empty kind out; Decode reads it strictly.
type Event struct {
	User UserID `json:"user"`
	Item ItemID `json:"item"`
	Kind Kind   `json:"kind,omitempty"`
	// Time is in Unix milliseconds, 0 to MaxTime. Incoming JSON may also write it as an RFC 3339 string.
	Time int64 `json:"time"`
}

// Canonical returns the event with an empty kind spelled out as DefaultKind. Two events have the same identity exactly
// when their canonical forms are equal by ==.
func (e Event) Canonical() Event {
	if e.Kind == "" {
		e.Kind = DefaultKind
	}
	return e
}

// Compare orders events by user, then time, then item, then kind (bytewise, an empty kind as DefaultKind). It is zero
// exactly when both have the same identity.
func Compare(a, b Event) int {
	a, b = a.Canonical(), b.Canonical()
	return cmp.Or(
		strings.Compare(string(a.User), string(b.User)),
		cmp.Compare(a.Time, b.Time),
		strings.Compare(string(a.Item), string(b.Item)),
		strings.Compare(string(a.Kind), string(b.Kind)),
	)
}

// Fault is one thing wrong with an event (or a request): where, as a JSON pointer such as /item ("" is the whole
// document), and what, as the rest of a sentence that starts with the name of the place.
type Fault struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// String returns the fault as one line for logs and errors.
func (f Fault) String() string {
	if f.Pointer == "" {
		return "document " + f.Detail
	}
	return f.Pointer + " " + f.Detail
}

// InvalidError carries the faults of an event where an error is asked for.
type InvalidError struct {
	Faults []Fault // never empty
}

// Error lists all faults.
func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		parts[i] = f.String()
	}
	return "invalid event: " + strings.Join(parts, "; ")
}

// Validate returns every fault of the event at once, nil when it has none. The time must lie between 1970 and now plus
// MaxAhead; the zero now leaves MaxTime as the only upper bound.
func (e Event) Validate(now time.Time) []Fault {
	var faults []Fault
	if d := CheckID(string(e.User)); d != "" {
		faults = append(faults, Fault{"/user", d})
	}
	if d := CheckID(string(e.Item)); d != "" {
		faults = append(faults, Fault{"/item", d})
	}
	if e.Kind != "" {
		if d := CheckID(string(e.Kind)); d != "" {
			faults = append(faults, Fault{"/kind", d})
		}
	}
	if d := checkTime(e.Time, now); d != "" {
		faults = append(faults, Fault{"/time", d})
	}
	return faults
}

// CheckID says what is wrong with a user id, item id or kind, "" when it is sound.
func CheckID(id string) string {
	switch {
	case id == "":
		return "must not be empty"
	case len(id) > MaxID:
		return "must not be longer than 256 bytes"
	}
	if plainASCII(id) {
		return ""
	}
	if !utf8.ValidString(id) {
		return "must be valid UTF-8"
	}
	if strings.ContainsFunc(id, unicode.IsControl) {
		return "must not contain control characters"
	}
	return ""
}

// plainASCII reports whether s is printable ASCII only, the common case.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func checkTime(t int64, now time.Time) string {
	latest := MaxTime
	if !now.IsZero() {
		latest = min(latest, now.Add(MaxAhead).UnixMilli())
	}
	switch {
	case t < 0:
		return "must not lie before 1970"
	case t > MaxTime:
		return "must not lie after the year 9999; it counts milliseconds"
	case t > latest:
		return "must not lie more than 24 hours in the future; it counts milliseconds"
	}
	return ""
}
