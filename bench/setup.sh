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

# Every server in Python runs on the newest Python of this machine: BENCH_PYTHON, or the first of these.
newest() {
    for candidate in ${BENCH_PYTHON:-} python3.14 python3.13 python3.12 \
        "$(pyenv root 2>/dev/null)"/versions/3.14.*/bin/python3 \
        "$(pyenv root 2>/dev/null)"/versions/3.13.*/bin/python3 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo 'no Python 3.12 or newer was found: set BENCH_PYTHON' >&2
    exit 1
}
python=$(newest)

# The gateway on the same Python as its peers; its native module serves every version.
if [ ! venvs/gateway/.installed -nt ../uv.lock ]; then
    UV_PROJECT_ENVIRONMENT=bench/venvs/gateway ../.venv/bin/uv sync --project .. --quiet --frozen \
        --no-install-project --no-default-groups --extra client --extra studio \
        --python "$("$python" -c 'import sys; print(sys.executable)')"
    touch venvs/gateway/.installed
fi

for requirements in servers/requirements-*.txt; do
    name=${requirements#servers/requirements-}
    folder=venvs/${name%.txt}
    if [ "$folder/.installed" -nt "$requirements" ]; then
        continue
    fi
    "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null ||
        "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    touch "$folder/.installed"
done
