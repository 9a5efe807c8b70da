"""What is asked for is pinned, repeats itself, and is mixed as it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.load.texts import FOLDER, SETS, Text, read_set
from benchmarks.load.workload import Workload

# A benchmark's texts are part of its figures: whoever changes them changes these on purpose.
PINNED = {
    "long": "bccd18052ec73340",
    "multilingual": "1f76bebc3877b671",
    "ordinary": "fcd2d039da8f9a71",
    "short": "bae527ecb6f27b1a",
}
XTTS_LANGUAGES = {
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "pl",
    "tr",
    "ru",
    "nl",
    "cs",
    "ar",
    "zh-cn",
    "ja",
    "hu",
    "ko",
    "hi",
}


def test_the_sets_are_pinned():
    assert {name: sha256((FOLDER / f"{name}.txt").read_bytes()).hexdigest()[:16] for name in SETS} == PINNED


def test_the_sets_are_what_they_are_called():
    lengths = {name: [len(text.text) for text in read_set(name)] for name in SETS}
    assert max(lengths["short"]) <= 30
    assert 40 <= min(lengths["ordinary"])
    assert max(lengths["ordinary"]) <= 120
    assert min(lengths["long"]) >= 400
    assert {text.language for text in read_set("multilingual")} == XTTS_LANGUAGES
    for name in SETS:
        assert len(set(read_set(name))) == len(lengths[name])


def test_texts_of_ones_own(tmp_path: Path):
    file = tmp_path / "mine.txt"
    file.write_text("Hello.\n\nde\tHallo.\n")
    assert read_set(str(file)) == (Text("mine", "en", "Hello."), Text("mine", "de", "Hallo."))
    assert read_set(str(file), ("de",)) == (Text("mine", "de", "Hallo."),)
    with pytest.raises(ValueError, match="found texts in de, en; expected some in ja"):
        read_set(str(file), ("ja",))
    with pytest.raises(ValueError, match="expected one of long, multilingual, ordinary, short"):
        read_set("longer")


@pytest.fixture
def mixed() -> Workload:
    return Workload(
        read_set("ordinary"), ("a", "b", "c", "d"), ("one", "two"), ("pcm", "mp3"), zipf=1.0, seed=4
    )


def test_the_nth_request_is_always_the_same(mixed: Workload):
    assert [mixed.ask(n) for n in range(100)] == [mixed.ask(n) for n in range(100)]
    assert [mixed.ask(n) for n in range(100)] != [replace(mixed, seed=5).ask(n) for n in range(100)]


def test_every_text_is_asked_for_once_per_cycle_and_with_one_seed(mixed: Workload):
    cycles = [[mixed.ask(cycle * 32 + n) for n in range(32)] for cycle in range(3)]
    for cycle in cycles:
        assert Counter(ask.text for ask in cycle) == Counter(mixed.texts)
    assert [ask.text for ask in cycles[0]] != [ask.text for ask in cycles[1]]
    seeds = {(ask.text, ask.seed) for cycle in cycles for ask in cycle}
    assert len(seeds) == 32


def test_models_are_as_popular_as_zipf_says(mixed: Workload):
    counts = Counter(mixed.ask(n).model for n in range(6_000))
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    for rank, model in enumerate("abcd", start=1):
        assert counts[model] == pytest.approx(6_000 / rank / harmonic, rel=0.08)
    equal = Counter(replace(mixed, zipf=0.0).ask(n).model for n in range(4_000))
    assert min(equal.values()) > 850


def test_voices_and_formats_are_mixed(mixed: Workload):
    pairs = Counter((mixed.ask(n).voice, mixed.ask(n).format) for n in range(2_000))
    assert set(pairs) == {(voice, format) for voice in ("one", "two") for format in ("pcm", "mp3")}
    assert min(pairs.values()) > 400


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_a_new_voice_is_taken_once(mixed: Workload, share: float):
    count = mixed.num_new_voices(200) if share == 0 else int(200 * share)
    voices = tuple(f"new {n}" for n in range(count))
    workload = replace(mixed, new_voices=voices, new_voice_share=share)
    asks = [workload.ask(n) for n in range(200)]
    assert tuple(ask.voice for ask in asks if ask.is_voice_new) == voices
    assert not any(workload.ask(n).is_voice_new for n in range(200, 240))
