# `make help` is the front door.
.DEFAULT_GOAL := help
.PHONY: help setup up down demo test unit lint bench chaos alarms several image sbom k8s migration clean

PEOPLE ?= 2000
# Tests that start processes wait more than they compute: two for each of the least two processors.
WORKERS ?= 4
IMAGE ?= localhost/zhida:dev
BASE ?=
PODMAN ?= podman
SEEDS ?= 1
VENV := .venv/bin
UV = $$(command -v uv || echo .zhida/tools/bin/uv)
help:  ## Show this list
	@sed -nE 's/^([a-z0-9]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup:  ## Install what is missing: system packages (apt), uv, Python packages
	@deploy/local/bootstrap.sh

up: setup  ## Start Zhida on this machine (http://127.0.0.1:8000 or the next free port)
	@$(VENV)/zhida up

down:  ## Stop it; nothing stays behind but the data
	@[ ! -x $(VENV)/zhida ] || $(VENV)/zhida down

demo: setup  ## The main job from roster to paid, with synthetic people (PEOPLE=2000)
	@$(VENV)/zhida demo --people $(PEOPLE)

test: setup lint  ## Everything: lint, unit, integration, end to end, browser, faults
	$(VENV)/pytest -n $(WORKERS) --maxschedchunk 12 -q --durations 10 -m "not alone" tests
	$(VENV)/pytest -n 2 --dist loadfile --no-loadscope-reorder -q --durations 10 -m alone tests

unit: setup  ## Unit and contract tests only, in parallel
	$(VENV)/pytest -n auto -q tests/unit tests/contract

lint: setup  ## ruff, mypy --strict, import-linter, bandit, semgrep, detect-secrets
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/python -m deploy.lint & findings=$$!; \
	$(VENV)/mypy && $(VENV)/lint-imports --config pyproject.toml; types=$$?; \
	wait $$findings && exit $$types

bench: setup  ## Speed and memory, into docs/benchmarks.md and .zhida/bench.json
	$(VENV)/python -m tests.bench

chaos: setup  ## Hurt a city in every way of docs/faults.md and read the promises (SEEDS=1)
	$(VENV)/python -W ignore -m tests.chaos --seeds $(SEEDS) $(CHAOS)
	$(VENV)/python -W ignore -m tests.chaos --rows 8 --people 300 --uncured no_inbox

alarms: setup  ## Let faults last until their alerts ring in a real Prometheus (an hour)
	$(VENV)/python -W ignore -m tests.chaos.alarms $(ALARMS)

image: setup  ## The container image (IMAGE=zhida:dev, BASE=any Debian 12 image) and its digest
	$(PODMAN) build --network host --file deploy/Containerfile --tag $(IMAGE) \
		$(if $(BASE),--build-arg BASE=$(BASE)) .
	@$(PODMAN) image inspect --format '{{.Digest}} {{.Size}} bytes' $(IMAGE)

sbom: setup  ## What the image is made of, CycloneDX 1.6, into .zhida/sbom.json
	@PODMAN="$(PODMAN)" $(UV) run --project deploy/checks --group bom --isolated --frozen \
		python deploy/checks/sbom.py $(IMAGE) .zhida/sbom.json

k8s: setup  ## Everything on a true cluster: KUBECONFIG's, or the lab in ../shared/k8s-lab
	@$(VENV)/python -W ignore -m deploy.kubernetes.trial.run

several: setup  ## Two of each service and three brokers: one of each lost under load; backup and restore
	$(VENV)/python -W ignore -m tests.several
	$(VENV)/python -W ignore -m tests.several.restore

migration: setup  ## A new migration from the models: make migration SERVICE=registry MESSAGE="..."
	@$(VENV)/python -m deploy.local.migration "$(SERVICE)" "$(MESSAGE)"

clean: down  ## Stop everything and remove the local data, caches and virtual environment
	@[ ! -x $(VENV)/zhida ] || $(VENV)/zhida down --erase --yes
	rm -rf .zhida .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
