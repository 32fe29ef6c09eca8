#!/usr/bin/env bash
# gofmt, go vet (amd64, arm64, without assembly) and the rules of .golangci.yml, over all that git tracks or would.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.go')
existing=()
for file in "${files[@]}"; do
    if [ -f "$file" ]; then existing+=("$file"); fi
done
unformatted=$(gofmt -l "${existing[@]}")
if [ -n "$unformatted" ]; then
    printf 'lint: not gofmt-ed:\n%s\n' "$unformatted" >&2
    exit 1
fi

GOARCH=amd64 go vet ./...
GOARCH=arm64 go vet ./...
go vet -tags purego ./...

"$(scripts/golangci-lint.sh)" run ./...
echo "lint: ${#existing[@]} files"
