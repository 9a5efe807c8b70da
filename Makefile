# The commands of the README. Each one does the set-up that it needs.
.PHONY: setup serve test lint bench load ui

VENV := .venv

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml scripts/setup
	scripts/setup $(VENV) dev

serve: setup
	$(VENV)/bin/voicecore serve

# A worker per core, each with one thread: workers that share cores by threads wait for each other. They take
# the files in the order that tests/conftest.py puts them in.
test: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 15

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: setup
	$(VENV)/bin/python -m benchmarks.engine_steps

# An hour and a half: capacity, knee and a soak. Give it a machine that does nothing else.
load: setup
	scripts/load bench-load

# Needs Node 20; what it makes is committed, so nobody else does.
ui:
	npm --prefix ui ci --no-audit --no-fund
	npm --prefix ui run build
