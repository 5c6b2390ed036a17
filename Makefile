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

.DEFAULT_GOAL := help
.PHONY: help venv venv-dev serve test test-sqlite test-postgres check bench fmt openapi lock clean

help: ## prints this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: venv ## runs Hector: web server and workers, on SQLite, with a demo App
	@exec $(BIN)/hector serve $(ARGS)

test: test-sqlite test-postgres ## runs all tests on SQLite, then on a PostgreSQL server of their own

test-sqlite: venv-dev ## runs all tests on SQLite
	$(BIN)/pytest -n $(JOBS) $(ARGS)

test-postgres: venv-dev ## runs all tests on PostgreSQL
	HECTOR_TEST_DATABASE=$${HECTOR_TEST_DATABASE:-embedded} $(BIN)/pytest -n $(JOBS) $(ARGS)

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
