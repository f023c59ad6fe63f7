# What people and CI call. `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
GATEWAY := $(BIN)/nexus-gateway
# Looked for only where it is needed: asking six interpreters takes a second with some installers.
PYTHON = $(shell for name in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$name; break; }; done)
UV = $(shell command -v uv || echo $(BIN)/uv)
NATIVE := Cargo.toml Cargo.lock core/Cargo.toml bind/Cargo.toml \
	$(shell find core/src bind/src -name '*.rs' 2>/dev/null)

.PHONY: help setup run test test-python test-rust check format lint types imports stubs rust \
	bench docs clean

help:
	@echo 'setup   create .venv and build the native module, where something changed'
	@echo 'run     set up and serve on NEXUS_HOST:NEXUS_PORT (127.0.0.1:8000)'
	@echo 'test    run the tests of both languages, with coverage'
	@echo 'check   format, lint, types, imports'
	@echo 'bench   measure the gateway and its peers; rewrites the table of README.md'
	@echo 'docs    rewrite the reference pages that come from the code'
	@echo 'clean   remove what was built, and .venv'

setup: $(STAMP)
	@:

$(STAMP): pyproject.toml uv.lock $(NATIVE)
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.90 or newer (rustup.rs)' >&2; exit 1; }
	@test -n '$(PYTHON)' || { echo 'no Python 3.11 or newer was found on the PATH' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet 'uv>=0.8'
	$(UV) sync --quiet --frozen --inexact --all-extras --reinstall-package nexus-gateway
	@touch $@

run: $(STAMP)
	@exec $(GATEWAY) serve

test: test-python test-rust

test-python: $(STAMP)
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report=term

test-rust:
	cargo test --quiet --locked -p nexus-core

check: format lint types imports stubs rust

format: $(STAMP)
	$(BIN)/ruff format --check
	cargo fmt --all --check

lint: $(STAMP)
	$(BIN)/ruff check

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/python -m pyright --project pyproject.toml

imports: $(STAMP)
	$(BIN)/lint-imports

stubs: $(STAMP)
	$(BIN)/python -m mypy.stubtest nexus_gateway._core --allowlist tests/typing/stubtest-allowlist.txt

rust:
	cargo clippy --quiet --locked --all-targets -- -D warnings

bench: $(STAMP)
	$(BIN)/python bench/bench.py

docs: $(STAMP)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) target .coverage .coverage.* coverage.xml htmlcov
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find nexus_gateway -name '*.so' -delete
