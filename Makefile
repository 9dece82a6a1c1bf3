# Every target makes its own virtual environment in .venv; nothing but Python 3 and pip is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

demo: $(VENV)/.dev  ## an agent that is killed in mid-run, resumes, is approved, and branches
	$(BIN)/python -m benches.demo

test: $(VENV)/.dev  ## the tests
	$(BIN)/python -m pytest

test-long: $(VENV)/.dev  ## the tests with their long profiles
	$(BIN)/python -m pytest --long

check: $(VENV)/.dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench  ## every workload against every peer (BENCH_ARGS=--quick for a short run)
	$(BIN)/python -m benches $(BENCH_ARGS)

clean:  ## remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis benches/out
