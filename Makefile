# Every target makes its own virtual environment first, so that a fresh machine needs only Python,
# make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test soak lint bench clean

demo: $(INSTALLED)
	$(BIN)/python -m sklearn_bell demo $(if $(DATA),--data $(DATA))

test: $(INSTALLED)
	$(BIN)/python -m pytest
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -k array_api tests/test_common.py

# minutes: training that is killed twenty times
soak: $(INSTALLED)
	SKLEARN_BELL_KILLS=20 $(BIN)/python -m pytest -k killed tests/test_checkpoints.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# hours; goes on where it was ended
bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench_features.py $(if $(DATA),--data $(DATA))
	$(BIN)/python benchmarks/bench_linear_probe.py --jobs 2 $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# constraints.txt pins the versions this library is tested with
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@
