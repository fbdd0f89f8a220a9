#!/usr/bin/env bash
# Runs every fuzz target for a while, from its seeds: fuzz/run.sh [SECONDS [DICE]], 20 s each by
# default. What it finds lies in fuzz/artifacts; what it learns is kept in fuzz/corpus, for the next
# run. With the same DICE, a number, and no corpus yet, the inputs begin alike: so that CI judges the
# change and not its luck. Without, each run looks elsewhere: that is for whoever has time.
# Needs cargo-fuzz and a C++ compiler. No sanitizer, so no nightly toolchain: the gate has no unsafe
# code, and what is looked for are panics and broken promises.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
dice=${2:-0} # 0: others each time
for target in $(sed -n 's/^name = "\([a-z]*\)"$/\1/p' Cargo.toml); do
    mkdir -p "corpus/$target"
    cargo fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -seed="$dice" -runs=5000000 -max_len=2048
done
