#!/usr/bin/env bash
# Installs cargo-deny into the cache, once per version.
set -euo pipefail

version=0.20.2
root=$HOME/.cache/bonesetter/tools
if [ "$("$root/bin/cargo-deny" --version 2> /dev/null)" != "cargo-deny $version" ]; then
    echo "building cargo-deny $version"
    CARGO_TARGET_DIR=$HOME/.cache/bonesetter/tools-target \
        cargo install --quiet --locked --root "$root" --version "$version" cargo-deny
fi
