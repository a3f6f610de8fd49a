#!/usr/bin/env bash
# Gets what the measurement of redaction needs into the cache, once, and runs it.
set -euo pipefail

cache=$HOME/.cache/bonesetter/bench
gitleaks_version=v8.30.0
here=$(cd "$(dirname "$0")" && pwd)

if [ -z "${LOGS:-}" ]; then
    LOGS=$cache/logs
    if ! ls "$LOGS"/*.log > /dev/null 2>&1; then
        echo "getting the samples of loghub"
        mkdir -p "$LOGS"
        sources=$(mktemp -d)
        if git clone --quiet --depth 1 https://github.com/logpai/loghub "$sources/loghub"; then
            cp "$sources"/loghub/*/*_2k.log "$LOGS"
        fi
        rm -rf "$sources"
    fi
fi
if [ -z "${GITLEAKS:-}" ]; then
    GITLEAKS=$cache/bin/gitleaks
    if [ ! -x "$GITLEAKS" ]; then
        echo "building gitleaks $gitleaks_version"
        GOBIN=$cache/bin go install "github.com/zricethezav/gitleaks/v8@$gitleaks_version" || GITLEAKS=
    fi
fi
export DATA=${DATA:-} LOGS GITLEAKS
cargo build --quiet --locked --release -p bonesetter-redact --example bench
exec python3 "$here/bench.py" "$CARGO_TARGET_DIR/release/examples/bench"
