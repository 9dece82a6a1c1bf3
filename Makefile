# Every target makes its own virtual environment in .venv; nothing but Python 3 and pip is needed.
PYTHON ?= python3
OLDEST_PYTHON ?= $(shell python3.10 -c '' 2>/dev/null && echo python3.10 || echo $(PYTHON))
ASAP_PYTHON ?= $(shell for python in python3.13 python3.14 python3 \
	$(wildcard $(HOME)/.pyenv/versions/3.1[3-9].*/bin/python); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PYTEST := -m pytest -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-reliability test-oldest test-asap test-long conformance reliability \
	reliability-long check bench clean

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

test: $(VENV)/.dev  ## the tests, except those that inject many faults
	$(BIN)/python $(PYTEST) -m "not faults"

test-reliability: $(VENV)/.dev  ## the tests that inject many faults
	$(BIN)/python $(PYTEST) -m faults

test-oldest:  ## the tests with the oldest supported releases of everything, without faults and fuzzing
	$(OLDEST_PYTHON) -m venv .venvs/oldest
	.venvs/oldest/bin/python -m pip install --quiet --disable-pip-version-check -c tests/oldest.txt -e '.[test]'
	.venvs/oldest/bin/python $(PYTEST) --brief --ignore tests/reliability --ignore tests/fuzz

test-asap:  ## the snapshot stores beside ASAP's own, if there is a Python 3.13, which ASAP needs
ifeq ($(ASAP_PYTHON),)
	@echo "ASAP's own snapshot stores were not tested: they need Python 3.13, and there is none"
else
	$(ASAP_PYTHON) -m venv .venvs/asap
	.venvs/asap/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,asap]' \
		-e 'conformance[test]'
	.venvs/asap/bin/python $(PYTEST) tests/snapshots
	.venvs/asap/bin/python $(PYTEST) conformance/tests/test_asap_stores.py
endif

$(VENV)/.conformance: $(VENV)/.dev conformance/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e 'conformance[test]'
	@touch $@

conformance: $(VENV)/.conformance  ## the conformance suite's own tests, and the suite on three savers
	cd conformance && ../$(BIN)/mypy
	$(BIN)/python $(PYTEST) conformance/tests

test-long: $(VENV)/.dev  ## all tests, with their long profiles
	$(BIN)/python $(PYTEST) --long

reliability: $(VENV)/.dev  ## inject faults of every kind, and write tests/RELIABILITY.md
	$(BIN)/python -m tests.reliability report

reliability-long: $(VENV)/.dev  ## inject many more faults of each kind, and write tests/RELIABILITY.md
	$(BIN)/python -m tests.reliability report --long

check: $(VENV)/.dev  ## lint, format, types, layers and words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.docs.words

bench: $(VENV)/.bench  ## every workload against every peer (BENCH_ARGS=--quick for a short run)
	$(BIN)/python -m benches $(BENCH_ARGS)

clean:  ## remove what the targets made
	rm -rf $(VENV) .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis benches/out
