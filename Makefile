# `make help` lists the targets. Each of them does its own set-up, once.

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

DEMO := .demo
QUESTION := What are the dancers' masks at the Marrowtide Festival made of?
GENERAL := How many days are in a week?

.DEFAULT_GOAL := help
.PHONY: help demo test test-models torture check-tools lint bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed ## learn an invented document and ask about it, before and after
	@rm -rf $(DEMO)
	@PATH="$(CURDIR)/$(BIN):$$PATH"; set -e; \
	run() { \
	  printf '\n$$ selfedit'; \
	  for word in "$$@"; do case $$word in *" "*) printf ' "%s"' "$$word";; *) printf ' %s' "$$word";; esac; done; \
	  printf '\n'; \
	  selfedit "$$@"; \
	}; \
	run --version; \
	run ask "$(QUESTION)" --base --library $(DEMO); \
	run learn examples/marrowtide-festival.md --quiz examples/marrowtide-festival.quiz.jsonl --library $(DEMO); \
	run ask "$(QUESTION)" --compare --library $(DEMO); \
	run ask "$(GENERAL)" --compare --library $(DEMO)

# One thread a worker: two workers with a thread for each core would fight for the cores.
test: $(VENV)/.dev ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -q

test-models: $(VENV)/.dev ## test tiny models of every architecture (a minute)
	SELFEDIT_EVERY_MODEL=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -q tests/model/test_architectures.py

# 100 random points for each command, 10,000 inputs for each parser; TORTURE=4 is a short one.
TORTURE ?= 100

torture: $(VENV)/.dev ## attack it: kills, full disks, hostile input, long lives (hours; docs/reliability.md)
	SELFEDIT_TORTURE=$(TORTURE) OMP_NUM_THREADS=1 $(BIN)/python scripts/torture.py

check-tools: $(VENV)/.dev ## let vLLM and llama.cpp answer with our adapters, where they are present
	OMP_NUM_THREADS=1 $(BIN)/python scripts/check_tools.py
	OMP_NUM_THREADS=1 $(BIN)/python scripts/check_routed.py
	OMP_NUM_THREADS=1 $(BIN)/python scripts/check_vllm_sampler.py

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.installed ## time the inner loop on this machine
	$(BIN)/selfedit bench inner

docs: $(VENV)/.docs ## write the generated pages, and build the site in build/site; a broken link stops it
	$(BIN)/python scripts/cli_docs.py
	$(BIN)/python scripts/settings_docs.py
	$(BIN)/python scripts/tutorial.py
	NO_COLOR=1 $(BIN)/zensical build --clean --strict
	@echo "The site starts at build/site/index.html"

clean: ## remove the environment, the demo's library and all caches
	rm -rf $(VENV) $(DEMO) build dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# setuptools comes first and pinned, because an isolated build would fetch whichever is the latest.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@$(PIP) --no-build-isolation --editable '.[docs]'
	@touch $@
