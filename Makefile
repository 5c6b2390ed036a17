# `make` prints what there is. Everything runs in .venv, which is made when it is needed and again when the locks change.

PYTHON ?= $(firstword $(shell command -v python3.11 python3))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --build-deps-for editable \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
# How many test processes; ARGS goes to the command: make serve ARGS="--port 9000", make test ARGS="-k health"
JOBS ?= 2
ARGS ?=
# Tests that share a browser or a server run in one process. The order is that of tests/support/selection.py.
PYTEST = $(BIN)/pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder
ON_POSTGRES = HECTOR_TEST_DATABASE=$${HECTOR_TEST_DATABASE:-embedded}
unexport PYTHONDONTWRITEBYTECODE  # the tests start hundreds of processes, which need not compile it all again

.DEFAULT_GOAL := help
.PHONY: help venv venv-dev serve test test-sqlite test-postgres test-faults check bench fmt openapi lock clean

help: ## prints this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: venv ## runs Hector: web server and workers, on SQLite, with a demo App
	@exec $(BIN)/hector serve $(ARGS)

test: test-sqlite test-postgres ## runs the tests on SQLite, then on a PostgreSQL server of their own

test-sqlite: venv-dev ## runs the tests on SQLite
	$(PYTEST) $(ARGS)

test-postgres: venv-dev ## runs the tests on PostgreSQL, but for those to which it makes no difference
	$(ON_POSTGRES) $(PYTEST) $(ARGS)

test-faults: venv-dev ## runs the whole fault matrix, and all else that `make test` runs a sample of, on both
	$(PYTEST) -m sampled --whole $(ARGS)
	$(ON_POSTGRES) $(PYTEST) -m sampled --whole $(ARGS)

check: venv-dev ## lints, checks types, imports and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	HECTOR_HOME=$(VENV)/check-home $(BIN)/hector makemigrations --check --dry-run

bench: venv-dev ## measures the figures that the product promises
	$(BIN)/python -m bench $(ARGS)

fmt: venv-dev ## formats the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

openapi: venv ## writes docs/openapi.json, which a test compares with the code
	HECTOR_HOME=$(VENV)/check-home $(BIN)/hector openapi > docs/openapi.json

lock: venv-dev ## compiles requirements*.txt from pyproject.toml again
	$(LOCK) --upgrade --output-file requirements.txt pyproject.toml
	$(LOCK) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

clean: ## removes .venv; state in .hector stays
	rm -rf $(VENV)

venv: $(VENV)/product.stamp ## makes .venv with what Hector needs

venv-dev: $(VENV)/dev.stamp ## makes .venv with what its tests and tools need too

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Hector needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/product.stamp: $(VENV)/python.stamp requirements.txt pyproject.toml
	@echo "Installing requirements.txt"
	@$(PIP) install --require-hashes --requirement requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/product.stamp requirements-dev.txt
	@echo "Installing requirements-dev.txt"
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@
