# What people and CI call. `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
TOOLS := $(VENV)/.tools
GATEWAY := $(BIN)/nexus-gateway
# Looked for only where it is needed: asking six interpreters takes a second with some installers.
PYTHON = $(shell for name in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$name; break; }; done)
UV = $(shell command -v uv || echo $(BIN)/uv)
# The dashboard and the TypeScript client need a Node that Vite runs on; all else goes without.
NODE := $(shell node -e 'const [major, minor] = process.versions.node.split("."); \
	process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)' 2>/dev/null \
	&& command -v npm >/dev/null && echo yes)
WITHOUT_NODE := Node 20.19 or newer with npm is missing:
# Most tests wait for servers and clocks, so that more processes than processors are of use. Each
# process starts servers of its own; the tests of a file stay together and share them.
TEST_PROCESSES ?= $(shell n=`getconf _NPROCESSORS_ONLN`; echo $$((n < 7 ? n + 1 : 8)))
# The project itself is installed by pip, which shows the progress of cargo.
SYNC = $(UV) sync --frozen --inexact --no-install-project
MODULES := node_modules/.package-lock.json
PAGE := nexus_gateway/studio/dashboard/dist/index.html
PAGE_SOURCES := $(shell find dashboard clients/typescript -not -path '*/node_modules/*' -type f 2>/dev/null)
NATIVE := Cargo.toml Cargo.lock core/Cargo.toml bind/Cargo.toml \
	$(shell find core/src bind/src bind/build.rs -name '*.rs' 2>/dev/null)

.PHONY: help setup run test test-python test-rust test-node contract check format lint words sizes types imports stubs \
	rust node page bench docs clean

help:
	@echo 'setup   create .venv, build the native module and the dashboard, where something changed'
	@echo 'run     set up and serve on NEXUS_HOST:NEXUS_PORT (127.0.0.1:8000)'
	@echo 'test    run the tests of all three languages, with coverage'
	@echo 'check   format, lint, words, sizes, types, imports'
	@echo 'contract call the studio as its OpenAPI document allows, 150 cases of each operation'
	@echo 'bench   measure the gateway and its peers; rewrites the table of README.md'
	@echo 'docs    rewrite the reference pages that come from the code'
	@echo 'clean   remove what was built, and .venv'

setup: $(STAMP) page
	@:

# A page that cannot be built keeps nobody from serving: `/dashboard` says then what is missing.
page: $(if $(NODE),$(PAGE))
	@test -n '$(NODE)' || echo '$(WITHOUT_NODE) the dashboard is not built'

$(PAGE): $(MODULES) $(PAGE_SOURCES)
	@npm run --silent build --workspace dashboard -- --logLevel warn

$(MODULES): package-lock.json
	@npm ci --silent --no-fund --no-audit
	@touch $@

$(STAMP): pyproject.toml uv.lock $(NATIVE)
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.90 or newer (rustup.rs)' >&2; exit 1; }
	@test -n '$(PYTHON)' || { echo 'no Python 3.11 or newer was found on the PATH' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet 'uv>=0.8'
	@echo 'setup: Python packages'
	@$(SYNC) --no-default-groups --group build --extra client --extra studio
	@echo 'setup: the native module; the first build takes minutes'
	@. $(BIN)/activate && pip install --verbose --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What tests and checks need, and serving does not.
$(TOOLS): $(STAMP)
	@echo 'setup: Python packages of the tests and checks'
	@$(SYNC) --all-extras
	@touch $@

run: $(STAMP) page
	@exec $(GATEWAY) serve

test: test-python test-rust test-node

test-python: $(TOOLS) page
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report=term -n $(TEST_PROCESSES) --dist loadfile

test-rust:
	cargo test --quiet --locked -p nexus-core

# Schemathesis at length, with EXAMPLES cases of each operation; `SCHEMATHESIS_SEED` chooses others.
EXAMPLES ?= 150
contract: $(STAMP)
	SCHEMATHESIS_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/acceptance/test_conformance.py

# Skipped where there is no Node, but never where a change is judged.
test-node: $(if $(NODE),$(MODULES))
	@if test -n '$(NODE)'; then npm test --silent; \
	else echo '$(WITHOUT_NODE) the tests in TypeScript are skipped'; test -z "$$CI$$TEST_SERVERS_REQUIRED"; fi

check: format lint words sizes types imports stubs rust node

format: $(TOOLS)
	$(BIN)/ruff format --check
	cargo fmt --all --check

lint: $(TOOLS)
	$(BIN)/ruff check

# Names use the standard terms of docs/glossary.md.
words: $(TOOLS)
	$(BIN)/python checks/words.py

sizes: $(TOOLS)
	$(BIN)/python checks/sizes.py

types: $(TOOLS)
	$(BIN)/mypy
	$(BIN)/python -m pyright --project pyproject.toml

imports: $(TOOLS)
	$(BIN)/lint-imports

stubs: $(TOOLS)
	$(BIN)/python -m mypy.stubtest nexus_gateway._core --allowlist tests/typing/stubtest-allowlist.txt

rust:
	cargo clippy --quiet --locked --all-targets -- -D warnings

node: $(if $(NODE),$(MODULES))
	@if test -n '$(NODE)'; then npm run --silent check; \
	else echo '$(WITHOUT_NODE) the TypeScript is not checked'; test -z "$$CI$$TEST_SERVERS_REQUIRED"; fi

bench: $(TOOLS)
	$(BIN)/python bench/bench.py

docs: $(TOOLS)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) target .coverage .coverage.* coverage.xml htmlcov
	rm -rf node_modules nexus_gateway/studio/dashboard/dist clients/typescript/dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find nexus_gateway -name '*.so' -delete
