# `make` lists the commands. See CONTRIBUTING.md.

.DEFAULT_GOAL := help

PYTHON ?= python3
# For test-matrix it is a version: the environment that the matrix is run from is python3's.
MATRIX_PYTHON := $(filter 3.%,$(PYTHON))
ifneq ($(MATRIX_PYTHON),)
override PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/airflow-3.3.txt
STAMP := $(VENV)/.installed
BENCH := .bench
# Tests start many processes, each of which would compile the same modules.
unexport PYTHONDONTWRITEBYTECODE
BENCH_STAMP := $(BENCH)/.installed

.PHONY: help install demo test test-all test-matrix test-ui test-cluster simulate bench bench-report lint format docs dist constraints clean

# The targets of this file, with the text after '##'.
help: ## List these commands.
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the environment in .venv/.

demo: $(STAMP) ## Run the quickstart in a real Airflow, against the sandbox.
	@$(BIN)/python scripts/demo.py

# Six at a time on two cores: the tests mostly wait.
test: lint ## Lint, and run all tests but the slow ones, with coverage.
	$(BIN)/pytest -n 6 -m "not slow" --cov

test-all: lint ## Lint, and run all tests.
	$(BIN)/pytest -n 6 --cov

# Every Airflow and Python we support, or one: make test-matrix AIRFLOW=2.11 PYTHON=3.11
test-matrix: $(STAMP) ## Run the tests on every Airflow and Python, or one: AIRFLOW=2.11 PYTHON=3.11
	$(BIN)/python scripts/test_matrix.py --airflow '$(AIRFLOW)' --python '$(MATRIX_PYTHON)' $(if $(TESTS),-- $(TESTS))

# The web UI in Chromium; with new pictures for the docs: make test-ui SCREENSHOTS=docs/images
test-ui: $(STAMP) ## Run the tests of the web UI in Chromium.
	SCREENSHOTS='$(SCREENSHOTS)' $(BIN)/pytest tests/ui

# CeleryExecutor with two workers; needs Debian's packages postgresql and redis-server, and Linux.
test-cluster: $(STAMP) ## Run the tests on two Celery workers.
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .cluster
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .cluster/bin/python --constraint $(CONSTRAINTS) --group test --group cluster --editable '.[sandbox]'
	.cluster/bin/pytest -m cluster tests/cluster

# Bulk conversions on a simulated clock, each seed with its own faults, kills and reruns; SEED=n replays one.
simulate: $(STAMP) ## Run bulk conversions on a simulated clock: SEEDS=1000 of them, or SEED=n again.
	@$(BIN)/python -m tests.support.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

# Side by side with what a user would pick instead, or some of it: make bench SECTIONS="export latency"
bench: $(BENCH_STAMP) ## Measure this provider and its alternatives; SECTIONS=export for one section.
	$(BENCH)/bin/python -m benchmarks.run $(SECTIONS)

# The tables and pictures again, from what was measured last.
bench-report: $(BENCH_STAMP) ## Write the page of benchmarks again, without measuring.
	$(BENCH)/bin/python -m benchmarks.run --report

# Of actionlint there is no wheel, so it runs where it is installed.
lint: $(STAMP) ## Check code, types and workflows.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/zizmor --offline --no-progress --quiet --pedantic .github
	@if command -v actionlint > /dev/null; then actionlint; fi

format: $(STAMP) ## Format the code, and fix what ruff can fix.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The site, in docs/_build/html/index.html. It is built without a network, and read without one.
docs: $(STAMP) ## Build the documentation in docs/_build/html/.
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env --write-all docs docs/_build/html

# An sdist and the wheel that is built from it, as the release workflow publishes them.
dist: $(STAMP) ## Build what is released, in dist/, and check it.
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

# Made anew when what it holds changes; otherwise a second run costs nothing. It is compiled, since many tests start
# Airflow in a process of its own, also where PYTHONDONTWRITEBYTECODE is set.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, and $(PYTHON) is " + sys.version.split()[0] + "; name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@echo "Making the environment in $(VENV)/; the first time this downloads Airflow."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint $(CONSTRAINTS) --group dev --editable '.[sandbox]'
	@touch $@

$(BENCH_STAMP): $(STAMP) benchmarks/requirements.txt
	@echo "Making the environment of the benchmarks in $(BENCH)/."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCH)
	@$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --constraint $(CONSTRAINTS) \
		--requirement benchmarks/requirements.txt --editable '.[sandbox,parquet,zstd]'
	@touch $@

# The versions that go together, for all Pythons we support: Airflow, our dependencies, the tools.
constraints: $(STAMP) ## Choose the newest versions for each Airflow, and write them to constraints/.
	$(BIN)/python scripts/constraints.py

clean: ## Remove all that these commands made.
	rm -rf $(VENV) $(BENCH) .matrix .cluster .demo build dist docs/_build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
