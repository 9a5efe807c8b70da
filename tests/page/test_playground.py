"""The playground: heard while it is spoken, measured, seen, and said again elsewhere."""

from __future__ import annotations

import asyncio
import json
import shlex
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

TEXT = "One sentence to say. Another one."
MAGIC = {"wav": b"RIFF", "flac": b"fLaC", "mp3": b"\xff", "opus": b"OggS", "aac": b"\xff\xf1"}


def figure(page: Page, name: str) -> Locator:
    return page.locator(".take-figures div", has_text=name).locator("dd")


def speak(page: Page, text: str = TEXT) -> None:
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Speak", exact=True).click()


def expect_phase(page: Page, phase: str) -> None:
    expect(page.get_by_role("status")).to_have_text(phase)


def hold(server: Any, after_messages: int) -> threading.Event:
    """The speech stops there until the event is set."""
    released = threading.Event()
    inner = server.speech.speak

    async def held(spoken: Any) -> AsyncGenerator[Any, None]:
        position = 0
        async for message in inner(spoken):
            yield message
            position += 1
            while position == after_messages and not released.is_set():
                await asyncio.sleep(0.01)

    server.speech.speak = held
    return released


def test_it_plays_before_the_response_ends(server: Any, page: Page) -> None:
    released = hold(server, after_messages=3)  # 0.6 s of audio
    page.goto("/playground")
    speak(page)
    expect(figure(page, "Length")).to_have_text("0.6 s")
    expect(figure(page, "Played")).to_have_text("0.6 s")
    expect_phase(page, "Speaking")
    expect(figure(page, "First audio")).to_contain_text("ms")
    expect(figure(page, "RTF")).to_have_text("–")
    released.set()
    expect_phase(page, "Done")
    length = figure(page, "Length").inner_text()
    assert float(length.removesuffix(" s")) > 1
    expect(figure(page, "Played")).to_have_text(length)
    expect(figure(page, "RTF")).not_to_have_text("–")
    expect(figure(page, "Stalls")).to_have_text("1")


def test_waveform_and_spectrogram_are_drawn_and_played_again(server: Any, page: Page) -> None:
    page.goto("/playground")
    speak(page)
    expect_phase(page, "Done")
    drawn = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    )
    canvases = page.locator(".take-wave canvas")
    expect(page.get_by_text("kHz").or_(canvases.nth(2))).not_to_have_count(0)
    assert sum(canvas.evaluate(drawn) for canvas in canvases.all()) >= 3  # wave, progress, spectrogram
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()  # at its end


def test_only_what_was_changed_is_asked_for(server: Any, page: Page) -> None:
    page.goto("/playground")
    expect(page.get_by_label("Temperature")).to_have_value("0.75")
    page.get_by_label("Temperature").press("ArrowRight")
    page.get_by_label("Seed").fill("42")
    speak(page)
    expect_phase(page, "Done")
    (spoken,) = server.speech.spoken
    assert (spoken.sampling.temperature, spoken.sampling.top_p, spoken.sampling.seed) == (0.8, 0.85, 42)
    page.get_by_role("button", name="All to defaults").click()
    expect(page.get_by_label("Temperature")).to_have_value("0.75")
    expect(page.get_by_label("Seed")).to_have_value("")


def test_a_family_with_noise_has_a_dial_for_it(
    server: Any, page: Page, fake_family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto("/playground")
    expect(page.get_by_label("Temperature")).to_have_value("0.75")
    expect(page.get_by_label("Noise scale")).to_have_count(0)
    noisy = replace(fake_family.DEFAULT_SAMPLING, noise_scale=0.5)
    monkeypatch.setattr(fake_family, "DEFAULT_SAMPLING", noisy)
    page.reload()
    page.get_by_label("Noise scale").press("ArrowLeft")
    speak(page)
    expect_phase(page, "Done")
    assert server.speech.spoken[0].sampling.noise_scale == 0.45


def test_counters_follow_the_text(server: Any, page: Page) -> None:
    page.goto("/playground")
    page.get_by_label("Text").fill("One. Two. Three 🎈.")
    expect(page.get_by_text("18 of 20,000 characters")).to_be_visible()
    expect(page.get_by_text("spoken in 3 parts")).to_be_visible()
    expect(page.get_by_text("detected: English")).to_be_visible()
    page.get_by_label("Language").select_option("German")
    expect(page.get_by_text("spoken as German")).to_be_visible()


def test_what_is_wrong_is_said_where_it_is_wrong(server: Any, page: Page, synthesis_error: Exception) -> None:
    page.goto("/playground")
    page.get_by_label("Text").fill("...")
    expect(page.get_by_label("Text")).to_have_accessible_description(
        "found '...'; expected something to say."
    )
    server.speech.error = synthesis_error
    speak(page)
    expect(page.get_by_role("alert")).to_have_text("found a text that can't be spoken.")
    expect_phase(page, "Failed")
    server.speech.error = None
    page.get_by_role("button", name="Speak", exact=True).click()
    expect_phase(page, "Done")


def test_a_speech_that_breaks_off_can_be_heard_that_far(
    server: Any, page: Page, synthesis_error: Exception
) -> None:
    server.speech.error, server.speech.error_after = synthesis_error, 3
    released = hold(server, after_messages=3)
    page.goto("/playground")
    speak(page)
    expect(figure(page, "Length")).to_have_text("0.6 s")
    released.set()
    expect_phase(page, "Failed")
    expect(page.get_by_role("alert")).to_contain_text("broke off")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()


def test_a_listener_who_stops_stops_the_work(server: Any, page: Page) -> None:
    hold(server, after_messages=2)
    page.goto("/playground")
    speak(page)
    page.get_by_role("button", name="Stop").click()
    expect_phase(page, "Stopped")
    for _ in range(200):
        if server.speech.cancelled_at:
            break
        page.wait_for_timeout(50)
    assert list(server.speech.cancelled_at) == [server.speech.spoken[0].request_id]


def test_every_format_can_be_taken_home(
    server: Any, page: Page, expected_tone: Callable[[Any], np.ndarray]
) -> None:
    page.goto("/playground")
    speak(page)
    expect_phase(page, "Done")
    for name, magic in MAGIC.items():
        page.get_by_label("Format").select_option(name)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(magic), name
        if name == "wav":
            heard = np.frombuffer(content[44:], "<i2") / 32767
            assert np.abs(heard - expected_tone(server.speech.spoken[0])).max() < 1e-4
    assert len({spoken.sampling.seed for spoken in server.speech.spoken}) == 1


def test_what_is_copied_does_the_same(
    server: Any, open_page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/playground")
    page.get_by_label("Text").fill("It’s 'quoted' \"twice\" \\ 한국어")
    page.get_by_label("Top-k").press("ArrowLeft")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Speak", exact=True).click()
    expect_phase(page, "Done")

    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    words = shlex.split(page.evaluate("navigator.clipboard.readText()").replace("\\\n", ""))
    body = json.loads(words[words.index("-d") + 1])
    server.http.post(
        words[1], content=json.dumps(body), headers=dict([words[words.index("-H") + 1].split(": ")])
    )

    page.get_by_role("radio", name="Python").check()
    monkeypatch.chdir(tmp_path)
    exec(page.locator("pre").inner_text(), {})
    assert (tmp_path / "speech.mp3").read_bytes()
    first, *others = server.speech.spoken
    assert len(others) == 2
    for spoken in others:
        assert (spoken.prompts, spoken.sampling) == (first.prompts, first.sampling)


def test_the_session_is_remembered(server: Any, page: Page) -> None:
    page.goto("/playground")
    for text in ("The first.", "The second."):
        speak(page, text)
        expect_phase(page, "Done")
    page.get_by_role("link", name="Voice Core").click()
    page.get_by_role("link", name="Playground", exact=True).click()
    first = page.get_by_role("listitem").filter(has_text="The first.")
    first.get_by_role("button", name="Open").click()
    expect(first).to_have_attribute("aria-current", "true")
    first.get_by_role("button", name="Take its settings").click()
    expect(page.get_by_label("Text")).to_have_value("The first.")
    expect(page.get_by_label("Seed")).to_have_value(str(server.speech.spoken[0].sampling.seed))


def test_in_korean_on_a_phone(server: Any, publish: Any, open_page: Any) -> None:
    publish("bora", languages=("ko", "en"))
    page = open_page(language="ko", width=360, height=740, has_touch=True, is_mobile=True)
    page.goto("/playground?model=bora")
    expect(page.get_by_label("제출 모델")).to_have_value("bora")
    expect(page.get_by_text("감지된 언어: 한국어")).to_be_visible()
    page.get_by_role("button", name="말하기").tap()
    expect(page.get_by_role("status")).to_have_text("완료")
    assert server.speech.spoken[0].prompts[0].text.startswith("빠른 대답이")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_nothing_moves_while_it_speaks(server: Any, page: Page) -> None:
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "entry => { if (!entry.hadRecentInput) window.shift += entry.value }))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    server.speech.delay_s = 0.02
    page.goto("/playground")
    expect(page.get_by_text("detected: English")).to_be_visible()
    page.get_by_role("button", name="Speak", exact=True).press("Enter")
    expect_phase(page, "Done")
    assert page.evaluate("window.shift") < 0.02


def test_a_server_without_a_voice_says_where_voices_come_from(server: Any, page: Page) -> None:
    server.store.delete("anna")
    page.goto("/playground")
    expect(page.get_by_text("Nobody has submitted a voice model yet")).to_be_visible()


def test_where_browsers_allow_no_stream_it_is_played_whole(server: Any, open_page: Any) -> None:
    page = open_page(base_url=server.url.replace("127.0.0.1", "insecure.test"))
    page.goto("/playground")
    speak(page)
    expect_phase(page, "Done")
    expect(page.get_by_text("only over HTTPS")).to_be_visible()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_the_key_is_asked_for_once(serve: Any, open_page: Any) -> None:
    page = open_page(base_url=serve(api_key="secret").url)
    page.goto("/playground")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("did not take this key")).to_be_visible()
    page.get_by_label("API key").fill("secret")
    page.get_by_role("button", name="Continue").click()
    speak(page)
    expect_phase(page, "Done")
    expect(page.locator("pre")).to_contain_text("YOUR-KEY")
    page.reload()
    expect(page.get_by_label("Submission")).to_have_value("anna")
