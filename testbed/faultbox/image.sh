#!/usr/bin/env bash
# Builds faultbox for this machine's architecture as one static binary, and an image that holds
# nothing else.
#   image.sh NAME:TAG     the name under which the cluster will pull it
set -euo pipefail

image=${1:?the name of the image, such as registry.example.com/faultbox:1}
here=$(dirname "$(readlink -f "$0")")
folder=$HOME/.cache/bonesetter/faultbox
triple=$(uname -m)-unknown-linux-gnu
archive=$folder/image.tar

command -v buildah > /dev/null 2>&1 || {
    echo "this machine lacks buildah, which builds the image: apt-get install buildah" >&2
    exit 1
}
# `+crt-static` needs an explicit target, or procedural macros would be linked statically too.
RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$folder/target \
    cargo build --quiet --locked --release --package faultbox --target "$triple" \
    --manifest-path "$here/Cargo.toml"
context=$(mktemp --directory)
trap 'rm -rf "$context"' EXIT
cp "$folder/target/$triple/release/faultbox" "$context/"
buildah build --quiet --timestamp 0 --file "$here/Containerfile" --tag "$image" "$context" > /dev/null
rm -f "$archive"
buildah push --quiet "$image" "oci-archive:$archive:$image"
echo "built $image; take it to the cluster, one of both:"
echo "  buildah push $image                      # to the registry of that name"
echo "  ctr --namespace k8s.io images import $archive   # on each node with containerd"
echo "then: make demo KUBECONFIG=... DEMO_IMAGE=$image"
