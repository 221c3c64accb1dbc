# The one door to everything. On a bare Debian 12 machine, as root: `make demo` and `make test` install what they need.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed

.PHONY: help setup debian demo test check format lint types contracts unit bench bench-smoke truth clean cluster-up cluster-down cluster-status

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the virtual environment

$(STAMP): setup.cfg pyproject.toml constraints.txt
	tests/lab/debian.sh venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

debian: ## install Debian's packages that the lab lacks (root)
	tests/lab/debian.sh lab

demo: debian setup ## a healthy and a broken path on the lab, shown (root)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.lab.demo

test: debian setup ## all tests, the lab's too (root)
	$(BIN)/python -m pytest

check: setup format lint types contracts unit ## everything that needs neither root nor the lab

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports --no-cache

unit: setup ## the tests that need neither root nor the lab
	$(BIN)/python -m pytest -m "not root and not lab"

bench: debian setup ## all benchmarks, each against a peer in the same run
	$(BIN)/python -m tests.bench all

bench-smoke: debian setup ## the same, small
	$(BIN)/python -m tests.bench all --smoke

truth: debian setup ## the table of faults, each switched on and diagnosed
	$(BIN)/python -m pytest tests/e2e/test_faults.py -v

CNI ?= flannel

cluster-up: setup ## a real Kubernetes on this machine, CNI=flannel|calico-shaped; kubeconfig in build/cluster/kubeconfig (root)
	tests/cluster/debian.sh
	$(BIN)/python -m tests.cluster up --cni $(CNI)

cluster-down: ## take it down
	$(BIN)/python -m tests.cluster down

cluster-status: ## what is up
	$(BIN)/python -m tests.cluster status

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info
