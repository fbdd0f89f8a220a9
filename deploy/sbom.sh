#!/usr/bin/env bash
# Writes target/gatekeeper.cdx.json: the crates that the binary is made of (CycloneDX). Wants
# cargo-cyclonedx (`cargo install cargo-cyclonedx`).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename gatekeeper.cdx
mkdir -p target
sed "s|file://$PWD|file://.|g" gatekeeper.cdx.json >target/gatekeeper.cdx.json # no path of this machine
rm gatekeeper.cdx.json
