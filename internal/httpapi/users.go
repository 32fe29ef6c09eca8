package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"seqrec/internal/event"
	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

// exportPage is how many events an export reads at a time.
const exportPage = 1000

// requestContext is the context of the request itself. The generated code hands over gin's, which gin uses again for
// another request as soon as this one ends; nothing behind this layer may hold on to it.
func requestContext(ctx context.Context) context.Context {
	if c, ok := ctx.(*gin.Context); ok {
		return c.Request.Context()
	}
	return ctx
}

// ReadHistory answers GET /v1/users/{user}/history.
func (o *operations) ReadHistory(ctx context.Context, r wire.ReadHistoryRequestObject) (wire.ReadHistoryResponseObject, error) {
	page := recommend.Page{Cursor: deref(r.Params.Cursor), Limit: deref(r.Params.Limit), Kind: event.Kind(deref(r.Params.Kind))}
	events, next, err := o.service.History(requestContext(ctx), event.UserID(r.User), page)
	if errors.Is(err, recommend.ErrInvalid) { // the contract has checked the rest
		return nil, &failure{kind: invalid, faults: []fault{{Parameter: "cursor",
			Fault: event.Fault{Detail: "was not given out for this user and kind"}}}}
	}
	if err != nil {
		return nil, err
	}
	answer := wire.ReadHistory200JSONResponse{Events: make([]wire.Event, len(events)), Next: optional(next)}
	for i, e := range events {
		answer.Events[i] = eventOf(e)
	}
	return answer, nil
}

func eventOf(e event.Event) wire.Event {
	kind := string(e.Canonical().Kind)
	return wire.Event{User: string(e.User), Item: string(e.Item), Kind: &kind, Time: e.Time}
}

// ExportUser answers GET /v1/users/{user}/export.
func (o *operations) ExportUser(ctx context.Context, r wire.ExportUserRequestObject) (wire.ExportUserResponseObject, error) {
	export := &export{ctx: requestContext(ctx), histories: o.service, user: event.UserID(r.User), patience: o.config.WriteTimeout}
	// The first page is read before the answer begins, while there can still be a problem.
	return export, export.read()
}

// export writes all events of a user, page by page.
type export struct {
	ctx       context.Context // of the one request that this value lives for
	histories Histories
	user      event.UserID
	patience  time.Duration // for the client to read a page
	events    []event.Event
	next      string
}

func (x *export) read() (err error) {
	x.events, x.next, err = x.histories.History(x.ctx, x.user, recommend.Page{Cursor: x.next, Limit: exportPage})
	return err
}

// VisitExportUserResponse writes the answer; when a later page cannot be read it cuts the connection off.
func (x *export) VisitExportUserResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", mediaNDJSON)
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	conn := http.NewResponseController(w)
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(x.patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(http.ErrAbortHandler)
		}
		for _, e := range x.events {
			if err := lines.Encode(e.Canonical()); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if x.next == "" {
			break
		}
		if err := x.read(); err != nil {
			callOf(x.ctx).cause = err
			panic(http.ErrAbortHandler)
		}
	}
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// EraseUser answers DELETE /v1/users/{user}.
func (o *operations) EraseUser(ctx context.Context, r wire.EraseUserRequestObject) (wire.EraseUserResponseObject, error) {
	receipt, err := o.service.Erase(requestContext(ctx), event.UserID(r.User))
	return wire.EraseUser200JSONResponse(receiptOf(receipt)), err
}

// ReadErasure answers GET /v1/erasures/{erasure}.
func (o *operations) ReadErasure(ctx context.Context, r wire.ReadErasureRequestObject) (wire.ReadErasureResponseObject, error) {
	receipt, err := o.service.Erasure(requestContext(ctx), r.Erasure)
	return wire.ReadErasure200JSONResponse(receiptOf(receipt)), err
}

// ListErasures answers GET /admin/v1/erasures.
func (o *operations) ListErasures(ctx context.Context, _ wire.ListErasuresRequestObject) (wire.ListErasuresResponseObject, error) {
	var list bytes.Buffer // some hundred bytes a receipt; written whole, so that a fault is still a problem
	if err := o.service.WriteErasures(requestContext(ctx), &list); err != nil {
		return nil, err
	}
	return wire.ListErasures200ApplicationxNdjsonResponse{Body: &list, ContentLength: int64(list.Len())}, nil
}

func receiptOf(r recommend.Receipt) wire.Receipt {
	return wire.Receipt{Id: r.ID, UserHash: r.UserHash, Events: r.Events, At: r.At}
}

// deref is the zero value for what a request left out.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
