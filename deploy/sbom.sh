#!/usr/bin/env bash
# Writes target/gatekeeper.cdx.json: the crates of the binary (CycloneDX). Needs cargo-cyclonedx
# (`cargo install cargo-cyclonedx`).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename gatekeeper.cdx
mkdir -p target
sed "s|file://$PWD|file://.|g" gatekeeper.cdx.json >target/gatekeeper.cdx.json # removes the local path
rm gatekeeper.cdx.json
