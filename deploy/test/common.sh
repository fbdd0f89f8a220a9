# Shared by the scripts in this folder. To be sourced, not run.
# shellcheck shell=bash
set -euo pipefail
test_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$test_folder/../.." && pwd)
cd "$root"

token=0123456789abcdef0123456789abcdef
second_token=fedcba9876543210fedcba9876543210

say() { printf -- '--- %s\n' "$1"; }

# A folder of this run, and the processes that it started. Both are removed when the script ends.
work=$(mktemp -d)
started=()
end_started() {
    local id
    for id in "${started[@]}"; do
        kill "$id" 2>/dev/null || true
    done
    for id in "${started[@]}"; do
        wait "$id" 2>/dev/null || true
    done
}
at_end() { :; } # a script may override this
trap 'code=$?; at_end; end_started; rm -rf "$work"; exit $code' EXIT

# start LOG COMMAND…: runs in the background; killed by its pid when the script ends.
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 &
    started+=("$!")
}

# from_debian PACKAGE…
from_debian() {
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE…: installs the packages if the command is missing.
need() {
    command -v "$1" >/dev/null || from_debian "${@:2}"
}

# from_pypi NAME==VERSION…: installs into one virtual environment, kept under target/.
venv="$root/target/deploy-tools"
from_pypi() {
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install -q "$@"
}

ask() { python3 "$test_folder/ask.py" "$@"; }

# until_true SECONDS COMMAND…
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "gave up waiting for: $*" >&2; return 1; }
        sleep 0.2
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The release binary. .ci/run builds it before these scripts; otherwise it is built here.
gatekeeper="${GATEKEEPER_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/gatekeeper}"
need_gatekeeper() {
    [ -x "$gatekeeper" ] || cargo build --release --locked --bin gatekeeper
}

# debian_root FOLDER: a fresh Debian 12, the release of the shipped images.
debian_root() {
    need debootstrap debootstrap
    say "a Debian root"
    debootstrap --variant=minbase bookworm "$1" >"$work/debootstrap.log" 2>&1 ||
        { tail -20 "$work/debootstrap.log" >&2; return 1; }
    # Registries may be behind a proxy whose CA this machine trusts.
    mkdir -p "$1/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}
