# PYTHON=... chooses the interpreter that the environments are made with and the GPU
# targets run on; TESTS=... the tests that `make test` and its variants run;
# BENCH=... options of benchmarks/{scan,backbone}.py; RESULTS=... the folder of `make bench-gpu`'s tables
PYTHON ?=
TESTS ?= tests
BENCH ?=
RESULTS ?= work_dirs/bench
CODE := $(wildcard sparx_mm kernels configs tools tests benchmarks scripts setup.py)
# with Python in them
PAGES := docs README.md CONTRIBUTING.md
ANY_PYTHON = $(or $(PYTHON),python3)
MAKE_ENV = $(ANY_PYTHON) scripts/make_env.py
# set-up writes run.env, which hides a GPU that mmcv cannot use
RUN := . .venv/run.env &&

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-faults test-openmmlab test-gpu bench-gpu docs lint format clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## make .venv, if it is not there or no longer fits
	@$(MAKE_ENV)

demo: setup  ## train, evaluate and show a detector and a segmentor on shapes
	$(RUN) .venv/bin/python tools/demo.py

# two workers of one thread each, because more threads than cores only wait
test: setup  ## run the tests that are not marked faults
	$(RUN) OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 -m 'not faults' --durations=20 $(TESTS)

test-fast: setup  ## run the tests that are marked neither slow nor faults
	$(RUN) OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 -m 'not slow and not faults' $(TESTS)

test-faults: setup  ## try every fault of docs/reliability.md, and print its table with the outcomes
	$(RUN) OMP_NUM_THREADS=1 PYTHONPATH=tests/helpers .venv/bin/pytest -p fault_table \
		-n 2 -m 'faults or tries' --durations=20 $(TESTS)

test-openmmlab:  ## run the tests marked stack on the original OpenMMLab packages
	@$(MAKE_ENV) openmmlab
	. .venv-openmmlab/run.env && OMP_NUM_THREADS=1 \
		.venv-openmmlab/bin/pytest -n 2 -m stack --durations=5 $(TESTS)

test-gpu:  ## test the kernels on a GPU with PYTHON, without .venv
	@$(ANY_PYTHON) tests/kernels/gpu.py

bench-gpu: export SPARX_MM_KERNELS = triton
bench-gpu: test-gpu  ## run test-gpu and the self-test, then the benchmarks
	$(ANY_PYTHON) -m sparx_mm.info --selftest
	mkdir -p $(RESULTS)
	PYTHONPATH=. $(ANY_PYTHON) benchmarks/scan.py --device cuda \
		--output $(RESULTS)/scan.md $(BENCH)
	PYTHONPATH=. $(ANY_PYTHON) benchmarks/parts.py --device cuda --output $(RESULTS)/parts.md
	PYTHONPATH=. $(ANY_PYTHON) benchmarks/backbone.py --device cuda \
		--output $(RESULTS)/backbone.md $(BENCH)
	PYTHONPATH=. $(ANY_PYTHON) benchmarks/family.py --device cuda \
		--output $(RESULTS)/family.md

docs: export NO_MKDOCS_2_WARNING = 1
docs: setup  ## build the pages of docs/ as a site in build/site; a dead link or anchor fails
	.venv/bin/mkdocs build --strict --quiet
	@echo 'open build/site/index.html, or serve it: python3 -m http.server -d build/site'

lint: setup  ## check style, docstrings and spelling
	.venv/bin/ruff check $(CODE) docs
	.venv/bin/python scripts/check_docstrings.py $(filter-out configs tests,$(CODE))
	.venv/bin/ruff format --diff $(CODE) $(PAGES)
	.venv/bin/codespell $(CODE) Makefile setup.cfg docs *.cff *.md

format: setup  ## sort imports and lay out code as lint wants it
	.venv/bin/ruff check --fix $(CODE) docs
	.venv/bin/ruff format $(CODE) $(PAGES)

clean:  ## remove environments, builds and caches; data and results stay
	rm -rf .venv .venv.old .venv-openmmlab .venv-openmmlab.old build dist *.egg-info .hypothesis .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
