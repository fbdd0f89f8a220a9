#!/usr/bin/env bash
# Everything under deploy/, tried for real or checked by its field's own tool. Root on a Debian 12;
# installs what it needs. all.sh [NAME…]: only these. Each script also runs by itself.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- files front sight docker walk
for name in "$@"; do
    began=$SECONDS
    bash "$name.sh"
    echo "=== $name.sh: $((SECONDS - began)) s"
done
