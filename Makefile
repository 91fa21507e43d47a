# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
# The tasks of the project: `make help`.
# lint, types and coverage need what requirements-dev.txt names; the corpus needs cargo.

PYTHON ?= python3
BENCH := build/bench-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
REFERENCE = cargo run --quiet --release --locked --manifest-path corpus/reference/Cargo.toml --

.PHONY: help test test-all test-pyodide verify vendor corpus corpus-check lint types coverage bench bench-serving bench-runs pictures clean

help: ## Print the tasks
	@grep -E '^[a-z-]+:.* ##' Makefile | sed 's/:[^#]* ## /\t/' | expand -t 16

test: ## Run the tests; needs nothing but Python
	$(PYTHON) -W error -m unittest discover -t . -s tests

test-all: ## Run the tests in their long forms: more rounds, more sizes
	TEST_ALL=1 $(PYTHON) -W error -m unittest discover -t . -s tests

test-pyodide: ## Run the tests on CPython 3.14 in WebAssembly; needs node, npm and git
	$(PYTHON) -m tests.gates.pyodide

verify: ## Check this copy against the corpus
	$(PYTHON) -m axon_events verify

vendor: ## Copy the package into a repository: make vendor DEST=path [CLI=1 | ONLY="order sse"] [FORCE=1]
	@$(PYTHON) -m tools.vendor $(if $(filter 1,$(CLI)),--cli) $(if $(filter 1,$(FORCE)),--force) \
		$(if $(filter-out undefined,$(origin ONLY)),--only="$$ONLY") -- "$$DEST"

corpus: ## Let the reference write what it writes into the corpus
	$(REFERENCE) write corpus

corpus-check: ## Test the reference, and compare the corpus with it and with this copy
	cargo test --quiet --release --locked --manifest-path corpus/reference/Cargo.toml
	$(REFERENCE) check corpus
	$(PYTHON) -m axon_events verify

lint: ## Check style and format, of Python and Rust
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	cargo fmt --check --manifest-path corpus/reference/Cargo.toml
	cargo clippy --quiet --release --locked --all-targets --manifest-path corpus/reference/Cargo.toml -- -D warnings

types: ## Check types with mypy --strict and pyright
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright
	$(PYTHON) -m tests.gates.exhaustive

coverage: ## Run the tests and require every branch of the package
	$(PYTHON) -m coverage erase
	$(PYTHON) -W error -m coverage run -m unittest discover -t . -s tests
	$(PYTHON) -m coverage combine
	$(PYTHON) -m coverage report

bench: $(BENCH)/installed ## Race the package against others, which get a venv of their own; prints Markdown; JSON=FILE also writes it there
	@$(BENCH)/bin/python -m benchmarks $(if $(JSON),--json "$$JSON")

bench-serving: $(BENCH)/installed ## Race servers of runs to many clients, likewise; needs Linux
	@$(BENCH)/bin/python -m benchmarks.serving

bench-runs: $(BENCH)/installed ## Measure runs in a store beside its floor, likewise; needs Linux and redis-server
	@$(BENCH)/bin/python -m benchmarks.runs

$(BENCH)/installed: benchmarks/requirements.txt
	@$(PYTHON) -m venv --clear $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

pictures: ## Draw the pictures of the README; needs Chromium and chromedriver
	$(PYTHON) -m tools.pictures

clean: ## Remove what the other tasks left
	rm -rf build dist .coverage .coverage.* .mypy_cache .ruff_cache corpus/reference/target \
		tests/gates/pyodide/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
