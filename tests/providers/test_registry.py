from __future__ import annotations

import pytest

from models_store.families import LAYOUTS
from providers import registry


def test_what_the_intake_takes_can_be_spoken() -> None:
    assert {layout.family for layout in LAYOUTS} == registry.FAMILIES.keys()


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_every_row_names_classes_that_are_there(family: str) -> None:
    assert hasattr(registry.provider(family), "create_engine")
    assert hasattr(registry._resolve(registry.FAMILIES[family].text_front_end), "prompts")
