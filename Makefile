# Every task of the book. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
PRESET ?= laptop
CHAPTERS ?=
JOBS ?= 2
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help env book serve lab test lint bench clean

help:  ## list the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  options: PRESET=smoke|laptop|gpu  CHAPTERS='cams ...'  JOBS=2  PORT=8000  PYTHON=python3.11"

env:  ## make or refresh .venv (quick when nothing changed)
	@$(PYTHON) tools/env.py

book: env  ## fetch the data, run the chapters, print the site to _build/html
	@$(BIN)/featlib book $(CHAPTERS) --preset $(PRESET) --jobs $(JOBS)

serve: book  ## print the book, then serve it on http://localhost:8000
	@$(BIN)/python -m http.server $(PORT) --directory _build/html

lab: env  ## open the chapters in JupyterLab
	@$(BIN)/jupyter lab notebooks

test: lint  ## lint, types, import arrows, then all tests on real data
	@$(BIN)/python tools/browser.py
	@$(BIN)/python -c "from featlib.data import sources; sources.fetch()"
	@$(BIN)/pytest -n $(JOBS)

lint: env  ## ruff, mypy, import-linter, stripped notebooks, cards
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb
	@$(BIN)/featlib cards notebooks/*.yml

bench: env  ## time the kernels against their peers, append to book/performance.csv
	@$(BIN)/python -m tests.bench

clean:  ## remove everything that can be made again, except .venv
	rm -rf _build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
