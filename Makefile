# `make demo` shows it, `make test` checks it. See CONTRIBUTING.md.

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
BENCH_STAMP := $(BENCH)/.installed

.PHONY: demo test test-all test-matrix test-ui test-cluster bench bench-report lint docs constraints clean

demo: $(STAMP)
	@$(BIN)/python scripts/demo.py

# Four at a time, however many cores: the tests mostly wait.
test: lint
	$(BIN)/pytest -n 4 -m "not slow" --cov

test-all: lint
	$(BIN)/pytest -n 4 --cov

# Every Airflow and Python we support, or one: make test-matrix AIRFLOW=2.11 PYTHON=3.11
test-matrix: $(STAMP)
	$(BIN)/python scripts/test_matrix.py --airflow '$(AIRFLOW)' --python '$(MATRIX_PYTHON)' $(if $(TESTS),-- $(TESTS))

# The web UI in Chromium; with new pictures for the docs: make test-ui SCREENSHOTS=docs/images
test-ui: $(STAMP)
	SCREENSHOTS='$(SCREENSHOTS)' $(BIN)/pytest tests/ui

# CeleryExecutor with two workers; needs Debian's packages postgresql and redis-server, and Linux.
test-cluster: $(STAMP)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .cluster
	@$(BIN)/uv pip install --quiet --python .cluster/bin/python --constraint $(CONSTRAINTS) --group dev --group cluster --editable '.[sandbox]'
	.cluster/bin/pytest -m cluster tests/cluster

# Side by side with what a user would pick instead, or some of it: make bench SECTIONS="export latency"
bench: $(BENCH_STAMP)
	$(BENCH)/bin/python -m benchmarks.run $(SECTIONS)

# The tables and pictures again, from what was measured last.
bench-report: $(BENCH_STAMP)
	$(BENCH)/bin/python -m benchmarks.run --report

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The site, in docs/_build/html/index.html. It is built without a network, and read without one.
docs: $(STAMP)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env --write-all docs docs/_build/html

# Made anew when what it holds changes; otherwise a second run costs nothing.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, and $(PYTHON) is " + sys.version.split()[0] + "; name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@echo "Making the environment in $(VENV)/; the first time this downloads Airflow."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group dev --editable '.[sandbox]'
	@touch $@

$(BENCH_STAMP): $(STAMP) benchmarks/requirements.txt
	@echo "Making the environment of the benchmarks in $(BENCH)/."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCH)
	@$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --constraint $(CONSTRAINTS) \
		--requirement benchmarks/requirements.txt --editable '.[sandbox,parquet,zstd]'
	@touch $@

# The versions that go together, for all Pythons we support: Airflow, our dependencies, the tools.
constraints: $(STAMP)
	$(BIN)/python scripts/constraints.py

clean:
	rm -rf $(VENV) $(BENCH) .matrix .cluster .demo build dist docs/_build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
