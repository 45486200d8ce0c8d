# `make run` and `make test` do their own set-up: a fresh Debian 12 machine and one of them is all it takes.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv/bin
SETUP := build/.setup
HERE := $(shell pwd -P)
SIZE ?= 1280x800
SCALE ?= 1
XVFB := xvfb-run -a -s "-screen 0 $(SIZE)x24"
ONLY ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-heavy lint tour bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name words; do printf '%-20s%s\n' "$$name" "$$words"; done

setup: $(SETUP) ## system packages, .venv and the project; the others call it

# a checkout that was moved has an environment that points elsewhere: that counts as not set up
ifneq ($(shell grep -qF " $(HERE)/.venv" .venv/pyvenv.cfg 2>/dev/null && echo here),here)
.PHONY: $(SETUP)
endif
$(SETUP): pyproject.toml packaging/system-packages.txt packaging/setup.sh
	@sh packaging/setup.sh $(PYTHON)
	@touch $(SETUP)

run: $(SETUP) ## opens the window; without a display the tour instead
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then exec $(VENV)/release-cockpit; \
	else echo "There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set): running the tour on a virtual screen."; exec $(MAKE) tour; fi

test: $(SETUP) lint ## style, types, layers, budgets and all tests
	@# a worker that crashed ends the run, which would hang else; the order is conftest's: dear files first, else the files of few tests come last
	$(VENV)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not heavy and not e2e"
	@# the stories watch latency or count on answers in time: nothing else may run beside them
	$(VENV)/python -m pytest -m "e2e and not heavy"

test-heavy: $(SETUP) ## the slow tests against real systems
	$(VENV)/python -m pytest -m heavy

lint: $(SETUP) ## ruff and mypy alone
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

tour: $(SETUP) ## drives the real window through the whole story; pictures in build/tour (SIZE=3840x2160 SCALE=2 for a wall)
	QT_SCALE_FACTOR=$(SCALE) $(XVFB) $(VENV)/python tests/e2e/tour.py

bench: $(SETUP) ## the figures, each beside its rival: build/bench.json (ONLY=name for some)
	$(XVFB) $(VENV)/python tests/bench/run.py $(ONLY)

clean: ## removes what was built, .venv too
	rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find cockpit ui resources tests packaging -name __pycache__ -type d -prune -exec rm -rf {} +
