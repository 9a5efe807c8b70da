"""Measuring submissions in the page: started, followed, compared, read, taken away."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from server.evaluation import texts

pytestmark = pytest.mark.browser

# Whoever listens, finds one submission better than the other: the real one is tested where it lives.
LISTENER = """
import sys
from server import child
from server.evaluation.archive import Archive
archive = Archive(child.begin().home_path / "evaluations")
plan = archive.plan(sys.argv[1])
count = len(plan.systems)
scores = [{"overall": {"mean": 0.9 - 0.4 * i}, "cer": {"mean": 0.1 + 0.3 * i}} for i in range(count)]
names = " and ".join(system.name for system in plan.systems)
report = f"<!doctype html><title>Report</title><h1>Heard {names}</h1>"
archive.finish(plan.id, {"systems": [{"scores": each} for each in scores]}, report)
"""


@pytest.fixture(autouse=True)
def short_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {language: texts.text_set(language, {"short": ["hm", "yes"]}) for language in texts.languages()}
    monkeypatch.setattr(texts, "pinned", few.__getitem__)


@pytest.fixture
def listening(tmp_path: Path) -> Callable[[Any], None]:
    """Has a server listened for by the stand-in."""
    script = tmp_path / "listener.py"
    script.write_text(LISTENER)

    def listening(server: Any) -> None:
        server.app.state.evaluations.runner._listener_command = (sys.executable, str(script))

    return listening


def test_submissions_are_measured_compared_and_their_report_is_read(
    server: Any, page: Page, publish: Callable[..., Any], listening: Callable[[Any], None]
) -> None:
    publish("ben")
    listening(server)
    page.goto("/evaluations")
    expect(page.get_by_text("Nothing was measured yet")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_role("checkbox", name="ben").check()
    page.get_by_role("checkbox", name="anna").check()
    page.get_by_label("Times each text is spoken").select_option("1")
    page.get_by_label("Recogniser").select_option("none")
    expect(page.get_by_text("errors are not measured")).to_be_visible()
    page.get_by_role("button", name="Start").click()

    card = page.get_by_role("listitem", name="ben · anna")
    expect(card.get_by_text("finished")).to_be_visible()
    rows = card.get_by_role("row").all_inner_texts()
    assert [row.split()[:3] for row in rows[1:]] == [["ben", "90%", "10%"], ["anna", "50%", "40%"]]
    with page.expect_popup() as opened:
        card.get_by_role("link", name="Open the report").click()
    expect(opened.value.get_by_role("heading")).to_have_text("Heard ben and anna")

    card.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing was measured yet")).to_be_visible()


def test_behind_a_key_the_report_is_saved(
    serve: Callable[..., Any], open_page: Callable[..., Page], listening: Callable[[Any], None]
) -> None:
    server = serve(api_key="secret")
    listening(server)
    page = open_page(language="ko", width=360, base_url=server.url)
    page.goto("/evaluations")
    page.get_by_label("API").fill("secret")
    page.get_by_label("API").press("Enter")
    page.get_by_role("checkbox", name="anna").check()
    page.get_by_label("음성 인식기").select_option("none")
    page.get_by_role("button", name="시작").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="보고서 저장").click()
    assert "Heard anna" in saved.value.path().read_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_refusal_is_shown_where_it_was_started(server: Any, page: Page) -> None:
    page.goto("/evaluations")
    page.get_by_role("checkbox", name="anna").check()
    page.get_by_label("Texts in").select_option("ko")
    server.store.delete("anna", force=True)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("found the model 'anna'")
