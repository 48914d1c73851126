# Everything a developer or a first-time user types. `make demo` and `make test` install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=

.PHONY: install demo test check wheel bench clean

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml
	@echo "Installing into $(VENV): a few minutes, several GB (torch with its libraries)"
	@$(PYTHON) -c 'import sys; sys.exit("vlsearch needs Python 3.10 or newer: make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77" wheel
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[demo,dev]"
	@touch $@

demo: install
	@$(BIN)/python bin/demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: install
	@HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: install
	$(BIN)/python -m build --wheel --no-isolation

bench: install
	@bin/bench all

clean:
	rm -rf $(VENV) build dist demo-out *.egg-info
