#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: scripts/fuzz.sh [duration, default 10s].
# A find is written to the package's testdata/fuzz and fails the run; commit it with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-10s}

count=0
while IFS=: read -r file name; do
    package=./$(dirname "$file")
    echo "fuzz $package $name for $duration"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "$package"
    count=$((count + 1))
done < <(grep -rhoE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]+' cmd internal | sed 's/:func /:/' | sort)
echo "fuzz: $count targets"
[ "$count" -gt 0 ]
