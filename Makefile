# Everything starts here: `make up` runs a node, `make test` runs every test. `make help` lists the rest.
# Needs Python 3.11 or newer and git; all else goes into .venv and nothing outside this folder is changed,
# except that `make test` installs Chromium and iproute2 with apt-get when they are not found.

PYTHON ?= python3
SEED ?= 7
JOBS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev
PEERS_READY := bench/peers/node_modules/.ready
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up test fast slow check format bench bench-peers sim sim-report maelstrom chromium iproute clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(RUN_READY) ## Run a node and its web app, making a home if there is none (ARGS="..." is passed on)
	@$(BIN)/quire up $(ARGS)

test: $(DEV_READY) chromium iproute ## Run every test, the slow and the browser ones too (ARGS="..." is passed on)
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

fast: $(DEV_READY) ## Run the tests that take seconds
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not browser" $(ARGS)

slow: $(DEV_READY) chromium ## Run only the slow and the browser tests
	@$(BIN)/python -m pytest -n $(JOBS) -m "slow or browser" $(ARGS)

check: $(DEV_READY) ## Format, lint, types, import order and the fast tests: run it before every commit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not browser" $(ARGS)

format: $(DEV_READY) ## Format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(DEV_READY) ## Measure (ARGS="--only network relay": these parts)
	@$(BIN)/python -m bench $(ARGS)

bench-peers: $(DEV_READY) $(PEERS_READY) ## Measure Quire and other peers in turn; needs Node (ARGS="..." is passed on)
	@$(BIN)/python -m bench.peers $(ARGS)

sim: $(RUN_READY) ## Simulate a community on a bad network; the same SEED gives the same run
	@$(BIN)/quire sim run --seed $(SEED) $(ARGS)

sim-report: $(DEV_READY) ## Measure convergence by peers, loss and strategy, and write it into docs/simulation.md
	@$(BIN)/python -m bench.sim_report $(ARGS)

maelstrom: $(DEV_READY) ## Let Maelstrom judge the nodes, if it is there (MAELSTROM=folder; ARGS="..." is passed on)
	@$(BIN)/python -m tests.maelstrom.run $(ARGS)

clean: ## Remove .venv, caches and build output (never a home)
	rm -rf $(VENV) bench/peers/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# pip is the last thing that venv puts in place: a folder without it was never finished, and is made anew.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Quire needs Python 3.11 or newer, and '$(PYTHON)' is not that."; \
	  echo "Install one, or name another:  make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments: its venv package is not installed."; \
	  echo "On Debian and Ubuntu:  sudo apt-get install python3-venv"; \
	  echo "Then run the same command again."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(RUN_READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP_INSTALL) -e .
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP_INSTALL) -e '.[dev]'
	@touch $(RUN_READY) $@

$(PEERS_READY): bench/peers/package.json bench/peers/package-lock.json bench/peers/.npmrc
	@command -v npm >/dev/null 2>&1 || { \
	  echo "Other peers are programs for Node: install Node 20 or newer, with npm, and run the same command again."; \
	  exit 1; }
	cd bench/peers && npm install --no-save
	@touch $@

chromium:
	@for name in $(BROWSERS); do command -v $$name >/dev/null 2>&1 && exit 0; done; \
	if [ "$$(id -u)" = 0 ]; then as=; else as=sudo; fi; \
	if command -v apt-get >/dev/null 2>&1 && { [ -z "$$as" ] || command -v sudo >/dev/null 2>&1; }; then \
	  echo "No Chromium found; installing it with apt-get."; \
	  $$as apt-get update && $$as apt-get install -y --no-install-recommends chromium && exit 0; \
	fi; \
	echo "The browser tests need Chromium, and it could not be installed here."; \
	echo "Install Chromium so that 'chromium' is on PATH, or run the other tests:  make fast"; exit 1

# Without it (or without the right to make network namespaces) the tests between hosts are skipped, and say so.
iproute:
	@command -v ip >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "No iproute2 found; installing it with apt-get."; \
	  apt-get update && apt-get install -y --no-install-recommends iproute2 && exit 0; \
	fi; \
	echo "The tests between hosts will be skipped: they need root, and 'ip' of iproute2."
