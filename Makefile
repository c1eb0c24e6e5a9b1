# Two commands for a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN := $(BIN)/python

.PHONY: demo test check format schema docs clean help

help:
	@echo "make demo    compile specs/minilm.yaml, verify it, run the emitted predictor"
	@echo "make test    run the tests"
	@echo "make check   format, lint, types, import contract, generated files"
	@echo "make format  format and mend what the linter can"
	@echo "make docs    write the generated parts of docs/, README.md and schemas/"

# torch is installed first and by itself: a looser request would pull in packages for accelerators.
$(VENV)/.base: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch==2.13.0
	$(PIP) install -q -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) install -q -c constraints.txt -e '.[demo,dev]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/hfspec compile specs/minilm.yaml -o build/minilm
	$(BIN)/hfspec verify build/minilm
	$(RUN) examples/similarities.py build/minilm

test: $(VENV)/.dev
	$(RUN) -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hfspec schema --check
	$(RUN) docs/generate.py --check

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/hfspec schema
	$(RUN) docs/generate.py

clean:
	rm -rf build $(VENV)
