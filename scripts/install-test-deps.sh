#!/usr/bin/env bash
# Installs what the tests need and a fresh Debian machine lacks. Go itself must be there.
#
#   scripts/install-test-deps.sh          the page's headless Chromium; Redis; Java, Maven and the jars of Apache Kafka
#   scripts/install-test-deps.sh race     also a C compiler, which the race detector links with
#
# SEQREC_SKIP_BROWSER=1 leaves the browser out; the page's test is skipped then.
# Does nothing for what is already installed. Building and running the product needs neither.
set -euo pipefail

say() { printf 'install-test-deps: %s\n' "$*" >&2; }

need_go() {
    command -v go >/dev/null && return
    say "no go command. Install Go 1.26 or newer (https://go.dev/dl) and put it on PATH."
    exit 1
}

have_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable headless-shell chromium-headless-shell; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

# A compiler without the headers of the C library links nothing.
have_compiler() { echo 'int main(void) { return 0; }' | "${CC:-gcc}" -x c -include stdlib.h -o /dev/null - 2>/dev/null; }

# as_root runs a command as root, directly or through sudo without a password prompt.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        say "cannot install as user $(id -un): become root, or run: apt-get install -y ${packages[*]}"
        exit 1
    fi
}

need_go
packages=()
[ -n "${SEQREC_SKIP_BROWSER:-}" ] || have_browser || packages+=(chromium)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
if [ "${1:-}" = race ]; then
    have_compiler || packages+=(gcc libc6-dev)
fi
if [ ${#packages[@]} -eq 0 ]; then
    exec "$(dirname "$0")/kafka-jars.sh" >/dev/null
fi
if ! command -v apt-get >/dev/null; then
    say "missing: ${packages[*]}, and this is not a Debian machine (no apt-get). Install them by your system's own means."
    exit 1
fi
say "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq </dev/null
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null
exec "$(dirname "$0")/kafka-jars.sh" >/dev/null
