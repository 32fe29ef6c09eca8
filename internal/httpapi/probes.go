package httpapi

import (
	"context"

	"seqrec/internal/httpapi/wire"
)

// Livez answers GET /livez.
func (o *operations) Livez(context.Context, wire.LivezRequestObject) (wire.LivezResponseObject, error) {
	return wire.Livez200JSONResponse{Status: wire.Ok}, nil
}

// Readyz answers GET /readyz.
func (o *operations) Readyz(ctx context.Context, r wire.ReadyzRequestObject) (wire.ReadyzResponseObject, error) {
	health := wire.Health{Status: wire.Ok}
	var checks []wire.Check
	if o.draining.Load() {
		health.Status = wire.Unavailable
		checks = append(checks, wire.Check{Name: "draining", Detail: new("this process is ending")})
	}
	for _, c := range o.service.Ready(requestContext(ctx)) {
		if !c.OK {
			health.Status = wire.Unavailable
		}
		checks = append(checks, wire.Check{Name: c.Name, Ok: c.OK, Detail: optional(c.Detail)})
	}
	if v := r.Params.Verbose; v != nil {
		health.Checks = &checks
	}
	if health.Status == wire.Ok {
		return wire.Readyz200JSONResponse(health), nil
	}
	return wire.Readyz503JSONResponse(health), nil
}
