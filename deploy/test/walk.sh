#!/usr/bin/env bash
# From a fresh Debian to a guarded app: package, unit, signed 200, unsigned 418, a changed token
# without a restart, a port held by the socket unit, removal of the package. systemd runs as the first
# process of a container.
source "$(dirname "$0")/common.sh"

# GATEKEEPER_PACKAGE: an existing package to test.
package=${GATEKEEPER_PACKAGE:-}
if [ -z "$package" ]; then
    say "the package"
    need dpkg-shlibdeps dpkg-dev
    command -v cargo-deb >/dev/null ||
        cargo install -q --locked --debug --no-default-features --features gzip cargo-deb@3.8.0
    bash deploy/package.sh
    command -v cargo-cyclonedx >/dev/null || cargo install -q --locked --debug cargo-cyclonedx@0.5.9
    bash deploy/sbom.sh
    python3 - <<'END'
import json, subprocess

tree = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]
lines = subprocess.run(tree, check=True, capture_output=True, text=True).stdout.splitlines()
crates = {line.split()[0] for line in lines if line} - {"twilio-gatekeeper"}
listed = {part["name"] for part in json.load(open("target/gatekeeper.cdx.json"))["components"]}
missing = sorted(crates - listed)
print(f"SBOM: {len(listed)} components, {len(missing)} of {len(crates)} crates missing")
raise SystemExit("\n".join(missing) or 0)
END
    package=$(ls -t target/debian/gatekeeper_*.deb | head -1)
fi
mkdir "$work/packages"
cp "$package" "$work/packages/gatekeeper.deb"
dpkg-deb --info "$package" | sed -n '/Package/,/Description/p'

source "$test_folder/daemon.sh"
say "a fresh Debian with systemd"
debian_root "$work/debian"
# The test's app needs Python; the package installs what the gate needs.
chroot "$work/debian" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends systemd systemd-sysv python3 man-db' >"$work/apt.log" 2>&1 ||
    { tail -20 "$work/apt.log" >&2; exit 1; }
tar -C "$work/debian" -c . | docker import - fresh-debian >/dev/null
mine=(walk)
# systemd needs to mount, and to see the processes of its services.
docker run -d --name walk --cap-add SYS_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined \
    --security-opt apparmor=unconfined --cgroupns private --tmpfs /run --tmpfs /run/lock --tmpfs /tmp \
    -e container=docker -v "$test_folder:/test:ro" -v "$work/packages:/packages:ro" \
    fresh-debian sh -c 'mount --make-rshared / && exec /sbin/init' >/dev/null
inside() { docker exec walk "$@"; }
booted() { inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; }
until_true 30 booted

inside bash -euo pipefail /test/walk_inside.sh /packages/gatekeeper.deb ||
    { inside journalctl -u gatekeeper --no-pager -n 60 >&2; exit 1; }
say "walk: all passed"
