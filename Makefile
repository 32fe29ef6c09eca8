# The commands of this project. `make help` lists them.
# Building needs Go 1.26 only; `make test` installs the browser and the servers that its tests need where they are missing.
# SEQREC_SKIP_BROWSER=1 leaves the browser out.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The product is built without C, so tests run the same way unless they look for races.
export CGO_ENABLED := 0

# Where the public data sets of the benchmarks lie.
DATA ?= ../shared/data
# Extra words for go test, such as TESTFLAGS=-v.
TESTFLAGS ?=
# How long each fuzz target runs.
FUZZTIME ?= 10s

# Rooms whose results depend on the instruction set.
NUMERIC := ./internal/kernel/... ./internal/tensor/... ./internal/attention/... ./internal/seqmodel/...
# Rooms in which goroutines meet.
CONCURRENT := ./internal/kernel/... ./internal/tensor/... ./internal/store/... ./internal/registry/... \
	./internal/recommend/... ./internal/httpapi/... ./internal/ingest/... ./internal/eval/... ./internal/train/...

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: build
build: ## both commands as static binaries into bin/
	go build -o bin/ ./cmd/recsvc ./cmd/trainjob

.PHONY: demo
demo: ## a synthetic world, a trained model and a running service in a minute
	go run ./cmd/recsvc demo

.PHONY: test
test: test-deps test-all test-paths ## every test, then the numeric rooms on every kernel path

.PHONY: test-deps
test-deps:
	scripts/install-test-deps.sh

.PHONY: test-all
test-all:
	go test $(TESTFLAGS) ./...

# The default run takes the widest instruction set of the machine; these take the others. Without assembly the
# models compute what plain Go just did, which takes minutes, so that build only compiles their tests.
.PHONY: test-paths
test-paths: ## the numeric rooms on AVX2, on plain Go and without any assembly
	GODEBUG=cpu.avx512f=off go test $(TESTFLAGS) $(NUMERIC)
	GODEBUG=cpu.avx512f=off,cpu.avx2=off go test $(TESTFLAGS) $(NUMERIC)
	go test $(TESTFLAGS) -tags purego $(filter-out %/seqmodel/...,$(NUMERIC))
	go test $(TESTFLAGS) -tags purego -run '^$$' ./internal/seqmodel/...
	@env -u SEQREC_CPU go run ./cmd/trainjob version | grep -q 'kernels avx512$$' || \
		echo 'test-paths: this machine has no AVX-512, so the avx512 path was NOT run here'

# The race detector needs cgo. The tag keeps pebble on the Go compression that the product, built without C, uses.
.PHONY: test-race
test-race: ## the concurrent rooms under the race detector (needs a C compiler)
	scripts/install-test-deps.sh race
	CGO_ENABLED=1 go test $(TESTFLAGS) -race -tags pebblegozstd $(CONCURRENT)

.PHONY: fuzz-short
fuzz-short: ## every fuzz target for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: ## gofmt, go vet on three builds, the rules of .golangci.yml
	scripts/lint.sh

.PHONY: generate
generate: ## regenerate assembly, server and client code in place
	scripts/generate.sh

.PHONY: generate-check
generate-check: ## regenerate into a copy and compare
	scripts/generate.sh check

.PHONY: chart-check
chart-check: ## the chart: lint, golden renders, schemas, its configuration given to the commands
	go -C helm/tests test $(TESTFLAGS) ./...

.PHONY: tidy-check
tidy-check: ## go.mod and go.sum of every module are exact
	scripts/tidy-check.sh

# The benchmarks build first, so that what is measured is never the compiler. ONLY=row,row measures some
# rows of the trainjob ones.
BENCHFLAGS = --data $(DATA) $(if $(ONLY),--only $(ONLY))

.PHONY: bench-quality
bench-quality: build ## ranking quality on the public data sets of DATA (hours); writes docs/benchmarks.md
	bin/trainjob bench quality $(BENCHFLAGS)

.PHONY: bench-speed
bench-speed: build ## kernels, training, encoding, top-k, then REST and ingest; writes docs/benchmarks.md
	code=0; bin/trainjob bench speed $(BENCHFLAGS) || code=$$?; $(if $(ONLY),,bin/recsvc bench speed || code=$$?;) exit $$code

.PHONY: bench-lifelong
bench-lifelong: build ## second stages over lifelong histories: quality, known truth, speed (hours); writes docs/benchmarks.md
	code=0; bin/trainjob bench lifelong $(BENCHFLAGS) || code=$$?; $(if $(ONLY),,bin/recsvc bench lifelong || code=$$?;) exit $$code

.PHONY: bench-night
bench-night: build ## two nights around a day on MovieLens-1M of DATA, bad models at the gate; writes docs/benchmarks.md
	bin/trainjob bench night $(BENCHFLAGS)

.PHONY: bench-faults
bench-faults: build ## kill -9, model swaps under load, allocations; writes docs/benchmarks.md
	bin/recsvc bench faults

# Where services-up notes what it has started.
SERVICES ?= $(or $(TMPDIR),/tmp)/seqrec-services.env

.PHONY: services-up
services-up: ## real servers on free ports, with data in a temporary folder, to play with
	scripts/install-test-deps.sh
	go run ./tools/services up $(SERVICES)

.PHONY: services-down
services-down: ## end them
	go run ./tools/services down $(SERVICES)

.PHONY: bench-redis
bench-redis: build ## memory, latency and absence of Redis; writes docs/benchmarks.md
	bin/recsvc bench redis

.PHONY: bench-stream
bench-stream: build ## Kafka to the store: events a second on one core, time until an event counts; writes docs/benchmarks.md
	bin/recsvc bench stream

.PHONY: bench-stream-faults
bench-stream-faults: build ## kill -9 ingester and broker while a million events stream, then count; writes docs/benchmarks.md
	bin/recsvc bench stream-faults

.PHONY: ci
ci: ## what continuous integration runs
	.ci/run

.PHONY: clean
clean: ## remove what build leaves
	rm -rf bin
