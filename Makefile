# The commands of this project; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE ?= 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## install everything into .venv/

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bayplan needs Python 3.11 or newer; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV)/ (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: controlplane
controlplane: $(STAMP) ## build the local control plane (once, about 6 minutes; cached outside the checkout)
	@$(BIN)/bayplan cluster build

.PHONY: demo
demo: $(STAMP) ## run three teams' work on a local cluster of 24 fake GPU nodes (ARGS=--keep leaves it running)
	@$(BIN)/bayplan demo $(ARGS)

.PHONY: check
check: $(STAMP) ## format, lint, types, architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo

.PHONY: test
test: controlplane ## everything that has to pass, cluster tests included
	@# Whole files, in their order: those of a folder share what takes long to start, each worker its own.
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-fast
test-fast: $(STAMP) ## the tests that need no control plane, without the long ones (with make check: two minutes)
	@$(BIN)/python -m pytest -n 2 -m 'not cluster and not long'

.PHONY: bench
bench: controlplane ## measure against the default scheduler, side by side (ARGS=... for one benchmark)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: format
format: $(STAMP) ## format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: proto
proto: $(STAMP) ## regenerate the gRPC code from the .proto files
	@$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. scheduler/rpc/bayplan.proto scheduler/exporter/podresources.proto

.PHONY: lock
lock: ## resolve requirements.lock anew (needs uv)
	@uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-header --no-annotate --extra dev pyproject.toml -o requirements.lock

.PHONY: clean
clean: ## remove what was built here (not the cached control plane)
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
