.DEFAULT_GOAL := help
PYTHON ?= python
WHEELS = $(addprefix --only-binary ,matplotlib numpy pandas pyyaml scikit-learn scipy statsmodels)

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup:  ## install the package with all that development needs, and the pre-commit hooks
	$(PYTHON) -m pip install -e '.[dev]'
	git rev-parse --git-dir > /dev/null 2>&1 && $(PYTHON) -m pre_commit install || true

format:  ## format the code and mend what ruff can mend
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

check:  ## lint, formatting and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:  ## all tests
	$(PYTHON) -m pytest

slowest:  ## the tests that take the most processor time; TESTS=tests/unit/data looks at some
	$(PYTHON) -m pytest -q --slowest 40 $(TESTS)

lowest:  ## all tests on the oldest releases that pyproject.toml allows, in build/lowest; PYTHON=python3.13 chooses the Python
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/python -m pip install --quiet uv
	build/lowest/bin/python -m uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct $(WHEELS) -e '.[dev]'
	build/lowest/bin/python -m tests.bounds
	build/lowest/bin/python -m pytest -W default::DeprecationWarning  # old releases use what newer ones deprecate

kills:  ## kill 100 runs at random moments, resume them, and compare
	$(PYTHON) -m pytest -n 0 tests/integration/test_kills.py --kills 100

identity:  ## keep the losses of 100 steps as they are now; a refactor leaves them unchanged
	$(PYTHON) -m pytest -n 0 -q --write-losses tests/distributed/test_losses.py

jobs:  ## jobs on a private SLURM that are preempted or come to their time limit, an array, a shared comparison
	$(PYTHON) -m pytest -n 0 tests/slurm/long_jobs.py

exports:  ## train every shipped config on made-up data, export it in every format, and compare what each predicts
	$(PYTHON) -m pytest -n 0 tests/integration/long_exports.py

faults:  ## break runs of two processes in every known way, started by the command, torchrun and srun: a table
	$(PYTHON) -m experiments.faults

rooms:  ## the package's rooms, the imports between them, and circles
	$(PYTHON) -m tests.rooms

benchmark:  ## speed and memory: a table, and build/benchmark.json
	$(PYTHON) -m experiments.benchmark --output build/benchmark.json

docs:  ## the site, in build/docs: warnings are errors, no network
	$(PYTHON) -m sphinx -W --keep-going -q -j auto -d build/doctrees docs build/docs

dist:  ## the wheel and the source distribution, checked, in build/dist
	rm -rf build/dist
	$(PYTHON) -m build --outdir build/dist
	$(PYTHON) -m twine check --strict build/dist/*
	$(PYTHON) -m tests.distributions build/dist

.PHONY: help setup format check test slowest kills jobs exports faults lowest identity rooms benchmark docs dist
