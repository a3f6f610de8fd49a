#!/usr/bin/env bash
# Builds the services and what floods them, and runs it. Arguments are those of `flood`.
set -euo pipefail

# The same packages at once as in chassis/examples/bench_bus/bench.sh, so that they are built once.
services=(-p svc-watcher -p svc-enricher -p svc-redactor -p svc-llm -p svc-actuator -p svc-notifier -p svc-audit)
cargo build --quiet --locked --release "${services[@]}" -p bonesetter-testbed --bins
cargo build --quiet --locked --release -p bonesetter-soak --bin flood
"$CARGO_TARGET_DIR/release/flood" "$@"
