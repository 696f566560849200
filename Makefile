# Each goal makes the environment when it is missing; a second run installs nothing. The demo needs less than the tests.
PYTHON ?= python3
VENV ?= .venv
FAISS ?= cpu
JOBS ?= 2

PY := $(VENV)/bin/python
READY := $(VENV)/ready
TOOLS := $(VENV)/tools
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: help env demo test faults lint bench

help:
	@echo "make demo   a made-up world, training, three searches, overlays, a report: runs/demo"
	@echo "make test   lint, types and tests"
	@echo "make faults kill -9, full disks and damaged files against the store, by the hundred; SEED=n repeats a run"
	@echo "make lint   ruff and mypy alone"
	@echo "make bench  what is measured: scripts/bench_*.py, one after another"
	@echo "make env    only the environment, in $(VENV)"
	@echo "settings    PYTHON=python3.12  VENV=.venv  FAISS=cpu|gpu  JOBS=2"

env: $(TOOLS)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "avssl needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@$(PYTHON) scripts/room.py $(VENV)
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(INSTALL) ".[$(FAISS)]"
	@touch $@

# What tests need and users do not.
$(TOOLS): $(READY)
	@echo "installing what tests need ..."
	@$(INSTALL) ".[$(FAISS),dev,dev-$(FAISS)]"
	@touch $@

demo: $(READY)
	@$(PY) scripts/demo.py

lint: $(TOOLS)
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy --no-error-summary

test: lint
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile

faults: $(TOOLS)
	@FAULTS=1 OMP_NUM_THREADS=1 $(PY) -m pytest -s tests/retrieval/test_crash.py tests/retrieval/test_fuzz.py

bench: $(TOOLS)
	@for script in scripts/bench_*.py; do echo "$$script"; $(PY) $$script || exit 1; done
