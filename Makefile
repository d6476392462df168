# Two commands: make demo, make test. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check clean

.venv/ready: pyproject.toml deploy/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tilth needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c deploy/constraints.txt -e '.[test]'
	touch .venv/ready

demo: .venv/ready
	$(BIN)/tilth demo --size small --out demo

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two files of tests at a time; those that kill processes and start clusters have the machine to themselves.
WORKERS ?= 2
ALONE := tests/chaos tests/cluster tests/servers

test: check
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)

clean:
	rm -rf .venv demo work build dist *.egg-info
