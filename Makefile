# make run ARGS="--until staging"   hands ARGS to the command
PYTHON := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup browser run test lint format lock bench bench-gate doctor clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## virtual environment, Docker engine, base images; seconds the second time
	@scripts/setup

run: setup ## build, integration, staging, production: one digest through all four
	@$(PYTHON) -m pipeline run $(ARGS)

browser: setup
	@$(PYTHON) scripts/browser.py

test: setup browser lint ## every test, on real containers
	@$(PYTHON) -m pytest $(ARGS)

lint: setup ## style, types and who may import whom
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports --no-logo

format: setup ## puts the code into form
	@$(PYTHON) -m ruff check --fix --quiet . || true
	@$(PYTHON) -m ruff format .

lock: setup ## pins requirements/*.in to requirements/*.txt with hashes
	@scripts/lock $(ARGS)

bench-gate: setup ## how often the load gate is right, on the real stage; about a minute a decision
	@$(PYTHON) -m bench.gate $(ARGS)

bench: setup ## measures what the documentation states
	@$(PYTHON) -m bench $(ARGS)

doctor: setup ## every prerequisite as OK, SKIP or NG with the fix
	@$(PYTHON) -m pipeline doctor

clean: ## stops the local cloud; removes .venv and caches, never evidence, images or databases in .pipeline
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m pipeline local down || \
	    { echo 'error: the local cloud did not stop; nothing was removed' >&2; exit 1; }; fi
	@rm -rf .venv .cache .hypothesis
	@find . -path ./.pipeline -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	@echo 'removed .venv and caches; .pipeline (evidence, images, databases) is untouched: `python -m pipeline local reset` removes the local cloud'"'"'s data'
