# MindGuard Ops. `make run` shows it working, `make test` proves it; both need Python 3.11+ and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE ?= .local
# Sample data of `make run`: rows over the three tables, product events.
ROWS ?= 1000000
EVENTS ?= 5000000
INSTALLED := $(VENV)/.installed
UV_VERSION := 0.13.9
export PYTHONPATH := .:plugins
# Images for containers often set it. Each of the many processes would then compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-days unit lint format bench soak status clean lock servers audit release

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(INSTALLED): requirements-dev.txt pyproject.toml
	@echo "installing the pinned requirements into $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# uv installs in seconds what takes pip minutes; without it, plain pip does the same.
	@( $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) \
	   && $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python -r requirements-dev.txt ) \
	 || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@# The package itself, so that `mindguard` is on the path and Airflow's UI knows the connection type `feishu`.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(INSTALLED) ## start everything, load sample data, run the DAGs, print a summary (ONCE=1: then stop)
	@$(BIN)/python -m devstack run --state "$(STATE)" --rows $(ROWS) --events $(EVENTS) $(if $(ONCE),--once)

status: $(INSTALLED) ## process table and addresses of a running stack
	@# `python -m devstack status` has an exit status for scripts; here it would only be an error of make.
	@$(BIN)/python -m devstack status --state "$(STATE)" || true

lint: $(INSTALLED) ## ruff, mypy, import contracts, dead code, spelling, SQL, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=plugins $(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/codespell
	$(BIN)/sqlfluff lint --disable-progress-bar --dialect postgres include/sql/postgres devstack/sql/postgres
	$(BIN)/python tools/generate_docs.py --check

format: $(INSTALLED) ## rewrite code in the agreed format, and the generated files
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(BIN)/python tools/generate_docs.py
	@$(BIN)/ruff check --quiet .

unit: $(INSTALLED) ## unit and DAG tests alone, without lint (under a minute)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/dags tests/unit $(PYTEST)

test: lint ## lint, types, then all tests against the embedded stack
	@# Three workers, each with a stack of its own: integration tests often wait. They come first, file by file; the many
	@# short unit tests at the end keep all workers busy.
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(PYTEST)

# Days and paths of test-days: see tools/test_days.py.
DAYS ?=
ARGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/dags tests/unit

test-days: $(INSTALLED) ## tests on other days (libfaketime); DAYS="1-january 23:55", ARGS=tests/integration/test_expire.py
	$(BIN)/python tools/test_days.py $(if $(DAYS),--days "$(DAYS)") $(ARGS)

bench: $(INSTALLED) ## measure side by side (an hour) and write docs/benchmarks.md
	$(BIN)/python bench/parse_cost.py
	$(BIN)/python bench/start_cost.py
	$(BIN)/python bench/snapshots.py --rows 1000000
	$(BIN)/python bench/snapshots.py --rows 10000000 --without-operator
	$(BIN)/python bench/snapshots.py --rows 10000 --wide --without-operator
	$(BIN)/python bench/alerts.py
	$(BIN)/python bench/event_volume.py backtest
	$(BIN)/python bench/event_volume.py pedestrians
	$(BIN)/python bench/event_volume.py cost --rows 5000000 --rows 50000000
	$(BIN)/python bench/monitors.py
	$(BIN)/python bench/detection.py --repetitions 5
	$(BIN)/python bench/report.py

servers: ## fetch other versions of PostgreSQL, with which some tests are run then (needs npm, 180 MB)
	mkdir -p .local/servers
	cp tests/servers/*.json .local/servers
	npm ci --prefix .local/servers --ignore-scripts --no-audit --no-fund
	for folder in .local/servers/node_modules/postgresql-*; do (cd $$folder && node scripts/hydrate-symlinks.js); done

soak: $(INSTALLED) ## simulated months of snapshots, drills and expiry (some minutes; by hand)
	$(BIN)/python bench/soak.py --write docs/benchmarks/soak.json
	$(BIN)/python bench/report.py

COMPILE = $(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --no-header --no-annotate --generate-hashes \
  $(if $(UPGRADE),--upgrade) pyproject.toml --all-extras

lock: $(INSTALLED) ## pin what pyproject.toml and requirements-dev.in add; UPGRADE=1: the newest of everything
	$(COMPILE) -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt

# The newest of both are tried; they run in environments of their own.
TOOL := $(BIN)/uv --system-certs tool run

audit: $(INSTALLED) ## known vulnerabilities of what requirements.txt pins; skipped where their list cannot be reached
	@timeout 30 $(BIN)/python -c "import httpx; httpx.get('https://pypi.org/pypi/pip/json', timeout=10).raise_for_status()" \
	   2>/dev/null || { echo "audit: skipped, pypi.org cannot be reached"; exit 0; } \
	 && $(TOOL) pip-audit --disable-pip --require-hashes -r requirements.txt

release: $(INSTALLED) ## the wheel and its software bill of materials (CycloneDX), in dist/
	rm -rf dist build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(TOOL) --from cyclonedx-bom cyclonedx-py requirements requirements.txt --output-file dist/mindguard-ops.cdx.json

clean: ## remove the stack's own state folder and caches; the virtual environment stays
	@$(PYTHON) -m devstack.clean "$(STATE)"
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
