#!/usr/bin/env bash
# Writes target/gatekeeper.cdx.json: the crates that the binary is made of (CycloneDX). Wants
# cargo-cyclonedx (`cargo install cargo-cyclonedx`).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo cyclonedx --format json --describe binaries --override-filename gatekeeper.cdx --quiet
mkdir -p target
mv gatekeeper.cdx.json target/
