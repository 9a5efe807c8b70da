"""Recognisers: chosen by what is there; Azure's REST interface before a stand-in of what it documents."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import soundfile

from server.evaluation.archive import Samples
from server.evaluation.errors import BadEvaluation, EvaluationFailed
from server.evaluation.recognition import azure
from server.evaluation.recognition.table import choose, open_chosen
from server.settings import Settings

KEY = "0123456789abcdef"
SUCCESS = {
    "RecognitionStatus": "Success",
    "Offset": 1_000_000,
    "Duration": 9_000_000,
    "DisplayText": "He was born in 1987.",
    "NBest": [
        {
            "Confidence": 0.97,
            "Lexical": "he was born in nineteen eighty seven",
            "ITN": "he was born in 1987",
            "MaskedITN": "he was born in 1987",
            "Display": "He was born in 1987.",
        },
        {"Confidence": 0.4, "Lexical": "he wore boring nineteen eighty seven"},
    ],
}


@dataclass
class StandIn:
    """Answers in turn; the last answer stays. Checks what the service checks."""

    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=lambda: [(200, SUCCESS, {})])
    heard: list[Samples] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> tuple[int, Any, dict[str, str]]:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        url = urlsplit(handler.path)
        query = parse_qs(url.query)
        assert url.path == "/speech/recognition/conversation/cognitiveservices/v1"
        assert handler.headers["Content-Type"] == "audio/wav; codecs=audio/pcm; samplerate=16000"
        if handler.headers["Ocp-Apim-Subscription-Key"] != KEY:
            return 401, "Access denied due to invalid subscription key.", {}
        assert query["format"] == ["detailed"]
        samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
        assert (rate, soundfile.info(io.BytesIO(body)).subtype) == (16_000, "PCM_16")
        self.heard.append(samples)
        self.languages += query["language"]
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    service = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body, headers = service.answer(self)
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the recogniser waited between attempts, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(azure.time, "sleep", waited.append)
    return waited


@pytest.fixture
def recognise(stand_in: StandIn, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tone = (0.5 * np.sin(np.arange(16_000) / 10)).astype(np.float32)

    def recognise(language: str = "en", key: str = KEY, samples: Samples = tone) -> str:
        settings = Settings(azure_speech_key=key, azure_speech_endpoint=stand_in.url)
        recogniser = open_chosen("azure", language, settings)
        assert recogniser is not None
        return recogniser(samples).text

    return recognise


def test_azure_hears_the_words_as_they_were_spoken(recognise: Callable[..., str], stand_in: StandIn):
    assert recognise() == "he was born in nineteen eighty seven"
    assert recognise("ko")
    assert recognise("yue")
    assert stand_in.languages == ["en-US", "ko-KR", "zh-HK"]
    assert len(stand_in.heard[0]) == 16_000
    assert np.abs(stand_in.heard[0]).max() == pytest.approx(0.5, abs=0.01)


def test_azure_takes_a_minute_at_most(recognise: Callable[..., str], stand_in: StandIn):
    recognise(samples=np.zeros(61 * 16_000, np.float32))
    assert len(stand_in.heard[0]) == 60 * 16_000


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout"])
def test_azure_hears_nobody(recognise: Callable[..., str], stand_in: StandIn, status: str):
    stand_in.answers = [(200, {"RecognitionStatus": status, "Offset": 0, "Duration": 0}, {})]
    assert recognise() == ""


def test_azure_is_asked_again_as_it_asks_for(
    recognise: Callable[..., str], stand_in: StandIn, waits: list[float]
):
    stand_in.answers = [(429, "", {"Retry-After": "7"}), (503, "", {}), (500, "", {}), (200, SUCCESS, {})]
    assert recognise().startswith("he was")
    assert waits[0] == 7
    assert 1 <= waits[1] <= 2 <= waits[2] <= 4
    assert len(stand_in.heard) == 4


def test_azure_gives_up_after_five_attempts(
    recognise: Callable[..., str], stand_in: StandIn, waits: list[float]
):
    stand_in.answers = [(429, "Too many requests", {})]
    with pytest.raises(EvaluationFailed, match=r"status 429 .Too many requests."):
        recognise()
    assert len(stand_in.heard) == 5
    assert len(waits) == 4


def test_a_wrong_key_is_not_tried_again(recognise: Callable[..., str], waits: list[float]):
    with pytest.raises(EvaluationFailed, match=r"401 .*check VOICECORE_AZURE_SPEECH_KEY") as failure:
        recognise(key="wrong")
    assert waits == []
    assert "wrong" not in str(failure.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param((200, "<html>", {}), "isn't JSON", id="html"),
        pytest.param((200, [], {}), "status None", id="list"),
        pytest.param((200, {"RecognitionStatus": "Error"}, {}), "status 'Error'", id="error"),
        pytest.param((200, {"RecognitionStatus": "Success", "NBest": [{}]}, {}), "'Success'", id="no-words"),
        pytest.param((302, "", {"Location": "http://127.0.0.1:1/"}), "status 302", id="redirect"),
        pytest.param((400, "bad language", {}), "bad language", id="bad-request"),
    ],
)
def test_other_answers_of_azure_are_failures(
    recognise: Callable[..., str], stand_in: StandIn, answer: tuple[int, Any, dict[str, str]], told: str
):
    stand_in.answers = [answer]
    with pytest.raises(EvaluationFailed, match=told):
        recognise()


def test_azure_out_of_reach_is_told(recognise: Callable[..., str], stand_in: StandIn, waits: list[float]):
    stand_in.url = "http://127.0.0.1:9"
    with pytest.raises(EvaluationFailed, match="ConnectError"):
        recognise()
    assert len(waits) == 4


def test_auto_takes_the_first_that_is_set_up_and_knows_the_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nothing = Settings(home=tmp_path)
    with_azure = Settings(home=tmp_path, azure_speech_key=KEY, azure_speech_region="koreacentral")
    assert choose("auto", "en", nothing) == "pocketsphinx"
    assert choose("auto", "ko", nothing) == "none"
    assert choose("auto", "ko", with_azure) == choose("auto", "en", with_azure) == "azure"
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "model.bin").touch()
    monkeypatch.setitem(sys.modules, "faster_whisper", _faster_whisper([]))
    both = with_azure.model_copy(update={"whisper_model": tmp_path / "small"})
    assert choose("auto", "de", both) == "faster-whisper/small"
    assert choose("none", "de", both) == "none"


@pytest.mark.parametrize(
    ("name", "language", "told"),
    [
        ("siri", "en", "expected one of auto, none, faster-whisper, azure, pocketsphinx"),
        ("azure", "en", "VOICECORE_AZURE_SPEECH_KEY"),
        ("faster-whisper", "en", "pip install faster-whisper"),
        ("pocketsphinx", "de", "expected one that pocketsphinx knows: en"),
    ],
)
def test_a_recogniser_that_cannot_be_used_says_what_it_lacks(
    name: str, language: str, told: str, tmp_path: Path
):
    with pytest.raises(BadEvaluation, match=told):
        choose(name, language, Settings(home=tmp_path))


def _faster_whisper(opened: list[tuple[Any, ...]]) -> ModuleType:
    """Its interface as documented, hearing one sentence."""

    class WhisperModel:
        def __init__(self, path: str, **options: Any) -> None:
            opened.append((path, options))

        def transcribe(self, samples: Samples, **options: Any) -> tuple[Iterator[Any], Any]:
            opened.append((len(samples), options))
            words = [
                SimpleNamespace(word=" Guten", start=0.1, end=0.4),
                SimpleNamespace(word=" Tag.", start=0.4, end=0.8),
            ]
            return iter([SimpleNamespace(text=" Guten Tag.", words=words)]), SimpleNamespace(language="de")

    module = ModuleType("faster_whisper")
    module.WhisperModel = WhisperModel  # type: ignore[attr-defined]
    module.__spec__ = SimpleNamespace(name="faster_whisper")  # type: ignore[assignment]
    return module


def test_faster_whisper_is_opened_without_fetching_and_tells_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[tuple[Any, ...]] = []
    monkeypatch.setitem(sys.modules, "faster_whisper", _faster_whisper(opened))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "model.bin").touch()
    settings = Settings(home=tmp_path, device="cpu", whisper_model=tmp_path / "small")
    recogniser = open_chosen("faster-whisper/small", "de", settings)
    assert recogniser is not None
    heard = recogniser(np.zeros(16_000, np.float32))
    assert heard.text == "Guten Tag."
    assert [(word.text, word.stop_s) for word in heard.words] == [("Guten", 0.4), ("Tag.", 0.8)]
    (path, made), (_, asked) = opened
    assert path == str(tmp_path / "small")
    assert made["local_files_only"] is True
    assert (asked["language"], asked["word_timestamps"]) == ("de", True)
    with pytest.raises(BadEvaluation, match="another model"):
        open_chosen("faster-whisper/large", "de", settings)


def test_pocketsphinx_understands_a_clear_voice_and_times_it(flite: Callable[..., Samples]):
    recogniser = open_chosen("pocketsphinx", "en", Settings())
    assert recogniser is not None
    samples = flite("We missed the last train.")
    heard = recogniser(samples)
    assert heard.text == "we missed the last train"
    assert [word.text for word in heard.words] == heard.text.split()
    assert 0.8 < heard.words[-1].stop_s <= len(samples) / 16_000 + 0.05
    assert recogniser(samples) == heard
