# Two commands for a newcomer: `make run` (the main job) and `make test`. Everything is installed here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SOAK_WORLDS ?= 10000
SOAK_SEED := $(or $(SOAK_SEED),$(shell date +%s))
SOURCES := kernel enforcers journal_tools tests examples

.PHONY: setup run test check format lint style types contracts enforcers bench bench-economy soak mutants mutants-all golden economies \
	coverage-of-requirements clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say PYTHON=python3.12 if it has another name"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'cbrrr==1.1.0' || \
		echo "the optional fast codec could not be built; the plain one is used"
	@$(BIN)/pyright --version > /dev/null  # which fetches what it runs on node
	@touch $@

$(VENV)/.zig: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'ziglang==0.17.1'
	@touch $@

run: setup
	$(BIN)/tally run-trace fixtures/traces/sample.csv

test: setup $(VENV)/.zig
	$(BIN)/python -m pytest -n $(JOBS)

# what a change must pass
check: lint test

format: setup
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lint: style types contracts enforcers

style: setup
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: setup
	$(BIN)/mypy

contracts: setup
	PYTHONPATH=kernel:enforcers:journal_tools $(BIN)/lint-imports

enforcers: $(VENV)/.zig
	$(BIN)/python -m splittally_enforcers.build --check

bench: setup
	$(BIN)/tally bench

bench-economy: setup
	$(BIN)/tally bench --economy 1000000

# `make soak SOAK_WORLDS=100000 SOAK_SEED=7`: how many worlds of random principals, and where their seeds begin
soak: setup
	@echo "SOAK_WORLDS=$(SOAK_WORLDS) SOAK_SEED=$(SOAK_SEED)"
	SOAK_WORLDS=$(SOAK_WORLDS) SOAK_SEED=$(SOAK_SEED) $(BIN)/python -m pytest -n $(JOBS) -m soak --override-ini 'addopts=-q --strict-markers -p no:cacheprovider'

# breaks the product in each kept way (tests/mutants) and sees that the named test notices; ONLY=word takes some
mutants: setup
	$(BIN)/python -m tests.mutants --jobs $(JOBS) $(ONLY)

$(VENV)/.mutants: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	@touch $@

# every place of the core, the journal and the runtime; `make mutants-all ONLY="core/budget --sample 40"` takes some
mutants-all: $(VENV)/.mutants
	$(BIN)/python -m tests.mutants.every $(ONLY)

golden: setup
	$(BIN)/python -m tests.golden
	$(BIN)/python -m tests.drain_night

# `make economies REWRITE=--rewrite` writes the transcripts anew
economies: setup
	$(BIN)/python -m splittally_tools.economies $(REWRITE)

coverage-of-requirements: setup
	@$(BIN)/python -m tests.requirements

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
