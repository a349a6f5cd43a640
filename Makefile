# make demo · make test · make lint · make bench: each sets itself up in .venv and says what it does.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
# where it is set every process that is started compiles all of evalkit anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench lock clean help

help:
	@echo "make demo   install, run this repository's golden sets, break a prompt, see the gate stop it"
	@echo "make test   install, run the test suite on DuckDB 2 and on DuckDB 1"
	@echo "make lint   install, ruff, mypy, the import rules, zizmor on the workflows"
	@echo "make bench  install, measure speed and error rates (minutes)"
	@echo "make lock   resolve the dependencies again (needs uv)"

demo: $(VENV)/runtime
	$(BIN)/python scripts/demo.py

test: $(VENV)/dev $(VENV)/duckdb-1
	@bash scripts/setup-browser.sh
	@echo "== tests on DuckDB $$($(BIN)/python -c 'import duckdb; print(duckdb.__version__)')"
	$(PYTEST)
	@echo "== the same tests on DuckDB $$(PYTHONPATH=$(abspath $(VENV)/duckdb-1) $(BIN)/python -c 'import duckdb; print(duckdb.__version__)')"
	PYTHONPATH=$(abspath $(VENV)/duckdb-1) $(PYTEST) -m "not browser"

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet --persona pedantic action.yml .github/workflows

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks

# The environment is made from hashed locks; a stamp says which step is done.
$(VENV)/bin/python:
	@echo "== making a virtual environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "evalkit needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: $(VENV)/bin/python requirements/runtime.lock pyproject.toml
	@echo "== installing the locked runtime packages (about 40 s)"
	@$(PIP) -r requirements/runtime.lock
	@echo "== installing evalkit itself, editable"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/runtime requirements/dev.lock
	@echo "== installing the locked tools for development"
	@$(PIP) -r requirements/dev.lock
	@touch $@

$(VENV)/duckdb-1: $(VENV)/bin/python requirements/duckdb-1.lock
	@echo "== installing DuckDB 1 beside DuckDB 2"
	@rm -rf $@ && $(PIP) --no-deps --target $@ -r requirements/duckdb-1.lock

lock:
	uv pip compile --quiet --universal --generate-hashes --no-annotate --upgrade pyproject.toml --group build -o requirements/runtime.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --upgrade pyproject.toml --extra models --group dev -c requirements/runtime.lock -o requirements/dev.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --upgrade requirements/duckdb-1.in -o requirements/duckdb-1.lock

clean:
	rm -rf $(VENV) .evalkit reports/out build dist
