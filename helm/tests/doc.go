// Package tests holds the chart in helm/, the Dockerfile and compose.yaml to what they promise, without a cluster.
//
// The chart is linted and rendered by Helm's own library for each values file in testdata/values; the result is compared
// with testdata/golden, held to the schemas of Kubernetes by kubeconform's library, and its configuration is given to the
// recsvc and trainjob that this tree builds. `go test -update` rewrites golden files and README.md;
// `go test -run TestSchemas -update-schemas` takes the schemas anew from the Go modules it names.
package tests
