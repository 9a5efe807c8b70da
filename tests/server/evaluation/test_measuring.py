"""What is measured of recordings whose faults are known: a clear voice, and the same voice made worse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from models_store.recordings import wav_bytes
from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore
from models_store.submission import Submission
from server.evaluation import ears
from server.evaluation.archive import Archive, Samples, Spoken
from server.evaluation.measuring import Listener, finish, measure
from server.evaluation.plan import Plan, System
from server.evaluation.texts import text_set
from server.settings import Settings

pytestmark = pytest.mark.slow

TEXTS = {"short": ["We missed the last train.", "Nobody told me about that."], "single": ["Tomorrow."]}
RATE_HZ = 16_000


def publish(store: ModelsStore, name: str, recording: Samples) -> Submission:
    """A submission that is only a name and a voice."""
    with store.scratch() as scratch:
        weights, wav = scratch / "weights", scratch / "voice.wav"
        weights.write_bytes(name.encode())
        wav.write_bytes(wav_bytes(recording, RATE_HZ))
        converted = Converted("fake", "tiny", ("en",), {"weights": weights}, wav, len(recording) / RATE_HZ)
        return store.publish(Checked(Report("fake"), converted), name).submission


def damaged(samples: Samples) -> Samples:
    """In noise of 5 dB, with half of the text said again, and a second of nothing."""
    noise = np.random.default_rng(len(samples)).normal(0, 1, 2 * len(samples)).astype(np.float32)
    again = np.concatenate([samples, samples[len(samples) // 2 :]])
    level = float(np.sqrt(np.mean(np.square(samples)))) * 10 ** (-5 / 20)
    return np.concatenate([again + level * noise[: len(again)], np.zeros(RATE_HZ, np.float32)])


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, flite: Callable[..., Samples], spoken: Callable[..., Spoken]
) -> tuple[Archive, Plan]:
    """A clear voice, the same damaged, and another voice under the name of the first."""
    home = tmp_path_factory.mktemp("home")
    store, archive = ModelsStore(home / "store"), Archive(home / "evaluations")
    reference = flite("The kettle is boiling. Please close the door behind you.")
    systems = []
    for name in ("clear", "damaged", "other"):
        made = publish(store, name, reference)
        systems.append(System(name, made.id, made.voice.id, "default", made.family, made.variant))
    plan = archive.add(
        Plan(tuple(systems), text_set("en", TEXTS), (1,), "pocketsphinx", "2026-01-01T00:00:00Z")
    )
    for item in plan.items():
        samples = flite(item.sentence.text, "rms" if item.system.name == "other" else "slt")
        if item.system.name == "damaged":
            samples = damaged(samples)
        how = spoken(duration_s=len(samples) / RATE_HZ, hit_limit=item.system.name == "damaged")
        archive.put_spoken(item, how, samples)
    settings = Settings(home=home)
    listener = Listener(plan, store, settings)
    assert list(measure(plan, archive, listener)) == list(range(1, plan.num_items + 1))
    finish(plan, archive, listener)
    return archive, plan


@pytest.fixture(scope="module")
def scores(evaluated: tuple[Archive, Plan]) -> dict[str, dict[str, float]]:
    archive, plan = evaluated
    return {
        system["name"]: {name: score["mean"] for name, score in system["scores"].items()}
        for system in archive.result(plan.id)["systems"]
    }


def test_a_clear_voice_is_understood_and_a_damaged_one_is_not(scores: dict[str, dict[str, float]]):
    clear, bad = scores["clear"], scores["damaged"]
    assert clear["cer"] < 0.15
    assert bad["cer"] > clear["cer"] + 0.3
    assert bad["dnsmos"] < clear["dnsmos"] - 0.4
    assert bad["dnsmos_bak"] < clear["dnsmos_bak"] - 0.4
    assert bad["overall"] < clear["overall"] - 0.3


def test_times_are_where_they_are(scores: dict[str, dict[str, float]]):
    clear, bad = scores["clear"], scores["damaged"]
    assert clear["leading_silence_s"] < 0.3
    assert clear["trailing_silence_s"] < 0.3
    assert clear["tail_s"] < 0.25
    assert 0.9 < bad["trailing_silence_s"] < 1.6
    assert 9 < clear["letters_per_s"] < 20
    assert (clear["hit_limit"], bad["hit_limit"]) == (0, 1)
    assert clear["rtf"] == pytest.approx(0.5 / clear["speech_s"], rel=0.5)


def test_another_voice_is_less_alike(scores: dict[str, dict[str, float]]):
    assert scores["clear"]["similarity"] > 0.75
    assert scores["other"]["similarity"] < scores["clear"]["similarity"] - 0.15
    assert scores["other"]["cer"] < 0.35


def test_the_result_says_everything_and_orders_worst_first(evaluated: tuple[Archive, Plan]):
    archive, plan = evaluated
    result = archive.result(plan.id)
    json.dumps(result, allow_nan=False)
    overall = [utterance["values"]["overall"] for utterance in result["utterances"]]
    assert overall == sorted(overall)
    assert {utterance["system"] for utterance in result["utterances"][:3]} == {1}
    assert [pair["systems"] for pair in result["differences"]] == [[0, 1], [0, 2], [1, 2]]
    assert result["differences"][0]["scores"]["overall"]["low"] > 0
    assert set(result["systems"][0]["kinds"]) == {"short", "single"}
    assert result["unmeasured"] == {"own_similarity": "no submission has a speaker encoder of its own"}
    assert archive.means(plan.id)[0]["cer"] == result["systems"][0]["scores"]["cer"]["mean"]


def test_the_report_is_one_file_with_everything_in_it(evaluated: tuple[Archive, Plan]):
    archive, plan = evaluated
    page = archive.report_path(plan.id).read_text()
    assert page.count("data:audio/ogg;base64,") == page.count("data:image/png;base64,") == plan.num_items
    assert page.index(">damaged</span><span>") < page.index(">clear</span><span>")
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)[a-z/]""", page.split("<body>")[1])
    assert "<script" not in page
    for text in (*TEXTS["short"], "Character error", "better →", "prefers-color-scheme: dark"):
        assert text in page
    encoded = re.findall(r"data:audio/ogg;base64,([^\"]+)", page)
    assert max(map(len, encoded)) < 40_000


def test_measured_again_it_is_the_same(evaluated: tuple[Archive, Plan]):
    archive, plan = evaluated
    item = next(plan.items())
    samples, rate = archive.samples(item.key)
    heard = archive.heard(plan.measurement(item))
    assert heard is not None
    listening = ears.for_listening(samples, rate)
    assert ears.speech_extent(listening).values()["speech_s"] == heard.values["speech_s"]
    assert ears.opinion_scores(listening)["dnsmos"] == pytest.approx(heard.values["dnsmos"], abs=1e-4)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(8_000, np.float32), id="silence"),
        pytest.param(np.zeros(1, np.float32), id="one-sample"),
        pytest.param(np.full(4_000, np.nan, np.float32), id="not-numbers"),
        pytest.param(np.full(4_000, 9, np.float32), id="beyond-full-scale"),
    ],
)
def test_what_is_no_speech_is_measured_as_such(samples: Samples):
    heard = ears.for_listening(samples, 24_000)
    extent = ears.speech_extent(heard)
    assert extent.speech_s == 0
    assert extent.values()["leading_silence_s"] == pytest.approx(len(samples) / 24_000, abs=1e-3)
    embedding = ears.voice_embedding(heard)
    assert np.isfinite(embedding).all()


def test_loudness_is_that_of_the_standard(tmp_path: Path):
    t = np.arange(48_000 * 3) / 48_000
    sine = (10 ** (-20 / 20) * np.sin(2 * np.pi * 997 * t)).astype(np.float32)
    assert ears.loudness_lufs(sine, 48_000) == pytest.approx(-23.0, abs=0.1)  # EBU Tech 3341: one channel
    assert ears.loudness_lufs(np.zeros(48_000, np.float32), 48_000) is None
    soundfile.write(tmp_path / "sine.wav", sine, 48_000)


def test_words_of_a_transcript_cannot_break_the_page(
    archive: Archive, make_plan: Callable[..., Plan], spoken: Callable[..., Spoken]
):
    from server.evaluation.archive import Heard
    from server.evaluation.report.page import render
    from server.evaluation.result import compute_result

    plan = archive.add(
        make_plan("<b>anna</b>", sentences={"short": ["<script>alert(1)</script> & more"]}, seeds=(1,))
    )
    for item in plan.items():
        archive.put_spoken(item, spoken(), np.zeros(RATE_HZ, np.float32))
        archive.put_heard(plan.measurement(item), Heard("<img src=x>", {"cer": 1.0}))
    result: dict[str, Any] = compute_result(plan, archive, {}, "2026-01-01T00:00:00+00:00")
    page = render(result, archive.samples)
    assert "<script>alert" not in page
    assert "<b>anna" not in page
    assert "<img src=x>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
