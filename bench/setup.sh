#!/bin/sh
# Builds the peers: programs in Rust into bench/target, environments for those in Python into bench/venvs.
# What is there already and unchanged is left alone. Needs wrk, nginx, taskset and Node.js from the system's packages.
set -eu
cd "$(dirname "$0")"

for program in wrk nginx taskset strip cargo node npm; do
    command -v "$program" >/dev/null || {
        echo "$program is missing (Debian: apt-get install wrk nginx util-linux binutils nodejs npm; cargo: rustup.rs)" >&2
        exit 1
    }
done

CARGO_TARGET_DIR=target nice cargo build --quiet --release --locked --manifest-path servers/Cargo.toml

if [ ! servers/ws_node/node_modules/.package-lock.json -nt servers/ws_node/package-lock.json ]; then
    npm ci --silent --no-audit --no-fund --prefix servers/ws_node
    touch servers/ws_node/node_modules/.package-lock.json
fi

for requirements in servers/requirements-*.txt; do
    name=${requirements#servers/requirements-}
    folder=venvs/${name%.txt}
    if [ "$folder/.installed" -nt "$requirements" ]; then
        continue
    fi
    test -x "$folder/bin/python" || python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    touch "$folder/.installed"
done
