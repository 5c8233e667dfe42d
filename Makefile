# make demo and make test are all that a newcomer needs: Python 3.11 or 3.12 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first of these that runs and is a version that we support.
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PROJECTS := . $(wildcard models/*)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' platform/tastemaker/_version.py)

# No dependency reports home.
export BENTOML_DO_NOT_TRACK := True
export DO_NOT_TRACK := 1
export GX_ANALYTICS_ENABLED := False
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DAGSTER_DISABLE_TELEMETRY := 1
export ORT_DISABLE_TELEMETRY := 1
# docs/decisions/0047 says why MkDocs stays below 2.
export NO_MKDOCS_2_WARNING := 1
# Threads that wait for each other sleep instead of spinning: tests run side by side.
export OMP_WAIT_POLICY := PASSIVE
# Bytecode makes the second start of a command two to three times faster.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test test-fast bi demo-test check docs lock release format clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

install: $(VENV)/installed  ## set up .venv with the pinned packages and this project, editable

$(VENV)/installed: requirements/bootstrap.txt requirements/dev.txt $(addsuffix /pyproject.toml,$(PROJECTS))
	@test -n "$(PYTHON)" || { echo "Tastemaker needs Python 3.11 or 3.12; none was found. Say which: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation $(addprefix -e ,$(addprefix ./,$(PROJECTS)))
	@touch $@

demo: install  ## a simulated shop, all the way from raw events to a served, logged answer
	$(BIN)/tastemaker demo

# Many tests wait for servers or out an outage: four workers keep two processors busy.
test: install  ## run the tests
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

# Files are in memory where it has 2 GB to spare: databases and logs wait for a disk at each commit.
# A worker's matrix products have one thread, so that none waits for another; a third worker runs while tests wait.
test-fast: export OPENBLAS_NUM_THREADS := 1
test-fast: install  ## run the unit tests that start no process and are not slow
	free=$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 {print $$4}') || free=0; \
	if [ "$${free:-0}" -gt 2000000 ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi; \
	$(BIN)/pytest -n 3 --dist loadfile -q --durations 10 --durations-min 2 -o tmp_path_retention_policy=failed \
		-p no:schemathesis -p no:faker -p no:typeguard --hypothesis-profile fast \
		-m "not processes and not servers and not slow" tests/unit models

# Superset needs packages that Tastemaker must not have, so it has an environment of its own: 640 MB.
bi: install  ## load the dashboards into a real Superset and compare its figures; a nightly job of minutes
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python build/superset
	$(BIN)/uv pip install --python build/superset/bin/python --quiet --require-hashes -r deploy/superset/requirements.txt
	$(BIN)/pytest -q tests/nightly/test_superset.py

demo-test: install  ## run the whole demo and read its words; a nightly job of minutes
	$(BIN)/pytest -q tests/nightly/test_whole_demo.py

check: install docs  ## lint, types, import boundaries, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=tests $(BIN)/mypy platform/tastemaker pipelines/tastemaker_pipelines feature_repo/tastemaker_features \
		expectations/tastemaker_expectations $(wildcard models/*/tastemaker_* models/*/tests) benchmarks docs tests deploy/superset deploy/metabase conftest.py
	$(BIN)/lint-imports

docs: install  ## build the documentation's site: build/site/index.html
	$(BIN)/mkdocs build --strict

format: install  ## format the code and fix what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install  ## compile the pins again: versions and hashes, no host names
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		requirements/bootstrap.in -o requirements/bootstrap.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		requirements/dev.in -o requirements/dev.txt \
		$(foreach project,$(PROJECTS),--no-emit-package $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(project)/pyproject.toml | head -1))
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		deploy/superset/requirements.in -o deploy/superset/requirements.txt

release:  ## build the wheels into dist/ and tag the commit; see docs/dev/releasing.md
	@test -z "$$(git status --porcelain)" || { echo "error: there are uncommitted changes"; echo "  fix: commit or stash them"; exit 1; }
	@grep -q "^## $(VERSION) - " CHANGELOG.md || { echo "error: CHANGELOG.md has no section '## $(VERSION) - DATE'"; \
		echo "  fix: rename Unreleased, see docs/dev/releasing.md"; exit 1; }
	rm -rf dist
	for project in $(PROJECTS); do (cd $$project && $(abspath $(BIN))/python -m hatchling build --target wheel --directory $(CURDIR)/dist); done
	git tag --annotate v$(VERSION) --message "Tastemaker $(VERSION)"

clean:  ## remove the demo's home and the caches; .venv stays
	rm -rf .tastemaker .pytest_cache .mypy_cache .ruff_cache .hypothesis
