#!/usr/bin/env bash
# Every go.mod and go.sum of the tree says exactly what the code needs, and what was downloaded is
# what go.sum promises.
set -euo pipefail
cd "$(dirname "$0")/.."

while IFS= read -r mod; do
    dir=$(dirname "$mod")
    echo "tidy $dir"
    go -C "$dir" mod tidy -diff
    go -C "$dir" mod verify
done < <(git ls-files --cached --others --exclude-standard '*go.mod')
