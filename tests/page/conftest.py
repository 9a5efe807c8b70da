"""The page in a real browser, before a real server on loopback.

How to write a test here:

    @pytest.mark.browser
    def test_a_listener_hears_anna(server: Any, page: Page) -> None:
        server.speech.delay_s = 0.02            # the fake device process: see tests/server/http/conftest.py
        page.goto("/playground")                # relative to the server
        page.get_by_role("button", name="Speak").click()
        expect(page.get_by_role("status")).to_contain_text("Done")

`server` has one submission, `anna`; `publish("ben")` puts another into its store;
`serve(api_key="secret")` starts one with other settings instead. `page` is a tab of its own with an
empty storage, in English, 1280 × 800; `open_page(language="ko", width=360, base_url=…)` opens one that
differs. When a test ends, whatever a tab logged as an error, tried to load from another host, or was
forbidden by the Content-Security-Policy fails it; an answer that says 4xx is no such error. What a test
waits for it says with Playwright's `expect`, never with a sleep.

The pages are those in `server/page/`: `make ui` first, if you changed them. Without a chromium (`apt-get
install chromium`, or another one's path in CHROMIUM) these tests skip, unless CI is set: then they fail.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

TESTS = Path(__file__).parents[1]
TIMEOUT_MS = 20_000  # for whatever a test waits for; machines that run tests are busy
expect.set_options(timeout=TIMEOUT_MS)

# Autoplay: a test's click may be long ago when its audio starts.
FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",  # a host that is not the machine itself
    "--mute-audio",
)


def _load(name: str, path: Path) -> ModuleType:
    """By path: tests are not packages."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


_server = _load("page_tests_server", TESTS / "server" / "conftest.py")
_http = _load("page_tests_http", TESTS / "server" / "http" / "conftest.py")

fake_family = _server.fake_family
store, publish, serve, server = _http.store, _http.publish, _http.serve, _http.server
log_where_pytest_collects_it = _http.log_where_pytest_collects_it
synthesis_error, expected_tone = _http.synthesis_error, _http.expected_tone


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module, not of the session: while Playwright runs, no other test beside it could use asyncio."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        missing = "needs a chromium: apt-get install chromium, or set CHROMIUM to another one's path"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    flags = (*FLAGS, "--no-sandbox") if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


@contextmanager
def watched(page: Page, base_url: str) -> Iterator[list[str]]:
    """Collects what a page must not do."""
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        # A 4xx is logged as well: what the page makes of it is the test's business.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            problems.append(f"logged: {message.text}")

    def on_request(request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.netloc != urlsplit(base_url).netloc:
            problems.append(f"asked another host: {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(f"threw: {error}"))
    page.on("request", on_request)
    yield problems


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """Opens tabs; each has cookies and storage of its own. `options` are those of Playwright's contexts."""
    with ExitStack() as opened:
        found: list[list[str]] = []

        def open_page(
            language: str = "en",
            width: int = 1280,
            height: int = 800,
            base_url: str | None = None,
            **options: Any,
        ) -> Page:
            base_url = base_url or request.getfixturevalue("server").url
            context = browser.new_context(
                base_url=base_url,
                locale={"en": "en-GB", "ko": "ko-KR"}[language],
                viewport={"width": width, "height": height},
                **options,
            )
            opened.callback(context.close)
            context.set_default_timeout(TIMEOUT_MS)
            page = context.new_page()
            found.append(opened.enter_context(watched(page, base_url)))
            return page

        yield open_page
        assert not any(found), found


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page()
