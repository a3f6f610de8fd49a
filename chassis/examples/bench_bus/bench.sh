#!/usr/bin/env bash
# Builds the measurement of the bus, and the services that are looked at, and runs it beside the servers
# of the testbed, which it starts where they do not run (`make demo-down` stops them). What the measured
# stages log goes to a file, as in a cluster.
set -euo pipefail

services=(-p svc-watcher -p svc-enricher -p svc-redactor -p svc-llm -p svc-actuator -p svc-notifier -p svc-audit)
cargo build --quiet --locked --release "${services[@]}" -p bonesetter-testbed --bins
cargo build --quiet --locked --release -p bonesetter-chassis --example bench_bus
programs=$CARGO_TARGET_DIR/release
if [ -z "${BONESETTER_TESTBED:-}" ]; then
    "$programs/testbed" up
    export BONESETTER_TESTBED=$HOME/.cache/bonesetter/testbed/run/testbed.json
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$programs/examples/bench_bus" "$@" 2> "$log"
