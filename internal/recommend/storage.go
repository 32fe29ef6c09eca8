package recommend

import (
	"context"
	"io"
	"time"

	"seqrec/internal/event"
)

// Histories keeps what users did.
type Histories interface {
	// Append stores events durably; an event already held counts as duplicate.
	Append(ctx context.Context, events []event.Event) (AppendResult, error)
	// Recent returns the newest n events of a user, oldest first. An unknown
	// user has none; that is no error.
	Recent(ctx context.Context, user event.UserID, n int) ([]event.Event, error)
	// History returns one page, newest first, and the cursor of the next ("" at
	// the end).
	History(ctx context.Context, user event.UserID, page Page) (events []event.Event, next string, err error)
}

// Erasures forgets users and remembers that it did.
type Erasures interface {
	Erase(ctx context.Context, user event.UserID) (Receipt, error)
	// Erasure returns a receipt by its id; ErrNotFound if there is none.
	Erasure(ctx context.Context, id string) (Receipt, error)
	// WriteErasures writes the list that a training job forgets users by.
	WriteErasures(ctx context.Context, w io.Writer) error
}

// Catalogue keeps attributes of items: the four verbs of one small table.
type Catalogue interface {
	PutItems(ctx context.Context, items []CatalogItem) error
	// Item returns one item; ErrNotFound if it is not held.
	Item(ctx context.Context, id event.ItemID) (CatalogItem, error)
	// DeleteItem forgets one item; ErrNotFound if it is not held.
	DeleteItem(ctx context.Context, id event.ItemID) error
	// EachItem calls fn for every item until it returns an error.
	EachItem(ctx context.Context, fn func(CatalogItem) error) error
}

// Store is all that is kept outside the model.
type Store interface {
	Histories
	Erasures
	Catalogue
}

// Source gives published versions.
type Source interface {
	// Load verifies a version and builds its model. ErrUnknownModel when there
	// is no such version; any other error means that it cannot be served.
	Load(version string) (*Loaded, error)
	// List describes every version, newest first.
	List() ([]ModelInfo, error)
	// Current names the version to serve; "" when none was promoted yet.
	Current() (string, error)
}

// Versions is a Source whose current version can be changed and followed.
type Versions interface {
	Source
	Promote(version string) error
	// Past names the versions that were current before the present one, latest
	// first, each once.
	Past() ([]string, error)
	// Rollback makes the version before the current one current and names it.
	// from is the version to leave: ErrConflict if another one is current.
	Rollback(from string) (string, error)
	// Watch offers each version that becomes current to accept until ctx ends,
	// and offers one that was not accepted again later. fault hears once of each
	// thing that is wrong.
	Watch(ctx context.Context, every time.Duration, accept func(version string) error, fault func(error)) error
}
