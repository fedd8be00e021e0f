# Two commands for a fresh machine: `make demo` fine-tunes on real DNA, `make test` runs every check.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

# Test files side by side, one process and one thread for each core.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: demo test check quantized lint types mlinter clean

demo: $(VENV)/.demo
	$(BIN)/dnafm quickstart

test: lint types mlinter quantized
	$(PYTEST) -m "not network"

check: lint types mlinter quantized
	$(PYTEST) -m "not network and not slow"

# torchao is apart: where it is installed, transformers imports it always, and it speaks on stderr.
quantized: $(VENV)/.dev
	PYTHONPATH=$(VENV)/torchao $(BIN)/python -m pytest --quiet tests/modeling/test_quantised.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

mlinter: $(VENV)/.dev
	$(BIN)/python tools/lint_hub_files.py

clean:
	rm -rf $(VENV) build dist *.egg-info

# torch goes first and alone: what depends on it would otherwise pull a CUDA build of several gigabytes.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	touch $@

$(VENV)/.demo: $(VENV)/.torch setup.cfg
	$(PIP) --editable '.[train]'
	touch $@

$(VENV)/.dev: $(VENV)/.torch setup.cfg
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps --target $(VENV)/torchao --upgrade torchao
	touch $@
