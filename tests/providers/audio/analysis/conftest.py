"""The labelled set, group by group."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

GROUPS = ("clean", "noisy", "distorted", "not alone", "from afar", "no wav", "hardly speech")


@pytest.fixture(scope="session", params=GROUPS)
def labelled(
    request: pytest.FixtureRequest, labelled_recordings: ModuleType, speak: Any, sentences_of: Any
) -> list[Any]:
    """Recordings with the verdict and the rule that are right for each."""
    assert set(GROUPS) == set(labelled_recordings.GROUPS)
    return list(labelled_recordings.GROUPS[request.param](speak, sentences_of))
