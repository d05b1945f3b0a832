# make help lists what there is. Everything happens in .venv and .crossrec beside this file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt
REFERENCE := $(addprefix crossrec.,verbs shown plots study_plots release_plots record_plots config errors \
	domains.spec data.split data.simulate data.simulate_tables data.city evaluation.protocols evaluation.report \
	models.encoder models.mixed releases.store serving.client serving.insight_client serving.messages \
	serving.explanation_messages serving.insight_messages serving.learning_messages)
export CROSSREC_HOME ?= $(CURDIR)/.crossrec

.PHONY: help demo test check lint docs tables bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## train, serve and show three domains (SMOKE=1: small, and ends by itself)
	@exec $(BIN)/crossrec demo $(if $(SMOKE),--smoke)

test: lint ## lint, types, tests, notebooks and browser test: what CI runs
	CROSSREC_NOTEBOOK_MODE=small $(BIN)/pytest --nbmake --nbmake-timeout=600 --timeout=700 notebooks
	$(BIN)/pytest

check: lint ## the quick part of `make test`: no cluster, no browser, no notebook
	$(BIN)/pytest -m "not ray and not slow and not browser"

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev ## the API reference, from the docstrings, into artifacts/reference
	$(BIN)/pdoc --docformat google --output-directory artifacts/reference $(REFERENCE)
	@echo artifacts/reference/index.html

tables: $(VENV)/.dev ## README tables from tests/benchmarks/results; says which bars are met
	$(BIN)/python -m tests.benchmarks.tables

bench: $(VENV)/.dev ## run every benchmark, one after the other (hours)
	@for file in $$(grep -l 'import.*write_rows' tests/benchmarks/*.py); do \
	name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

clean: ## remove what the other targets made: .venv, .crossrec, caches
	rm -rf $(VENV) .crossrec artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name '*.egg-info' -prune -exec rm -rf {} +

# A stamp beside each environment: repeated calls install nothing.
$(VENV)/.demo: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (minutes, the first time)"
	@$(INSTALL) -e ".[demo]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), with the tools for tests (minutes, the first time)"
	@$(INSTALL) -e ".[dev]"
	@touch $(VENV)/.demo $@
