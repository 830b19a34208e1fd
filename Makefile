# MineFarm: `make demo` shows it, `make test` proves it. `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= python3
MINERS ?= 240
PORT ?= 8000
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev install-browser install-control install-openadr demo test test-storm test-browser lint types layers check check-deploy bench lock clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

# Each stamp remembers the lock it was made from, so an unchanged lock costs nothing.
.venv/stamp-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "MineFarm needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian or Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/stamp-%: requirements/%.txt | .venv/stamp-python
	@echo "installing requirements/$*.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

install: .venv/stamp-base  ## make .venv with what the product needs
install-dev: install .venv/stamp-dev
install-browser: install-dev .venv/stamp-browser
install-openadr: install .venv/stamp-openadr  ## the library for signals of a utility that speaks OpenADR
install-control: install .venv/stamp-control  ## the library for makes that MineFarm does not command itself

demo: install  ## a farm of simulated miners, polled every minute: portal, admin, API
	@MINERS='$(MINERS)' PORT='$(PORT)' exec $(BIN)/python manage.py demo --miners '$(MINERS)' --port '$(PORT)' $(ARGS)

test: install-dev  ## the whole test suite on embedded servers
	@exec $(BIN)/python -m pytest $(ARGS)

test-storm: install-dev  ## the slow fault storms
	@exec $(BIN)/python -m pytest -m storm $(ARGS)

test-browser: install-browser  ## the pages in a real browser
	@exec $(BIN)/python -m pytest -m browser tests/browser $(ARGS)

lint: install-dev  ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: install-dev  ## mypy --strict
	@$(BIN)/mypy

layers: install-dev  ## import-linter
	@$(BIN)/lint-imports

check: lint types layers  ## lint, types, layers, migrations
	@$(BIN)/python manage.py makemigrations --check --dry-run

check-deploy: install  ## Django's deployment checks on production settings, with values that are thrown away
	@MINEFARM_ENV=production SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))')" ALLOWED_HOSTS=farm.example.com \
	  DATABASE_URL=postgres://farm:farm@database.invalid/farm REDIS_URL=redis://broker.invalid/0 \
	  $(BIN)/python manage.py check --deploy --fail-level WARNING

bench: install-dev  ## every benchmark, each printing a ratio against a limit of the same run
	@missed=; for b in benchmarks/*.py; do case $$b in */_*) ;; *) echo "== $$b"; $(BIN)/python $$b || missed="$$missed $$b";; esac; done; \
	  [ -z "$$missed" ] || { echo "not met:$$missed" >&2; exit 1; }

lock: install-dev  ## refresh requirements/*.txt from the .in files
	@cd requirements && for group in prod base dev browser control openadr; do \
	  ../$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate $$group.in -o $$group.txt || exit 1; done

clean:  ## stop the embedded servers, remove their data and .venv
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m minefarm.devstack destroy || exit 1; fi
	@rm -rf .venv .minefarm .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache static_root
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
