# `make demo` shows it, `make test` checks it. See CONTRIBUTING.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/airflow-3.3.txt
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lint constraints clean

demo: $(STAMP)
	@$(BIN)/python scripts/demo.py

test: lint
	$(BIN)/pytest -m "not slow" --cov

test-all: lint
	$(BIN)/pytest --cov

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Made anew when what it holds changes; otherwise a second run costs nothing.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, and $(PYTHON) is " + sys.version.split()[0] + "; name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@echo "Making the environment in $(VENV)/; the first time this downloads Airflow."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group dev --editable '.[sandbox]'
	@touch $@

# The versions that go together, for all Pythons we support: newest Airflow 3.3, our dependencies, the tools.
constraints: $(STAMP)
	echo 'apache-airflow==3.3.*' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		--no-emit-index-url --no-annotate --custom-compile-command 'make constraints' \
		--group dev --all-extras --output-file $(CONSTRAINTS) pyproject.toml -

clean:
	rm -rf $(VENV) .demo build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
