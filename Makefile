# Every target first creates its virtual environment: a fresh machine needs Python, make and a package
# index.
PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal
INSTALLED := $(VENV)/installed

.PHONY: demo test test-slow test-clients test-lowest soak fuzz lint data bench docs docs-test dist clean

demo: $(INSTALLED)
	$(BIN)/python -m sklearn_bell demo $(if $(DATA),--data $(DATA))

# fast tests with all cores; about five minutes on two
test: $(INSTALLED)
	$(PYTEST) -m "not slow"
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -k array_api tests/test_common.py

# kills, long fuzzing, soak-like runs and child processes
test-slow: $(INSTALLED)
	$(PYTEST) -m slow

# programs of other packages, as far as they are in the extra `clients`
test-clients: $(VENV)/clients-installed
	$(BIN)/python -m pytest -m "not slow" tests/test_clients.py

# all tests with the lowest versions that pyproject.toml allows
test-lowest: $(LOWEST)/installed
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n logical --dist worksteal

# over an hour: training killed twenty times, then repeated cycles of everything
soak: $(INSTALLED)
	SKLEARN_BELL_KILLS=20 $(BIN)/python -m pytest -m slow -k killed tests/training/test_checkpoint.py
	$(BIN)/python tests/soak.py --minutes 60

# half an hour: more than 100,000 mutated files
fuzz: $(INSTALLED)
	SKLEARN_BELL_FUZZ=15000 $(BIN)/python -m pytest -s tests/fuzz

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The complete folds 1-8 of PTB-XL (480 MB) and links to the other data sets of $(RECORDINGS), so that
# `--data data` serves every benchmark. Tests and CI read $(RECORDINGS) itself.
RECORDINGS ?= $(abspath ../shared/data)
data: $(INSTALLED)
	mkdir -p data
	$(BIN)/python $(RECORDINGS)/ptb-xl-packed/unpack_ptbxl.py data/ptb-xl
	for name in ptb-xl-500hz ludb cinc2011-set-a code-test clinical; do \
	    ln -sfn $(RECORDINGS)/$$name data/$$name; \
	done

# hours; resumes if interrupted
bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench_fold8.py $(if $(DATA),--data $(DATA))
	$(BIN)/python benchmarks/bench_features.py $(if $(DATA),--data $(DATA))
	$(BIN)/python benchmarks/bench_methods.py $(if $(DATA),--data $(DATA))

docs: $(VENV)/docs-installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# needs Chromium
docs-test: docs
	$(BIN)/python docs/look.py docs/_build/html

# build wheel and source archive, and try them in empty environments
dist: $(INSTALLED)
	$(PYTHON) tests/check_dist.py

clean:
	rm -rf $(VENV) $(LOWEST) build dist docs/_build docs/auto_examples docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache

# constraints.txt pins the tested versions
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/clients-installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[clients]"
	touch $@

$(VENV)/docs-installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

$(LOWEST)/installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -c constraints-lowest.txt -e ".[test]"
	touch $@
