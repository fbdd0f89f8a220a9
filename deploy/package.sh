#!/usr/bin/env bash
# Builds target/debian/gatekeeper_*.deb from the release binary, man pages and completions that the
# binary generates, and the unit. Needs cargo-deb (`cargo install cargo-deb`).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -z "${CARGO_TARGET_DIR:-}" ] || [ "$CARGO_TARGET_DIR" -ef target ] ||
    { echo "Cargo.toml names the files under target/: unset CARGO_TARGET_DIR" >&2; exit 64; }

cargo build --release --locked --bin gatekeeper
gatekeeper=target/release/gatekeeper
rm -rf target/deploy
mkdir -p target/deploy/man
"$gatekeeper" man target/deploy/man
"$gatekeeper" completions bash >target/deploy/gatekeeper.bash
"$gatekeeper" completions zsh >target/deploy/_gatekeeper
"$gatekeeper" completions fish >target/deploy/gatekeeper.fish
cargo deb --no-build --locked
