#!/usr/bin/env bash
# Makes target/debian/gatekeeper_*.deb: the release binary, man pages and completions from its own
# definitions, the unit, and cargo-deb to put them together. Wants cargo-deb (`cargo install cargo-deb`).
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
