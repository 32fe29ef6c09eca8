#!/usr/bin/env bash
# Regenerates what is generated, in the tree, or with "check" in a copy of it that must come out equal.
set -euo pipefail
cd "$(dirname "$0")/.."

generate() { go generate ./...; }

if [ "${1:-}" != check ]; then
    generate
    exit 0
fi

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done >"$copy/list"
mkdir "$copy/before" "$copy/after"
for side in before after; do
    tar --null --files-from "$copy/list" -cf - | tar -xf - -C "$copy/$side"
done
(cd "$copy/after" && generate)
if ! diff -r -u "$copy/before" "$copy/after"; then
    echo "generate: committed files differ from what the generators write; run: make generate" >&2
    exit 1
fi
echo "generate: nothing differs"
