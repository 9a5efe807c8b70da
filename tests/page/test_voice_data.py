"""The door for recordings: a good one is taken in and heard through a model, a bad one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

LONG_MS = 120_000  # for listening, which loads models


@pytest.fixture(scope="module")
def recordings(
    tmp_path_factory: pytest.TempPathFactory,
    speak: Callable[[str], np.ndarray],
    to_wav: Callable[..., bytes],
) -> Path:
    """A good one; one that is clipped from 4 s to 5 s; one that is an MP3."""
    folder = tmp_path_factory.mktemp("recordings")
    clipped = speak("rms").copy()
    clipped[4 * 24_000 : 5 * 24_000] = np.clip(clipped[4 * 24_000 : 5 * 24_000] * 20, -1, 1)
    (folder / "good.wav").write_bytes(to_wav(speak("slt")))
    (folder / "clipped.wav").write_bytes(to_wav(clipped))
    mp3 = to_wav(speak("awb"), subtype="MPEG_LAYER_III", container="MP3")
    (folder / "renamed.wav").write_bytes(mp3)
    return folder


def choose(page: Page, *paths: Path, button: str = "Choose recordings") -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(list(paths))


def verdict(page: Page, file: str) -> Any:
    return page.get_by_role("article", name=file)


def test_a_good_recording_is_contributed_and_a_bad_one_refused(
    server: Any, page: Page, recordings: Path
) -> None:
    page.goto("/voice-data")
    expect(page.get_by_text("one person, and no long pauses")).to_be_visible()
    choose(page, *(recordings / name for name in ("good.wav", "clipped.wav", "renamed.wav")))

    good, clipped, renamed = (verdict(page, name) for name in ("good.wav", "clipped.wav", "renamed.wav"))
    expect(good.get_by_text("Accepted", exact=True)).to_be_visible(timeout=LONG_MS)
    expect(clipped.get_by_text("Refused", exact=True)).to_be_visible()
    expect(clipped.get_by_role("img", name="flagged")).to_be_visible()
    moment = clipped.get_by_role("button", name="4.5–5.0 s").first
    expect(moment).to_be_enabled()
    moment.click()
    expect(clipped.get_by_role("button", name="Pause")).to_be_visible()
    expect(clipped.get_by_role("button", name="Play", exact=True)).to_be_visible()  # at the moment's end
    expect(renamed.get_by_text("an MP3 recording")).to_be_visible()
    expect(renamed.get_by_role("img")).to_have_count(0)

    contribute = page.get_by_role("button", name="Contribute the recording")
    expect(contribute).to_be_disabled()
    for checkbox in page.get_by_role("checkbox").all():
        checkbox.check()
    page.get_by_label("Licence", exact=True).select_option("CC-BY-4.0")
    expect(contribute).to_be_disabled()
    page.get_by_label("Source", exact=True).fill("A synthesiser")
    contribute.click()
    expect(page.get_by_role("heading", name="The recording is taken in")).to_be_visible(timeout=LONG_MS)
    (contribution,) = server.http.get("/v1/voice-data").json()["data"]
    expect(page.get_by_text(contribution["receipt"])).to_be_visible()
    assert [each["file"] for each in contribution["recordings"]] == ["good.wav"]

    page.get_by_role("button", name="Speak", exact=True).click()
    audio = page.get_by_label("The model, with the voice of the recording")
    expect(audio).to_be_visible(timeout=LONG_MS)
    page.wait_for_function("document.querySelector('audio').duration > 0.1")
    assert server.speech.spoken[-1].voice_id == server.store.voices()[f"voice-data-{contribution['id']}-0"].id

    page.get_by_role("button", name="Contribute more").click()
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Recordings on this server")).to_have_count(0)
    assert server.http.get("/v1/voice-data").json()["data"][0]["withdrawn_at"]


def test_it_speaks_korean_on_a_telephone(
    server: Any, open_page: Callable[..., Page], recordings: Path
) -> None:
    page = open_page(language="ko", width=360)
    page.goto("/voice-data")
    expect(page.get_by_text("긴 공백이 없습니다")).to_be_visible()
    choose(page, recordings / "renamed.wav", button="녹음 선택")
    refused = verdict(page, "renamed.wav")
    expect(refused.get_by_text("거절", exact=True)).to_be_visible(timeout=LONG_MS)
    expect(refused.get_by_text(".wav가 아님")).to_be_visible()
    expect(page.get_by_text("본인만 확인할 수 있는 것")).to_have_count(0)  # there is nothing to hand in
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
