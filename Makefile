# Every target makes its own virtual environment first, so that a fresh machine needs only Python,
# make and a package index.
PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test test-lowest soak fuzz lint data bench docs docs-test dist clean

demo: $(INSTALLED)
	$(BIN)/python -m sklearn_bell demo $(if $(DATA),--data $(DATA))

test: $(INSTALLED)
	$(BIN)/python -m pytest
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -k array_api tests/test_common.py

# the lowest versions that pyproject.toml allows
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest

# over an hour: training that is killed twenty times, then everything again and again
soak: $(INSTALLED)
	SKLEARN_BELL_KILLS=20 $(BIN)/python -m pytest -k killed tests/test_checkpoints.py
	$(BIN)/python tests/soak.py --minutes 60

# half an hour: more than 100,000 files that nobody should be sent
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

# hours; goes on where it was ended
bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench_features.py $(if $(DATA),--data $(DATA))
	$(BIN)/python benchmarks/bench_linear_probe.py --jobs 2 $(if $(DATA),--data $(DATA))

docs: $(VENV)/docs-installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# wants Chromium, as of Debian's package
docs-test: docs
	$(BIN)/python docs/look.py docs/_build/html

# wheel and source archive, and whether they work in an empty environment
dist: $(INSTALLED)
	$(PYTHON) tests/check_dist.py

clean:
	rm -rf $(VENV) $(LOWEST) build dist docs/_build docs/auto_examples docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache

# constraints.txt pins the versions this library is tested with
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/docs-installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

$(LOWEST)/installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -c constraints-lowest.txt -e ".[test]"
	touch $@
