"""Every page as axe-core judges it (WCAG 2.2 A and AA, contrast included), and as narrow as a small phone."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read_by_everyone(server: Any, open_page: Any, theme: str) -> None:
    page = open_page(color_scheme=theme, width=360)
    page.goto("/")
    addresses = (
        page.get_by_role("navigation").get_by_role("link").evaluate_all("links => links.map(a => a.href)")
    )
    for address in ("/", *addresses):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        found = Axe().run(page, options=RULES)
        assert not found.response["violations"], f"{address}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
