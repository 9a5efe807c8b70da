"""Around every page: languages, themes, the key, the wrong address, the HTTP API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_the_start_says_what_this_is_and_where_to_go(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_title(re.compile("Voice Core"))
    for door in ("I got a voice model", "I got voice data", "Speak and listen"):
        expect(page.get_by_role("heading", name=door)).to_be_visible()
    expect(page.get_by_text("provided by Azure")).to_be_visible()


def test_korean_is_a_click_away_and_remembered(page: Page) -> None:
    page.goto("/")
    page.get_by_role("radio", name="한국어").check()
    expect(page.get_by_role("heading", name="음성 모델이 있어요")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="음성 모델이 있어요")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "ko")


def test_a_korean_browser_is_greeted_in_korean(open_page: Any) -> None:
    page = open_page(language="ko")
    page.goto("/")
    expect(page.get_by_role("heading", name="음성 모델이 있어요")).to_be_visible()


def test_the_theme_is_the_systems_until_it_is_chosen(open_page: Any) -> None:
    page = open_page(color_scheme="dark")
    page.goto("/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("radio", name="Light").check()
    light = page.evaluate(background)
    page.reload()
    expect(page.get_by_role("radio", name="Light")).to_be_checked()
    assert page.evaluate(background) == light != dark


def test_a_wrong_address_leads_back(page: Page) -> None:
    page.goto("/")
    page.evaluate("history.pushState(null, '', '/nowhere'); dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    page.get_by_role("link", name="To the start").click()
    expect(page.get_by_role("heading", name="I got voice data")).to_be_visible()


def test_the_first_tab_stop_skips_to_the_content(page: Page) -> None:
    page.goto("/")
    page.get_by_role("heading", name="I got voice data").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()


def test_the_http_api_is_described_without_anything_from_elsewhere(page: Page) -> None:
    page.goto("/docs")
    expect(page.get_by_text("/v1/audio/speech", exact=True)).to_be_visible()


def test_on_a_phone_the_navigation_shows_where_one_is(open_page: Any) -> None:
    page = open_page(width=360)
    page.goto("/rank")
    here = page.get_by_role("navigation").get_by_role("link", name="Rank")
    expect(here).to_have_attribute("aria-current", "page")
    expect(here).to_be_in_viewport(ratio=1)


def test_a_page_that_was_open_while_the_server_was_updated_begins_anew(page: Page) -> None:
    page.goto("/")
    page.get_by_role("heading", name="I got voice data").wait_for()
    page.route("**/assets/playground-*", lambda route: route.abort(), times=1)
    page.get_by_role("navigation").get_by_role("link", name="Playground").click()
    expect(page.get_by_label("Submission")).to_have_value("anna")
