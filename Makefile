# Everything a target needs, it installs: a Python from 3.11 and the network for pip are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES := 2
MODEL := bytedance/dreamina-4-0/text-to-image

.DEFAULT_GOAL := help
.PHONY: help run test test-all torture lint format docs site release bench clean

help: ## What can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: $(VENV)/run.stamp ## Set up, then run a spreadsheet of prompts against the sandbox (no token, no cost)
	@$(BIN)/batchgen run jobs/spring-campaign.csv --model $(MODEL) --sandbox
	@echo
	@echo "Look at  jobs/spring-campaign.run.sandbox/report.html   the page"
	@echo "         jobs/spring-campaign.run.sandbox/results.csv   the spreadsheet, with what became of each row"
	@echo "         jobs/spring-campaign.run.sandbox/outputs/      the pictures"

test: $(VENV)/dev.stamp ## The tests (under four minutes, Python only)
	$(BIN)/python -m pytest -n auto -m "not slow" -q

test-all: $(VENV)/dev.stamp $(VENV)/release.stamp ## Every test, also the long ones, in a browser and on Ray; installs them (ONLY=slow)
	@.ci/packages
	$(BIN)/python -m pytest -n auto -q $(if $(ONLY),-m $(ONLY))

torture: $(VENV)/dev.stamp ## Kill runs at random, then count: MINUTES=5 or KILLS=500, SEED=7 to replay
	$(BIN)/python -m tests.torture $(if $(KILLS),--kills $(KILLS),--minutes $(MINUTES)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(if $(KEEP),--keep)

lint: $(VENV)/dev.stamp ## Formatting, lint and types; scripts, workflows and the container file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/run .ci/packages docs/scale/slurm.sh
	$(BIN)/hadolint .ci/Containerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

format: $(VENV)/dev.stamp ## Bring the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/dev.stamp ## Write the pages of docs/ that are made from code
	$(BIN)/python -m tests.write_settings_page
	$(BIN)/python -m tests.write_cli_pages
	$(BIN)/python -m tests.write_messages_page

site: $(VENV)/dev.stamp ## The pages of docs/ as a site, in site/ (no network)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file .ci/mkdocs.yml

release: $(VENV)/release.stamp ## Build and check what is released; stops before uploading (PYTHONS="python3.13")
	@$(BIN)/python .ci/release $(if $(PYTHONS),--pythons "$(PYTHONS)") $(if $(ANY_TREE),--any-tree)

bench: $(VENV)/dev.stamp ## Benchmarks: ratios against rivals, in one run each (half an hour; ONLY=start)
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

clean: ## Remove what these targets made
	rm -rf $(VENV) dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis jobs/*.run jobs/*.run.sandbox

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "batchgen needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing (Debian: apt install python3-venv)"; exit 1; }

$(VENV)/run.stamp: pyproject.toml | $(VENV)/bin/python
	@echo "Setting up in $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/release.stamp: pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	@touch $@
