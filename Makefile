# The commands of the README. Each one does the set-up that it needs.
.PHONY: setup serve test lint bench

VENV := .venv

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml scripts/setup
	scripts/setup $(VENV) dev

serve: setup
	$(VENV)/bin/voicecore serve

test: setup
	$(VENV)/bin/pytest

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: setup
	$(VENV)/bin/python -m benchmarks.engine_steps
