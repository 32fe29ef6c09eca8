package httpapi

import (
	"context"
	"io"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

// What the operations need of the service behind them; *recommend.Service has it all. Errors are those of package
// recommend; any other is answered as internal.
type (
	// Predictor answers what comes next.
	Predictor interface {
		Predict(ctx context.Context, req recommend.Request) (recommend.Answer, error)
		PredictBatch(ctx context.Context, reqs []recommend.Request) []recommend.Result
		Similar(ctx context.Context, items []event.ItemID, k int) (recommend.Answer, error)
	}

	// EventSink takes events; they are durable when it returns.
	EventSink interface {
		Append(ctx context.Context, events []event.Event) (recommend.AppendResult, error)
	}

	// Histories reads and erases what is held of a user.
	Histories interface {
		History(ctx context.Context, user event.UserID, page recommend.Page) (events []event.Event, next string, err error)
		Erase(ctx context.Context, user event.UserID) (recommend.Receipt, error)
		Erasure(ctx context.Context, id string) (recommend.Receipt, error)
	}

	// Catalog reads items.
	Catalog interface {
		GetItem(ctx context.Context, id event.ItemID) (recommend.CatalogItem, error)
		FindItems(ctx context.Context, text string, limit int) ([]recommend.CatalogItem, error)
	}

	// CatalogWriter changes items.
	CatalogWriter interface {
		PutItems(ctx context.Context, items []recommend.CatalogItem) error
		DeleteItem(ctx context.Context, id event.ItemID) error
	}

	// Models lists the published versions; the version "current" is the one that serves.
	Models interface {
		Models(ctx context.Context) ([]recommend.ModelInfo, error)
		Model(ctx context.Context, version string) (recommend.ModelInfo, error)
	}

	// Operator changes which version serves.
	Operator interface {
		Promote(ctx context.Context, version string) (recommend.ModelInfo, error)
		Rollback(ctx context.Context) (recommend.ModelInfo, error)
	}

	// Aside holds versions beside the one that serves.
	Aside interface {
		Load(ctx context.Context, version string) (recommend.ModelInfo, error)
		Unload(ctx context.Context, version string) (recommend.ModelInfo, error)
		Shadow(ctx context.Context, version string) (recommend.ModelInfo, error)
	}

	// ErasureLister writes the list that training jobs forget users by.
	ErasureLister interface {
		WriteErasures(ctx context.Context, w io.Writer) error
	}

	// Health says whether the service can answer.
	Health interface {
		Ready(ctx context.Context) []recommend.Check
	}

	// Service is all of them.
	Service interface {
		Predictor
		EventSink
		Histories
		Catalog
		CatalogWriter
		Models
		Operator
		Aside
		ErasureLister
		Health
	}
)
