#!/usr/bin/env bash
# Runs every fuzz target from its seeds: fuzz/run.sh [SECONDS [SEED]], 20 s each by default.
# Failing inputs are written to fuzz/artifacts; the corpus is kept in fuzz/corpus for the next run.
# With the same SEED, a number, and no corpus, the inputs are reproducible, as CI needs it. Without
# a SEED each run tries other inputs.
# Needs cargo-fuzz and a C++ compiler. Runs without a sanitizer and thus without a nightly toolchain:
# the gate has no unsafe code, and the targets look for panics and failed assertions.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
seed=${2:-0} # 0: a random seed
for target in $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml); do
    mkdir -p "corpus/$target"
    cargo fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -seed="$seed" -runs=5000000 -max_len=2048
done
