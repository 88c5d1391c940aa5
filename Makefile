# `make demo` and `make test` are all a newcomer needs: both set up first, which takes a second when nothing has changed.
#   make demo ARGS=--once        make test ARGS="tests/stack -x"        make setup PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# The first import compiles a file for all later ones; where Python may not keep that, pip does it.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),--compile,--no-compile)
# Written last, so that an interrupted setup is never taken for a finished one.
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

help:
	@echo 'make setup   build .venv from requirements.lock, fetch the Kafka jars and warm them up'
	@echo 'make demo    start the local stack and watch an incident become a page (ARGS=--once ends by itself)'
	@echo 'make test    run the tests (ARGS goes to pytest)'
	@echo 'make lint    ruff and mypy'
	@echo 'make clean   stop a stack left running here, and remove what setup, tests and stack have made'

setup: $(READY)
	@$(BIN)/python -m stack.jars
	@$(BIN)/python -m stack.warm_up

$(READY): requirements.lock pyproject.toml setup.py producers/recorder/_hot_path.c
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' 2>/dev/null || \
		{ echo "turnwatch needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Give one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot build virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@if [ -e $(READY) ]; then rm -f $(READY); else rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(COMPILE) --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: setup
	@$(BIN)/turnwatch demo $(ARGS)

test: setup
	@$(BIN)/pytest --numprocesses=3 --dist=loadscope --no-loadscope-reorder $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	@if [ -x $(BIN)/turnwatch ]; then $(BIN)/turnwatch down; fi
	rm -rf $(VENV) .turnwatch .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build producers/recorder/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
