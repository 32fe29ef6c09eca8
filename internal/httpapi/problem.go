package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"seqrec/internal/event"
	"seqrec/internal/httpapi/wire"
	"seqrec/internal/recommend"
)

// kind is a row of the table of problems: the last part of a problem's type, which is part of the contract.
type kind string

const (
	malformed        kind = "malformed"
	unauthorized     kind = "unauthorized"
	forbidden        kind = "forbidden"
	notFound         kind = "not-found"
	methodNotAllowed kind = "method-not-allowed"
	conflict         kind = "conflict"
	modelRefused     kind = "model-refused"
	tooLarge         kind = "too-large"
	unsupportedMedia kind = "unsupported-media-type"
	invalid          kind = "invalid"
	tooManyRequests  kind = "too-many-requests"
	clientGone       kind = "client-gone" // for the log and the metrics; nobody reads the answer
	internal         kind = "internal"
	overloaded       kind = "overloaded"
	notReady         kind = "not-ready"
	storeUnavailable kind = "store-unavailable"
	shuttingDown     kind = "shutting-down"
	deadline         kind = "deadline"
)

// statusClientGone is what nginx made customary for a client that hung up.
const statusClientGone = 499

// meaning returns the status and title of a kind; an unknown kind is internal.
func (k kind) meaning() (status int, title string) {
	switch k {
	case malformed:
		return http.StatusBadRequest, "The request cannot be read"
	case unauthorized:
		return http.StatusUnauthorized, "A valid key is needed"
	case forbidden:
		return http.StatusForbidden, "The key does not allow this"
	case notFound:
		return http.StatusNotFound, "There is no such resource"
	case methodNotAllowed:
		return http.StatusMethodNotAllowed, "The path has no such method"
	case conflict:
		return http.StatusConflict, "The state is not the one the request assumes"
	case modelRefused:
		return http.StatusConflict, "The model version cannot be served"
	case tooLarge:
		return http.StatusRequestEntityTooLarge, "The body is too large"
	case unsupportedMedia:
		return http.StatusUnsupportedMediaType, "The content type is not read here"
	case invalid:
		return http.StatusUnprocessableEntity, "The request is not valid"
	case tooManyRequests:
		return http.StatusTooManyRequests, "The rate of this key is used up"
	case clientGone:
		return statusClientGone, "The client is gone"
	case overloaded:
		return http.StatusServiceUnavailable, "Too many requests are under way"
	case notReady:
		return http.StatusServiceUnavailable, "No model is loaded"
	case storeUnavailable:
		return http.StatusServiceUnavailable, "The store cannot be reached"
	case shuttingDown:
		return http.StatusServiceUnavailable, "This process is ending"
	case deadline:
		return http.StatusGatewayTimeout, "The deadline passed"
	default:
		return http.StatusInternalServerError, "Something went wrong on our side"
	}
}

// fault is one thing wrong with a request: in its body (Pointer) or in a named parameter or header.
type fault struct {
	event.Fault
	Parameter string // "" for the body
}

// failure is an error that knows its row; all its words may be read by the client.
type failure struct {
	kind   kind
	detail string
	faults []fault
	retry  int // seconds for Retry-After; 0 for none
}

// Error implements error.
func (f *failure) Error() string {
	if len(f.faults) > 0 {
		return fmt.Sprintf("%s: %v", f.kind, f.faults)
	}
	return string(f.kind) + ": " + f.detail
}

func fail(k kind, detail string) *failure { return &failure{kind: k, detail: detail} }

// invalidBody is the failure of a body that is JSON but wrong.
func invalidBody(faults []event.Fault) *failure { return bodyFailure(invalid, faults) }

func bodyFailure(k kind, faults []event.Fault) *failure {
	f := &failure{kind: k, faults: make([]fault, len(faults))}
	for i := range faults {
		f.faults[i].Fault = faults[i]
	}
	return f
}

// failureOf is the one table from the errors of the service to problems. An error it does not know is internal, and its
// words stay here.
func failureOf(err error) *failure {
	var known *failure
	var wrong *recommend.InvalidError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &wrong):
		return invalidBody(wrong.Faults)
	case errors.Is(err, recommend.ErrInvalid):
		return &failure{kind: invalid}
	case errors.Is(err, recommend.ErrBusy):
		return &failure{kind: overloaded, retry: 1}
	case errors.Is(err, recommend.ErrNoModel):
		return &failure{kind: notReady, retry: 5}
	case errors.Is(err, recommend.ErrUnknownModel), errors.Is(err, recommend.ErrNotFound):
		return &failure{kind: notFound}
	case errors.Is(err, recommend.ErrRefused):
		return &failure{kind: modelRefused, detail: err.Error()} // operators' words, as GET /v1/models has them
	case errors.Is(err, recommend.ErrConflict):
		return &failure{kind: conflict, detail: err.Error()} // the same
	case errors.Is(err, recommend.ErrClosed):
		return &failure{kind: shuttingDown, retry: 1}
	case errors.Is(err, recommend.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		return &failure{kind: deadline}
	case errors.Is(err, context.Canceled):
		return &failure{kind: clientGone}
	case errors.Is(err, recommend.ErrStore):
		return &failure{kind: storeUnavailable, retry: 1}
	default:
		return &failure{kind: internal}
	}
}

// problem is the failure in the form of the contract; instance may be empty.
func (f *failure) problem(instance string) wire.Problem {
	status, title := f.kind.meaning()
	p := wire.Problem{Type: "/problems/" + string(f.kind), Title: title, Status: status, Instance: optional(instance)}
	if f.detail != "" {
		p.Detail = &f.detail
	}
	if len(f.faults) == 0 {
		return p
	}
	p.Detail = new(countFaults(len(f.faults)))
	faults := make([]wire.Fault, len(f.faults))
	for i, one := range f.faults {
		faults[i].Detail = one.Detail
		if one.Parameter != "" {
			faults[i].Parameter = &one.Parameter
		} else {
			faults[i].Pointer = &one.Pointer
		}
	}
	p.Errors = &faults
	return p
}

func countFaults(n int) string {
	switch {
	case n == 1:
		return "1 fault; see errors"
	case n >= maxFaults:
		return "the first " + strconv.Itoa(n) + " faults; see errors"
	}
	return strconv.Itoa(n) + " faults; see errors"
}

// write answers with the failure.
func (f *failure) write(w http.ResponseWriter, instance string) {
	p := f.problem(instance)
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"/problems/internal","title":"Something went wrong on our side","status":500}`)
		p.Status = http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if f.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retry))
	}
	if f.kind == unauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="seqrec"`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone does not read it
}

// optional is nil for the zero value: what the contract leaves out.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
