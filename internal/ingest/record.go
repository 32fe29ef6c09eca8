package ingest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/event"
)

// record is one record of a log. A nil key or value is a null, which is not the same as an empty one.
type record struct {
	offset     int64
	time       time.Time // as its producer or the broker stamped it
	key, value []byte
	headers    []header
}

type header struct {
	key   string
	value []byte
}

// sent is when the event was given to the log: the stamp of the record, or an earlier moment that a header names because
// the record has been on a detour.
func (r *record) sent() time.Time {
	if ms, err := strconv.ParseInt(r.header(headerSent), 10, 64); err == nil && ms < r.time.UnixMilli() {
		return time.UnixMilli(ms)
	}
	return r.time
}

// The reasons for which a record is bad; labels of a metric and a header of the dead letter.
const (
	reasonJSON      = "json"         // the value is not JSON, or not an object
	reasonSchema    = "schema"       // it is, and not that of an event
	reasonTime      = "time"         // an event before 1970 or too far ahead
	reasonNullKey   = "null-key"     // nobody said where its order is kept
	reasonKey       = "key"          // the key is another user
	reasonTombstone = "tombstone"    // no value at all
	reasonLarge     = "too-large"    // longer than Batch.Record
	reasonRefused   = "refused"      // the store calls the event invalid
	reasonCorrupt   = "history-lost" // what the store holds of the user cannot be read, so nothing can be added to it
	reasonNewer     = "newer-format" // the same, because a later version of the program wrote it
)

// fault is why a record is bad.
type fault struct{ reason, detail string }

// decode reads the event of a record. An event may lie ahead of the time of its record by event.MaxAhead, and not of
// now, so that a replay judges as was judged when it was new.
func decode(r *record, longest int, now time.Time) (event.Event, *fault) {
	switch {
	case r.value == nil:
		return event.Event{}, &fault{reasonTombstone, "has no value; a user is erased by DELETE /v1/users, not by a tombstone"}
	case len(r.value) > longest:
		return event.Event{}, &fault{reasonLarge, fmt.Sprintf("has %d bytes, at most %d are read", len(r.value), longest)}
	}
	if r.time.Before(now) && !r.time.IsZero() {
		now = r.time
	}
	e, faults := event.Decode(r.value, now)
	if len(faults) > 0 {
		return e, &fault{reasonOf(r.value, faults), (&event.InvalidError{Faults: faults}).Error()}
	}
	switch {
	case r.key == nil:
		return e, &fault{reasonNullKey, "has no key; it must be the user"}
	case string(r.key) != string(e.User):
		return e, &fault{reasonKey, fmt.Sprintf("has the key %.300q, which is not its user", r.key)}
	}
	return e, nil
}

// reasonOf sorts what event.Decode found.
func reasonOf(value []byte, faults []event.Fault) string {
	reason := reasonTime
	for _, f := range faults {
		if f.Pointer != "/time" || !strings.HasPrefix(f.Detail, "must not lie ") {
			reason = reasonSchema
		}
	}
	if faults[0].Pointer == "" && !(json.Valid(value) && strings.HasPrefix(strings.TrimSpace(string(value)), "{")) {
		reason = reasonJSON
	}
	return reason
}
