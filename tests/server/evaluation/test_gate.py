"""Bounds: read from the setting, and missed by name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from server.evaluation.gate import missed_bounds, parse_bound
from server.settings import Settings

RESULT = {
    "systems": [{"scores": {"cer": {"mean": 0.31}, "dnsmos": {"mean": 3.0}}}],
    "unmeasured": {"own_similarity": "the family has none"},
}


@pytest.mark.parametrize(
    ("bounds", "missed"),
    [
        pytest.param(["cer<=0.31", "dnsmos>=3"], [], id="on-the-bounds"),
        pytest.param(["cer<=0.3"], ["character error 0.31 (expected at most 0.3)"], id="too-many-errors"),
        pytest.param([" dnsmos >= 3.01 "], ["dnsmos overall 3 (expected at least 3.01)"], id="too-bad"),
        pytest.param(
            ["own_similarity>=0.5"],
            ["no own similarity (the family has none; expected at least 0.5)"],
            id="not-measured",
        ),
        pytest.param(["cer<=0.1", "dnsmos>=1", "rtf<=1"], 2, id="several"),
    ],
)
def test_what_is_missed_is_said_with_what_was_expected(bounds: list[str], missed: list[str] | int):
    found = missed_bounds(bounds, RESULT)
    assert found == missed if isinstance(missed, list) else len(found) == missed


@pytest.mark.parametrize("text", ["cer", "cer<0.3", "beauty>=1", "cer<=many", "", "cer<=0.3;"])
def test_what_is_no_bound_is_refused_when_the_server_starts(text: str):
    with pytest.raises(ValueError, match="expected"):
        parse_bound(text)
    with pytest.raises(ValidationError):
        Settings(gate=(text,))


def test_a_bound_reads_back_as_it_was_written():
    assert str(parse_bound("cer <= 0.250")) == "cer<=0.25"
