# The one door to everything. On a bare Debian 12 machine, as root: `make demo` and `make test` install what they need.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
export PYTHON
# What pip installs, and what it builds this package with (older releases take the first for both).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup debian demo test check docs style format lint types contracts unit bench bench-smoke truth fresh promises krew standalone dist workflows release clean cluster-build cluster-up cluster-down cluster-test cluster-status

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the virtual environment

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@tests/lab/debian.sh venv
	@echo "making $(VENV), the virtual environment; this takes a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

debian: ## install Debian's packages that the lab lacks (root)
	@tests/lab/debian.sh lab

demo: debian setup ## a healthy and a broken path on the lab, shown (root)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.lab.demo

test: debian setup ## all tests, the lab's too (root)
	$(BIN)/python -m pytest

check: style unit ## everything that needs neither root nor the lab

# In an environment of its own, without the plugin: nobody else needs what makes it.
DOCS := build/docs-venv
DOCS_EXTRA = import configparser; c = configparser.RawConfigParser(); c.read("setup.cfg"); print(c["options.extras_require"]["docs"])

docs: $(DOCS)/.installed ## the documents as a site, build/docs/index.html; links are checked
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	@echo "build/docs/index.html; with search: $(PYTHON) -m http.server --directory build/docs"

$(DOCS)/.installed: setup.cfg constraints.txt
	@$(PYTHON) -m venv $(DOCS)
	@$(PYTHON) -c '$(DOCS_EXTRA)' | $(DOCS)/bin/pip install --quiet --requirement /dev/stdin
	@touch $@

style: setup format lint types contracts ## format, lint, types and import contracts

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --no-warn-unreachable --cache-dir .mypy_cache/win32 kubectl_vxtrace

contracts: setup
	$(BIN)/lint-imports --no-cache

unit: setup ## the tests that need neither root nor the lab
	$(BIN)/python -m pytest -m "not root and not lab and not cluster"

bench: debian setup ## all benchmarks, each against a peer in the same run
	$(BIN)/python -m tests.bench all

bench-smoke: debian setup ## the same, small
	$(BIN)/python -m tests.bench all --smoke

truth: debian cluster-build ## every fault, reported mechanisms and healthy paths, traced and judged: docs/truth.md (root; it may be interrupted)
	$(BIN)/python -m tests.truth

fresh: setup ## whether docs/truth.md was written by the diagnosis that is here
	@$(BIN)/python -m tests.truth.freshness

promises: debian cluster-build ## signals in every phase, failing APIs, sick clusters, traces in a row, on the lab and on Kubernetes: docs/promises.md (root)
	$(BIN)/python -m tests.promises

# krew's archive: the plugin with its own Python, so that it runs where there is none.
PACKED := $(BIN)/python -m pytest tests/e2e/test_packed.py tests/dist tests/test_krew_manifest.py

krew: setup ## that archive for systems as new as the machine this runs on, and the manifest with its SHA-256
	@tests/lab/debian.sh krew
	@$(BIN)/python -m tests.dist.krew $(PYTHON)
	$(PACKED) -m "not lab and not root"

standalone: setup ## the same for Linux on amd64 from glibc 2.28 on, with a Python that is built in an older Debian (root, half an hour once)
	@tests/lab/debian.sh standalone
	@$(BIN)/python -m tests.dist.krew older
	$(PACKED) -m "not lab"

# The builders have an environment of their own, and so has what they build, so that the bill of materials lists what it needs alone.
DIST := build/dist-venv
WITH_WHEEL := build/dist-runtime

dist: $(DIST)/.installed ## wheel, source archive, bill of materials and sums into dist/; the same bytes each time
	@rm -rf $(WITH_WHEEL) && $(PYTHON) -m venv $(WITH_WHEEL)
	@$(DIST)/bin/python -m tests.dist $(WITH_WHEEL)/bin/python

DIST_EXTRA = $(subst "docs","dist",$(DOCS_EXTRA))

$(DIST)/.installed: setup.cfg constraints.txt
	@$(PYTHON) -m venv $(DIST)
	@$(PYTHON) -c '$(DIST_EXTRA)' | $(DIST)/bin/pip install --quiet --requirement /dev/stdin
	@touch $@

workflows: ## actionlint on the workflows (Go)
	@go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck= -pyflakes= .github/workflows/*.yml

RELEASED = $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),standalone,krew)

release: fresh $(RELEASED) ## the archive for a release: refused where docs/truth.md is older than what reaches the verdicts

CNI ?= flannel

cluster-build: setup ## build what it needs and the cache lacks; start nothing (root)
	tests/cluster/debian.sh
	$(BIN)/python -m tests.cluster build

cluster-up: setup ## a real Kubernetes on this machine, CNI=flannel|calico-shaped; kubeconfig in build/cluster/kubeconfig (root)
	tests/cluster/debian.sh
	$(BIN)/python -m tests.cluster up --cni $(CNI)

cluster-down: ## take it down
	$(BIN)/python -m tests.cluster down

cluster-test: setup ## the tests of the cluster itself, and what only it can show of the plugin (root, after cluster-up)
	$(BIN)/python -m pytest tests/cluster -m cluster
	$(BIN)/python -m pytest tests/e2e tests/chaos/test_chaos.py --on cluster

cluster-status: ## what is up
	$(BIN)/python -m tests.cluster status

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info
