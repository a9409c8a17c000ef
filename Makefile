# Set-up and the main job in one command each; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPEN ?= 1
STUDY ?= demo-study
JOBS ?= 2

.PHONY: help demo test check setup browser bench clean
help:
	@echo "make demo    set up and run the main job on the bundled model, then open the explorer"
	@echo "             (OPEN=0: end without serving; STUDY=DIR: where the study goes)"
	@echo "make test    set up and run every test, notebooks included"
	@echo "make check   lint, types and the import contract"
	@echo "make setup   the virtual environment in .venv, with everything for development"
	@echo "make browser find or install Chromium for the browser tests"
	@echo "make bench   every benchmark, a line of JSON each"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "interp needs Python 3.11 to 3.13: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.run $@

demo: $(VENV)/.run
	$(BIN)/interp demo --out $(STUDY) --overwrite
ifneq ($(OPEN),0)
	$(BIN)/interp explore $(STUDY)
endif

setup: $(VENV)/.dev

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --nbmake tests notebooks

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

browser:
	@tests/browser/install.sh

bench: $(VENV)/.dev
	@for name in startup capture ability_stream merge transfer allo planted influence dictionary_training recovery feature_views specialization partition modules heads relations; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) $(STUDY)
