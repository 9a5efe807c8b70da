"""The fake family (see fake_family.py) for tests of the server."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load_fake_family() -> ModuleType:
    """By path: tests are not packages. One module for the whole session, so its classes are identical."""
    name = "fake_family"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("fake_family.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def fake_family() -> ModuleType:
    """`FakeEngine`, `FakeProvider`, `FakeTextFrontEnd`, `Fault`, `prompt`, `expected_samples`."""
    return _load_fake_family()
