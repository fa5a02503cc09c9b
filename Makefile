# make demo: train on real digits, sample, score, and write runs/demo/report.html (minutes on two CPU cores)
# make test: lint, strict types, import layers and the whole test suite (five minutes on two cores)
# make quick: lint, and the tests that are not marked slow (under a minute)
# make benchmark: speed beside diffusers and denoising-diffusion-pytorch, to docs/results/speed.md (a quarter of an hour)
# make env:  just the environment, .venv, with .venv/bin/iddpm in it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)
# A worker for every core, which takes tests from another when it has none left.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: env demo benchmark test quick lint types layers unit clean

env: $(VENV)/.installed

# The environment is made anew whenever the locked dependencies change.
$(VENV)/.installed: requirements.lock requirements-alone.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "iddpm needs Python 3.11 or newer, and $(PYTHON) is older; try: make env PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) -r requirements.lock
	$(PIP) --no-deps -r requirements-alone.lock -e .
	@touch $@

demo: env
	@$(BIN)/iddpm train digits --run runs/demo
	@$(BIN)/iddpm report runs/demo

benchmark: env
	$(PIP) diffusers==0.42.1 accelerate einops ema-pytorch==0.8.3
	$(PIP) --no-deps denoising-diffusion-pytorch==2.3.4
	$(BIN)/python -W ignore -m benchmarks.compare

test: env lint types layers unit

quick: env lint
	$(PYTEST) -m "not slow"

lint: env
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: env
	$(BIN)/mypy

layers: env
	$(BIN)/lint-imports --no-cache

unit: env
	$(PYTEST) --durations=20

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
