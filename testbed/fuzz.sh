#!/usr/bin/env bash
# Lets libFuzzer choose inputs for every target of bonesetter-fuzz, for so many minutes altogether.
# usage: fuzz.sh MINUTES
set -euo pipefail

minutes=$1
version=0.13.2
here=$(cd "$(dirname "$0")/.." && pwd)
cache=$HOME/.cache/bonesetter
tools=$cache/tools
if ! rustup run nightly rustc --version > /dev/null 2>&1; then
    echo "libFuzzer needs a nightly compiler: rustup toolchain install nightly" >&2
    exit 1
fi
if [ "$("$tools/bin/cargo-fuzz" --version 2> /dev/null)" != "cargo-fuzz $version" ]; then
    echo "building cargo-fuzz $version"
    CARGO_TARGET_DIR=$tools-target cargo install --quiet --locked --root "$tools" --version "$version" cargo-fuzz
fi
targets=(text object egress injection evidence)
seconds=$((minutes * 60 / ${#targets[@]}))
export CARGO_TARGET_DIR=$cache/fuzz-target
fuzz() {
    (cd "$here/fuzz/libfuzzer" && rustup run nightly "$tools/bin/cargo-fuzz" fuzz "$@")
}
fuzz build --fuzz-dir .
inputs=0
crashes=0
for target in "${targets[@]}"; do
    corpus=$cache/fuzz/corpus/$target
    artifacts=$cache/fuzz/artifacts/$target/
    log=$cache/fuzz/$target.log
    mkdir -p "$corpus" "$artifacts"
    echo "$target: $seconds s"
    if ! fuzz run --fuzz-dir . "$target" "$corpus" -- -max_total_time="$seconds" -max_len=2048 -timeout=20 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$artifacts" > "$log" 2>&1; then
        crashes=$((crashes + 1))
        tail -n 40 "$log"
        echo "$target: stopped by an input in $artifacts"
    fi
    executed=$(awk '/stat::number_of_executed_units/ {print $2}' "$log")
    inputs=$((inputs + ${executed:-0}))
done
echo "result: fuzz minutes=$minutes targets=${#targets[@]} inputs=$inputs crashes=$crashes"
[ "$crashes" -eq 0 ]
