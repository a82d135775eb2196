# One file of commands. `make sweep` on a fresh machine installs what it needs and runs the main job.
PYTHON ?= python3
VENV ?= .venv
SPEC ?= default
NAME ?= $(basename $(notdir $(SPEC)))
ARGS ?=
# Three files of tests at a time, since some only wait; a file's tests share what they set up. In the tree's order the
# long journeys come early; xdist's own order has them last, one after another.
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help
.PHONY: help install sweep resume smoke report dashboard sync status doctor calibrate schema test test-all check architecture format audit bench reproduce notebook lock clean

help:  ## show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1|/' | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo; echo "  SPEC=NAME|FILE.yaml  the specification (default: $(SPEC))    NAME=...  the sweep's name (default: the specification's)"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and "elbosweep needs Python 3.11 or newer, got %d.%d; say: make install PYTHON=python3.12" % v)'
	@echo "installing into $(VENV) (once; several minutes, torch is large)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP)  ## install the pinned packages into .venv

sweep: $(STAMP)  ## run the sweep SPEC=default (digits, offline, CPU is enough)
	$(BIN)/elbosweep run $(SPEC) --name $(NAME) $(ARGS)

resume: $(STAMP)  ## go on with an interrupted sweep
	$(BIN)/elbosweep resume $(NAME) $(ARGS)

smoke: $(STAMP)  ## the smallest real sweep and its report, as CI runs it
	$(BIN)/elbosweep run smoke --name smoke --force
	$(BIN)/elbosweep report smoke

report: $(STAMP)  ## write reports/NAME/index.html
	$(BIN)/elbosweep report $(NAME) $(ARGS)

dashboard: $(STAMP)  ## look at the sweep's offline W&B runs in the terminal
	$(BIN)/elbosweep dashboard $(NAME) $(ARGS)

sync: $(STAMP)  ## upload the sweep's offline W&B runs (needs a key)
	$(BIN)/elbosweep sync $(NAME) $(ARGS)

status: $(STAMP)  ## what is done, running, failed
	$(BIN)/elbosweep status $(NAME) $(ARGS)

doctor: $(STAMP)  ## what is installed, which devices and data are there, what is wrong
	$(BIN)/elbosweep doctor

calibrate: $(STAMP)  ## every estimator against its exact value; and anew the shipped table of 20 seeds (minutes)
	$(BIN)/elbosweep calibrate
	$(BIN)/python -m pipeline.calibration.seeds

schema: $(STAMP)  ## write anew what the report knows of the pipeline, after a kind was added
	$(BIN)/python -m pipeline.schema

test: $(STAMP)  ## the tests
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-all: $(STAMP)  ## the tests, the slow ones too
	$(BIN)/python -m pytest $(PARALLEL) -m "slow or not slow" $(ARGS)

check: $(STAMP)  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

architecture: $(STAMP)  ## draw the rooms and files in docs/architecture.md and README.md anew
	$(BIN)/python -m tests.documents.architecture

format: $(STAMP)  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

audit: $(STAMP)  ## what the report's statistics promise, on simulated sweeps with a known truth
	$(BIN)/python -m tests.benchmarks.audit $(ARGS)

# The peers live in an environment of their own, which sees the product's packages: torch is not installed twice.
PEERS := .venv-bench
$(PEERS)/.installed: $(STAMP) tests/benchmarks/peers.txt
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		$(BIN)/python -c "$$site" > "$$($(PEERS)/bin/python -c "$$site")/product.pth"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r tests/benchmarks/peers.txt \
		&& touch $@ || echo "the peers could not be installed: bench_step goes without them"

# ROW is one of course, dimension, linear, collapse, prior, variance; iwae and pythae want a GPU. Sweeps go on where they were.
reproduce: $(STAMP)  ## a row of docs/reproductions.md: ROW=course runs it and prints it
	$(BIN)/python -m tests.reproductions $(ROW) $(ARGS)

bench: $(STAMP) $(PEERS)/.installed  ## the benchmarks: ratios measured side by side
	@for file in tests/benchmarks/bench_*.py; do \
		python=$(BIN)/python; case $$file in *bench_step.py) python=$(PEERS)/bin/python;; esac; \
		echo "== $$file"; $$python -m tests.benchmarks.$$(basename $$file .py) || exit 1; \
	done

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --constraint constraints.txt \
		--no-emit-package elbosweep --no-annotate --custom-compile-command "make lock" -o requirements.lock

clean:  ## remove caches and the environment (runs/ and reports/ stay)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
