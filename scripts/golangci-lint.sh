#!/usr/bin/env bash
# Prints the path of golangci-lint in the one version this project is checked with, building it from
# source into the user's cache the first time (about two minutes of one core).
set -euo pipefail
version=v2.15.0
dir=${XDG_CACHE_HOME:-$HOME/.cache}/seqrec-tools/golangci-lint-$version
if [ ! -x "$dir/golangci-lint" ]; then
    echo "lint: building golangci-lint $version" >&2
    GOBIN=$dir GOFLAGS='' CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version" >&2
fi
echo "$dir/golangci-lint"
