#!/usr/bin/env bash
# Tests everything under deploy/, by running it or with the tool of its field. Needs root on a
# Debian 12; installs what it needs. all.sh [NAME…] runs only these. Each script also runs by itself.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- files front doctor sight docker walk
for name in "$@"; do
    began=$SECONDS
    bash "$name.sh"
    echo "=== $name.sh: $((SECONDS - began)) s"
done
