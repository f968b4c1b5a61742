# Each target sets up .venv by itself on a fresh machine with Python 3.11+ and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: enhance train test check lint evaluate clean

# The result of PHOTO=dark.jpg is dark-enhanced.jpg, beside it.
enhance: $(VENV)/.installed
	$(BIN)/python scripts/enhance_photos.py $(ARGS) "$(PHOTO)"

train: $(VENV)/.installed
	$(BIN)/python train.py $(ARGS)

evaluate: $(VENV)/.installed
	$(BIN)/python evaluate.py $(ARGS)

test: lint
	$(PYTEST) $(ARGS)

# Lint, types, and the tests that run no command and take a moment: a minute and a half on two idle cores.
check: lint
	$(PYTEST) -m fast $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# constraints.txt pins what the tests passed with.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
