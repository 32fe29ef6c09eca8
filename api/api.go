// Package api holds the contract of the REST interface, openapi.yaml: the hand-kept source from which the server's types
// (internal/httpapi/wire) and the Go client (api/client) are generated, and which the server shows at /docs.
//
// After a change run `go generate ./api`; the generator's version is pinned in api/tools/go.mod.
package api

import _ "embed"

//go:embed openapi.yaml
var contract []byte

// Contract returns the text of openapi.yaml. The caller must not change it.
func Contract() []byte { return contract }
