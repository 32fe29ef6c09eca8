// Package store keeps what the service remembers: the history of every user and the catalogue of items.
//
// The interfaces below state the promises; a backend is one package beneath this one and shows that it keeps them by
// running storetest. What backends share lives here as well: the packed form of a history (chunk.go), the plan that turns
// new events into changed chunks (edit.go), page cursors, erasure receipts and the stored form of items.
//
// A reader new to it should follow, in this order: Histories.Append, Editor.Apply, AppendChunk, and then Append in
// pebblestore.
//
// Caveats. The order of a history is that of event.Compare, so events of equal time come by item and kind, whatever order
// they arrived in. An event without a kind comes back with event.DefaultKind. A history is a set: the store cannot tell
// two equal interactions in the same millisecond apart.
package store

import (
	"context"
	"errors"
	"io"
	"time"

	"seqrec/internal/event"
)

// Errors that backends return, wrapped with what was being done. Test with errors.Is.
var (
	// ErrInvalid: an argument breaks the rules (an id too long, a time out of range). Nothing was changed.
	ErrInvalid = errors.New("invalid argument")
	// ErrCursor: a page cursor was not made by this store for this user and kind, or was altered.
	ErrCursor = errors.New("bad page cursor")
	// ErrNotFound: there is no such item or erasure.
	ErrNotFound = errors.New("not found")
	// ErrCorrupt: stored bytes do not check out. The store never guesses: the call that met them fails.
	ErrCorrupt = errors.New("stored data is corrupt")
	// ErrNewerFormat: the data was written by a later version of the program.
	ErrNewerFormat = errors.New("stored data has a newer format than this program knows")
	// ErrForeign: what belongs to no single user cannot be read, so nothing of this store can be used. It comes with
	// ErrCorrupt or ErrNewerFormat, which without it are about the history or item at hand.
	ErrForeign = errors.New("this is no store that this program can use")
	// ErrInUse: another process has the store open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrUnavailable: the server behind the store is slow or absent. The same call may succeed later.
	ErrUnavailable = errors.New("store does not answer")
	// ErrFull: the server behind the store has no room for more.
	ErrFull = errors.New("store is full")
	// ErrDenied: the server behind the store refuses our name, password or rights.
	ErrDenied = errors.New("store denies access")
	// ErrReadOnly: the server behind the store takes no writes.
	ErrReadOnly = errors.New("store is read-only")
	// ErrRestless: the source of a Copy was written to faster than it could be followed.
	ErrRestless = errors.New("source does not come to rest")
)

// Reason names the cause of an error of a store in one word, for metrics: "invalid", "cursor", "not_found", "corrupt",
// "newer_format", "closed", "unavailable", "full", "denied", "read_only", "cancelled", "timeout", or "other". Of nil it
// is "".
func Reason(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrInvalid, "invalid"}, {ErrCursor, "cursor"}, {ErrNotFound, "not_found"}, {ErrNewerFormat, "newer_format"},
		{ErrCorrupt, "corrupt"}, {ErrClosed, "closed"}, {ErrFull, "full"}, {ErrDenied, "denied"}, {ErrReadOnly, "read_only"},
		{ErrUnavailable, "unavailable"}, {context.Canceled, "cancelled"}, {context.DeadlineExceeded, "timeout"}, {err, "other"},
	} {
		if err != nil && errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
}

// Store is all of it. Consumers should ask for the narrowest interface that serves them.
// All methods may be called concurrently. After Close they return ErrClosed.
type Store interface {
	Histories
	Erasures
	Items
	io.Closer
}

// Histories holds one history per user: a set of events, sorted by event.Compare.
type Histories interface {
	// Append adds events, of any number of users and in any order. When it returns without error they are durable. An
	// event that is already there changes nothing and counts as a duplicate, so any batch may be sent again. Late events
	// land in their place. Events beyond the cap of a user are dropped, oldest first; Append in any order ends in the
	// same history. If any event is invalid nothing is changed (ErrInvalid). On any other error, some events may have
	// been stored; sending the batch again is the remedy. A cancelled ctx is honoured until the write has begun.
	Append(ctx context.Context, events []event.Event) (Result, error)

	// AppendSent is Append of events that come from a log: sent has, for each, the moment at which it was given to the
	// log, in Unix milliseconds. An event of a user who was erased at or after that moment is left out, so that neither
	// what was under way during an erasure nor what is read from the log again brings him back. Nil means now for all.
	AppendSent(ctx context.Context, events []event.Event, sent []int64) (Result, error)

	// Recent returns the newest n events of a user, oldest first. An unknown user has none.
	Recent(ctx context.Context, user event.UserID, n int) ([]event.Event, error)

	// History returns one page of a user's events, newest first, and the cursor of the next page, "" after the last.
	// Pages taken one after the other never repeat an event and miss none that was there from first to last, also while
	// events are appended. Errors: ErrCursor, ErrCorrupt.
	History(ctx context.Context, user event.UserID, page Page) (events []event.Event, next string, err error)

	// Users calls fn for every user with a history, in no particular order, until fn returns an error, which is then
	// returned as it is. Users appended or erased meanwhile may or may not be seen.
	Users(ctx context.Context, fn func(event.UserID) error) error
}

// Result says what Append did; its fields add up to the number of events given.
type Result struct {
	Accepted  int // new events, stored
	Duplicate int // events that were there already, or twice in the batch
	Dropped   int // events older than all that the cap of the user keeps; not stored
	Erased    int // events sent before their user was erased; not stored
}

// Add adds another result to r.
func (r *Result) Add(other Result) {
	r.Accepted += other.Accepted
	r.Duplicate += other.Duplicate
	r.Dropped += other.Dropped
	r.Erased += other.Erased
}

// Page says which part of a history is wanted. The zero value is the newest DefaultPage events.
type Page struct {
	Before string     // cursor from the page before; "" starts at the newest event
	Limit  int        // events wanted; 0 or less means DefaultPage, more than MaxPage means MaxPage
	Kind   event.Kind // only events of this kind; "" means all kinds
}

const (
	// DefaultPage is the page size when none is given.
	DefaultPage = 100
	// MaxPage is the largest page.
	MaxPage = 1000
)

// Size returns the number of events that the page may hold.
func (p Page) Size() int {
	if p.Limit <= 0 {
		return DefaultPage
	}
	return min(p.Limit, MaxPage)
}

// Erasures forgets users.
type Erasures interface {
	// Erase removes every event of a user, durably when it returns, and leaves a receipt. Erasing a user without events
	// succeeds with a receipt over 0 events. Events that arrive later start a new history, unless AppendSent says that they
	// were sent before.
	Erase(ctx context.Context, user event.UserID) (Receipt, error)

	// Erasure returns a receipt by its id, ErrNotFound if there is none.
	Erasure(ctx context.Context, id string) (Receipt, error)

	// EachErasure calls fn for each receipt, in no particular order, until fn returns an error, which is then returned as
	// it is. Erasures made meanwhile may or may not be seen.
	EachErasure(ctx context.Context, fn func(Receipt) error) error

	// Secret returns the secret under which receipts hash users.
	Secret(ctx context.Context) (Secret, error)
}

// Receipt proves an erasure without naming the user.
type Receipt struct {
	ID       string    `json:"id"`
	UserHash string    `json:"user_hash"` // hex HMAC-SHA-256 of the user id under the secret of the store
	Events   int       `json:"events"`    // events removed
	At       time.Time `json:"at"`        // UTC, milliseconds
}

// Items is the catalogue.
type Items interface {
	// PutItems writes items, each replacing the item of the same id whole, durably when it returns. Either all or none
	// are written. A zero Updated is set to the time of the store. Errors: ErrInvalid.
	PutItems(ctx context.Context, items []Item) error

	// Items returns the items of these ids in the order asked; unknown ids are left out.
	Items(ctx context.Context, ids []event.ItemID) ([]Item, error)

	// DeleteItem removes an item from the catalogue, ErrNotFound if it is not there. Histories keep their events.
	DeleteItem(ctx context.Context, id event.ItemID) error

	// AllItems calls fn for each item, in no particular order, until fn returns an error, which is then returned as it is.
	AllItems(ctx context.Context, fn func(Item) error) error
}

// Item is an entry of the catalogue.
type Item struct {
	ID         event.ItemID   `json:"id"`
	Title      string         `json:"title,omitempty"`
	Categories []string       `json:"categories,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"` // JSON values; numbers come back as float64
	Hidden     bool           `json:"hidden,omitempty"`     // must not be recommended
	Updated    time.Time      `json:"updated"`              // UTC, milliseconds
}
