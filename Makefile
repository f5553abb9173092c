# Everything a developer or an operator does here. Works without root, with nothing but Python 3.11+ and make:
# all it needs goes into .venv. Variables come from the environment or the command line: make run PORT=9000

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
# Processes that run tests: two more than processors, for some wait; more than eight only wait for the databases.
TEST_JOBS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 2)))
# Options for pytest: make test ARGS="-k comments -x"
ARGS ?=
# Of the differential suite and live lists: how many calls, and which.
STEPS ?= 20000
SEED ?= 1
# Of the races: how often every pair is run.
ROUNDS ?= 1
# Of the devices that work offline: how many histories, half of them on each database.
HISTORIES ?= 2000
# Of the executors' suite: how many documents on each database.
DOCUMENTS ?= 20000

PY = $(VENV)/bin/python
# Without --no-deps, pip looks for the newest of a package that another one asks for with an extra, such as
# coverage[toml], and refuses it for lack of a hash. The lock files name every package, which `pip check` proves.
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r
PIP_CHECK = $(PY) -m pip check --disable-pip-version-check >&2
# Checks read no database and sign nothing; they must not need a .env either.
CHECK_ENV = ENVIRONMENT=test SECRET_KEY=this-is-no-secret-for-checks-only

# Compiled modules are kept, whatever the environment says: the tests alone start some two hundred processes.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help setup run demo test test-whole test-newest differential live compiled races sync resets attack faults events bench bench-lists bench-scale coverage check fmt fmt-check lint types imports \
        migrate migration-check schema schema-check lock clean dotenv assets test-assets guides clients python-clients

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- Run

setup: $(VENV)/.runtime dotenv assets guides  ## Virtual environment, dependencies, secrets in .env, page assets, guides

run: setup migrate  ## Serve on HOST:PORT with WORKERS processes; DATABASE_URL and REDIS_URL are honoured
	@HOST="$(HOST)" PORT="$(PORT)" WORKERS="$(WORKERS)" exec $(PY) -m api.server

demo: setup migrate  ## Three projects with people, tasks and comments to look at, and their logins
	@$(PY) -m cli demo $(ARGS)

migrate: $(VENV)/.runtime dotenv  ## Bring the database of DATABASE_URL up to date
	@$(PY) -m alembic upgrade head

# --- Test and check

test: $(VENV)/.dev assets test-assets guides  ## All tests, on SQLite and PostgreSQL (ARGS="-k name" for some of them)
	@$(PY) -m pytest --numprocesses $(TEST_JOBS) --maxprocesses 8 --dist worksteal --quiet $(ARGS)

test-whole:  ## The same, and of the families of cases of which "test" runs a part the rest as well
	@TANDEM_WHOLE=1 $(MAKE) test

# Of another Python, what may differ with it: the suites of generated calls and documents, of races and of real data
# would find nothing here that they do not find above, nor would browsers, clients and the servers that are restarted.
NEWEST = .venv-newest
GENERATED = differential races sync compiled_execution filters_real_data import_real_data any_selectivity
OTHERS = playground reference client_sessions clients restarts
NOT_NEEDED = postgresql chromium clients python-clients
comma := ,
REQUIRED = $(filter-out $(NOT_NEEDED),$(subst $(comma), ,$(TANDEM_REQUIRE)))
test-newest:  ## The tests on SQLite with the newest Python of this machine, but for generated suites and browsers; says if there is none
	@for python in $$($(PYTHON) tools/newer_pythons.py); do \
	  $(MAKE) $(NEWEST)/.dev VENV=$(NEWEST) PYTHON=$$python || { rm -rf $(NEWEST); continue; }; \
	  echo "Testing with $$($(NEWEST)/bin/python --version), on SQLite"; \
	  TEST_DATABASE_URL=off CHROMIUM=off TANDEM_WHOLE= TANDEM_REQUIRE=$(subst $() ,$(comma),$(REQUIRED)) exec $(MAKE) test VENV=$(NEWEST) \
	    ARGS="$(foreach name,$(GENERATED) $(OTHERS),--ignore=tests/test_$(name).py) $(ARGS)"; \
	done; \
	echo "No Python on this machine is newer than $$($(PYTHON) --version) and installs from requirements-dev.txt"

differential: $(VENV)/.dev assets  ## STEPS random calls through both doors, compared; SEED chooses others
	@TANDEM_DIFFERENTIAL=$(STEPS) TANDEM_DIFFERENTIAL_SEED=$(SEED) $(PY) -m pytest --numprocesses 2 --quiet -rP \
	  -o faulthandler_timeout=0 -o timeout=0 tests/test_differential.py $(ARGS)

live: $(VENV)/.dev assets  ## STEPS random writes beside lists that are followed on both doors, compared; SEED chooses others
	@TANDEM_LIVE=$(STEPS) TANDEM_LIVE_SEED=$(SEED) $(PY) -m pytest --numprocesses 2 --quiet -rP \
	  -o faulthandler_timeout=0 -o timeout=0 tests/test_live_lists.py $(ARGS)

compiled: $(VENV)/.dev assets  ## DOCUMENTS generated GraphQL documents through both executors, compared; SEED chooses others
	@TANDEM_COMPILED=$(DOCUMENTS) TANDEM_COMPILED_SEED=$(SEED) $(PY) -m pytest --numprocesses 2 --quiet -rP \
	  -o faulthandler_timeout=0 -o timeout=0 tests/test_compiled_execution.py $(ARGS)

races: $(VENV)/.dev assets  ## Every write beside every change of what it rests on, ROUNDS times, in each order and at once (20 minutes)
	@TANDEM_RACES=$(ROUNDS) $(PY) -m pytest --numprocesses 2 --quiet -rP \
	  -o faulthandler_timeout=0 -o timeout=0 tests/test_races.py $(ARGS)

sync: $(VENV)/.dev assets  ## HISTORIES of devices that work offline, with kills, lost answers and wrong clocks; SEED chooses others
	@TANDEM_SYNC=$(HISTORIES) TANDEM_SYNC_SEED=$(SEED) $(PY) -m pytest --numprocesses 2 --quiet -rP \
	  -o faulthandler_timeout=0 tests/test_sync.py $(ARGS)

resets: $(VENV)/.dev assets  ## Reset every connection to PostgreSQL under load: ARGS="--runs 10 --resets 20"
	@$(PY) -m tests.resets $(ARGS)

attack: $(VENV)/.dev assets  ## One caller does the worst it can, another one is timed: ARGS="--database sqlite" (15 minutes)
	@$(PY) -m tests.attack $(ARGS)

faults: $(VENV)/.dev assets  ## Let hosts, processes, disks and Redis fail under load: ARGS="--list", ARGS="--only frozen" (25 minutes)
	@$(PY) -m tests.faults $(ARGS)

events: $(VENV)/.dev assets  ## Hold the feed to its promises under load, kills and restores: ARGS="--list", ARGS="--only order" (20 minutes)
	@$(PY) -m tests.events $(ARGS)

bench: $(VENV)/.dev  ## Compare with the floor and a naive application: ARGS="--help" says how (20 minutes)
	@$(PY) -m benchmarks $(ARGS)

bench-scale: $(VENV)/.dev  ## What a request costs at 1,000 tasks and at 1,000,000: ARGS="--keep FOLDER" keeps the data, ARGS="--walk open" or projects
	@$(PY) -m benchmarks.scale $(ARGS)

bench-lists: $(VENV)/.dev  ## What 300 made-up lists cost beside the plain one, and the ten worst: ARGS="URL --fill" (--help says how)
	@$(PY) -m benchmarks.selectivity $(ARGS)

coverage: $(VENV)/.dev assets test-assets guides  ## The same, with the lines and branches that no test reached
	@$(PY) -m pytest --numprocesses $(TEST_JOBS) --maxprocesses 8 --dist worksteal --quiet --cov $(ARGS)

check: fmt-check lint types imports migration-check schema-check  ## Everything below; what CI runs beside the tests

fmt: $(VENV)/.dev  ## Format the code and mend what can be mended
	@$(PY) -m ruff check --quiet --fix-only . && $(PY) -m ruff format .

fmt-check: $(VENV)/.dev  ## Is the code formatted?
	@$(PY) -m ruff format --check --quiet --diff .

lint: $(VENV)/.dev  ## Ruff
	@$(PY) -m ruff check --quiet .

types: $(VENV)/.dev  ## Mypy, strict
	@$(PY) -m mypy

imports: $(VENV)/.dev  ## Do imports point one way: api > graphql_schema > services > db > core?
	@$(VENV)/bin/lint-imports --no-logo

migration-check: $(VENV)/.dev  ## Migrations up, down and up again on both databases; do they match the models?
	@$(PY) -m tools.migration_check

schema: $(VENV)/.dev  ## Write schema.graphql, openapi.json, asyncapi.json, docs/parity.md and docs/roles.md
	@$(CHECK_ENV) $(PY) -m cli schema export

schema-check: $(VENV)/.dev  ## Are schema.graphql, openapi.json, asyncapi.json, docs/parity.md and docs/roles.md those of the code?
	@$(CHECK_ENV) $(PY) -m cli schema check

# --- Housekeeping

lock: $(VENV)/.dev  ## Pin requirements*.in with hashes (UPGRADE=1: at their newest versions)
	@for set in requirements requirements-dev tests/clients/python/requirements; do \
	  $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	    --output-file $$set.txt $$set.in || exit; \
	done

clean:  ## Remove the virtual environment and caches; .env and the database stay
	@rm -rf $(VENV) $(NEWEST) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- Made once, and again when what they are made from changes

# Debian keeps ensurepip, which fills a new environment with pip, in a package of its own; pip can do that as well.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tandem needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  $(PYTHON) -m venv --clear $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(PY) install --quiet --disable-pip-version-check pip; \
	else \
	  echo "This Python can neither make an environment nor install packages; on Debian: apt install python3-venv" >&2; \
	  exit 1; \
	fi
	@touch $@

$(VENV)/.runtime: requirements.txt $(VENV)/.made
	@echo "Installing requirements.txt"
	@$(PIP_INSTALL) requirements.txt
	@$(PIP_CHECK)
	@touch $@

# The development set contains the runtime set, at the same versions.
$(VENV)/.dev: requirements-dev.txt $(VENV)/.made
	@echo "Installing requirements-dev.txt"
	@$(PIP_INSTALL) requirements-dev.txt
	@$(PIP_CHECK)
	@touch $@

# No stamps for these: the tools themselves know, in a moment, whether there is anything to do.
dotenv: $(VENV)/.made
	@$(PY) tools/dotenv_setup.py

clients: python-clients  ## Install the clients that the tests run (npm and Node.js 20; without them their tests skip)
	@npm --prefix tests/clients ci --silent

python-clients: tests/clients/python/.venv/.made

# In an environment of their own: their graphql-core is not the server's.
tests/clients/python/.venv/.made: tests/clients/python/requirements.txt $(VENV)/.dev
	@$(PY) -m uv venv --quiet --clear $(@D) --python $(PY)
	@$(PY) -m uv pip install --quiet --python $(@D)/bin/python --no-deps --require-hashes -r $<
	@touch $@

assets: $(VENV)/.made
	@$(PY) tools/assets.py --check 2>/dev/null || $(PY) tools/assets.py || \
	  echo "Note: /graphql, /reference, /docs and /redoc stay without their scripts until 'make setup' can fetch them." >&2

# axe-core, for tests of the pages; without it those skip.
test-assets: $(VENV)/.made
	@$(PY) tools/assets.py --tests --check 2>/dev/null || $(PY) tools/assets.py --tests || true

guides: $(VENV)/.made
	@$(PY) tools/guides.py --check 2>/dev/null || $(PY) tools/guides.py
