// Package httpapi is the REST door: it turns requests into calls of a recommend.Service and answers, errors included,
// into what the contract (api/openapi.yaml) says.
//
// A request passes, from the outside in:
//
//	envelope   request id, CORS, panic -> 500, metrics, one log line           (envelope.go)
//	route      `:verb` paths, HEAD as GET, percent-encoded ids; gin; 404, 405  (route.go)
//	gate       key and scope, rate, in-flight bound, deadline                  (gate.go, keys.go)
//	check      parameters and body against the contract, all faults at once    (contract.go)
//	operation  one method; calls the service once                              (predict.go, events.go, ...)
//
// and every error on the way back goes through one table (problem.go), which is also where internal words stop.
//
// Three bodies are read by hand-written code rather than through the contract's schemas, because they are the hot ones:
// predict, predict:batch and events (body.go, scan.go). Tests hold that code to the schemas, by a table and by fuzzing.
//
// The generated code (internal/httpapi/wire) names the operations, their parameters and their answers: one that the
// contract does not know cannot be registered, and one that is missing here does not compile.
package httpapi
