"""`voicecore speak`: with a server that answers, without one, and what can go wrong on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from models_store.store import ModelsStore
from providers import registry
from providers.interface import SamplingParams, Utterance
from server.cli import app
from server.http.encoders import FORMATS, encoder

RATE_HZ = 24_000
TONE = (0.25 * np.sin(np.arange(12_000) / 20)).astype(np.float32)


class StubServer(ThreadingHTTPServer):
    """Answers as a Voice Core server would, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StubRoutes)
        self.models = {"anna": "sha256:1"}
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.failure: tuple[int, bytes] | None = None
        self.breaks_off = False
        self.answers_until_ready = 0


class StubRoutes(BaseHTTPRequestHandler):
    server: StubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/readyz" and self.server.answers_until_ready > 0:
            self.server.answers_until_ready -= 1
            self._answer(503, b'{"status": "starting"}')
            return
        data = [{"id": name, "submission_id": found} for name, found in self.server.models.items()]
        self._answer(200, json.dumps({"/healthz": {"status": "ok"}}.get(self.path, {"data": data})).encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.keys.append(self.headers["Authorization"])
        if self.server.failure is not None:
            self._answer(*self.server.failure)
            return
        writer = encoder(request["response_format"], RATE_HZ)
        body = writer.encode(TONE) + writer.finish()
        if self.server.breaks_off:
            self.send_response(200)
            self.send_header("Content-Length", str(2 * len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True
            return
        self._answer(200, body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[StubServer]:
    with StubServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def speak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Speaks on the data folder `tmp_path`; nothing answers at the address unless it's given."""
    monkeypatch.setenv("VOICECORE_HOME", str(tmp_path))

    def speak(
        *arguments: str | Path, server: StubServer | None = None, status: int = 0, **options: Any
    ) -> Result:
        address = ["--port", str(server.server_port if server else 9)]
        result = CliRunner().invoke(app, ["speak", *map(str, arguments), *address], **options)
        assert result.exit_code == status, result.output
        return result

    return speak


# With a server


@pytest.mark.parametrize("suffix", [*(format.suffix for format in FORMATS.values()), ".ogg", ".WAV"])
def test_the_suffix_is_the_format(
    speak: Callable[..., Result], server: StubServer, tmp_path: Path, suffix: str
):
    output = tmp_path / f"speech{suffix}"
    speak("Hello.", "-o", output, server=server)
    samples = decoded(output)
    assert len(samples) == pytest.approx(len(TONE), abs=2500)
    assert np.abs(samples).max() == pytest.approx(0.25, abs=0.03)


def decoded(path: Path) -> np.ndarray:
    """[n] at 24 kHz."""
    if path.suffix == ".pcm":
        return np.frombuffer(path.read_bytes(), "<i2") / 32767
    with av.open(str(path)) as opened:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        frames = [*opened.decode(audio=0), None]
        return np.concatenate(
            [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
        )


def test_a_wav_states_its_length(speak: Callable[..., Result], server: StubServer, tmp_path: Path):
    speak("Hello.", "-o", tmp_path / "speech.wav", server=server)
    written = (tmp_path / "speech.wav").read_bytes()
    assert int.from_bytes(written[4:8], "little") == len(written) - 8
    assert int.from_bytes(written[40:44], "little") == 2 * len(TONE) == len(written) - 44


def test_every_option_reaches_the_server(
    speak: Callable[..., Result], server: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VOICECORE_API_KEY", "secret")
    options = (
        "--model berta --voice me --language de --speed 1.5 --seed 7 --temperature 0.5 --top-k 3 --top-p 0.5 "
        "--noise-scale 0"
    )
    speak("-", "-o", tmp_path / "a.mp3", *options.split(), server=server, input="From a pipe.")
    assert server.requests == [
        {
            "input": "From a pipe.",
            "model": "berta",
            "voice": "me",
            "response_format": "mp3",
            "stream_format": "audio",
            "language": "de",
            "speed": 1.5,
            "seed": 7,
            "temperature": 0.5,
            "top_k": 3,
            "top_p": 0.5,
            "noise_scale": 0.0,
        }
    ]
    assert server.keys == ["Bearer secret"]


@pytest.mark.parametrize(
    ("models", "asked"),
    [
        pytest.param({"anna": "1"}, "anna", id="the-only-one"),
        pytest.param({"anna": "1", "best": "1"}, "anna", id="the-only-one-by-two-names"),
        pytest.param({"anna": "1", "berta": "2"}, "demo", id="one-of-two"),
        pytest.param({"anna": "1", "demo": "2"}, "demo", id="default"),
        pytest.param({}, "demo", id="none"),
    ],
)
def test_the_model_that_is_meant(
    speak: Callable[..., Result], server: StubServer, tmp_path: Path, models: dict[str, str], asked: str
):
    server.models = models
    told = speak("Hello.", "-o", tmp_path / "a.wav", server=server)
    assert server.requests[0]["model"] == asked
    assert asked in told.stderr


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        pytest.param(
            (404, json.dumps({"error": {"message": "found the model 'x'; expected anna."}}).encode()),
            "found the model 'x'",
            id="ours",
        ),
        pytest.param((500, b"<html>"), "found status 500", id="something-else"),
    ],
)
def test_what_the_server_refuses_is_told(
    speak: Callable[..., Result], server: StubServer, tmp_path: Path, failure: tuple[int, bytes], told: str
):
    server.failure = failure
    result = speak("Hello.", "-o", tmp_path / "a.wav", server=server, status=1)
    assert told in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_starting_is_waited_for(
    speak: Callable[..., Result], server: StubServer, tmp_path: Path
):
    server.answers_until_ready = 2
    speak("Hello.", "-o", tmp_path / "a.wav", server=server)
    assert server.answers_until_ready == 0
    assert len(server.requests) == 1


def test_speech_that_breaks_off_leaves_no_file(
    speak: Callable[..., Result], server: StubServer, tmp_path: Path
):
    (tmp_path / "a.wav").write_bytes(b"before")
    server.breaks_off = True
    result = speak("Hello.", "-o", tmp_path / "a.wav", server=server, status=1)
    assert "end of the connection" in result.stderr
    assert os.listdir(tmp_path) == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"before"


def test_standard_output_is_a_wav(speak: Callable[..., Result], server: StubServer):
    result = speak("Hello.", "-o", "-", server=server)
    assert result.stdout_bytes.startswith(b"RIFF")
    assert len(result.stdout_bytes) == 44 + 2 * len(TONE)


def test_a_suffix_that_means_nothing_is_a_usage_error(speak: Callable[..., Result], tmp_path: Path):
    told = speak("Hello.", "-o", tmp_path / "a.xyz", status=2).stderr
    assert "'a.xyz'" in told
    assert ".mp3, .opus" in told


def test_values_out_of_range_are_told_together(speak: Callable[..., Result], tmp_path: Path):
    told = speak("Hello.", "-o", tmp_path / "a.wav", "--speed", "9", "--top-p", "2", status=2).stderr
    assert "--speed: found 9.0" in told
    assert "--top-p: found 2.0" in told


# Without one


@pytest.fixture
def fake_registered(fake_family: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    family = registry.Family("fake_family:FakeProvider", "fake_family:FakeTextFrontEnd")
    monkeypatch.setitem(registry.FAMILIES, "fake", family)


@pytest.mark.usefixtures("fake_registered")
@pytest.mark.parametrize(
    "local", [pytest.param(True, id="asked-for"), pytest.param(False, id="none-answers")]
)
def test_without_a_server_this_process_speaks(
    speak: Callable[..., Result], tmp_path: Path, fake_family: ModuleType, server: StubServer, local: bool
):
    submission = fake_family.publish(ModelsStore(tmp_path / "store"), "anna")
    sentences = ("one two three", "four five", "six seven eight nine")
    given = {"server": server} if local else {}
    flags = ["--local"] if local else []
    speak(". ".join(sentences), "-o", tmp_path / "a.wav", "--seed", "5", *flags, **given)
    assert server.requests == []
    expected = [
        fake_family.expected_samples(
            Utterance(
                "any",
                index,
                submission.id,
                submission.voice.id,
                fake_family.prompt(sentence),
                sampling(5, fake_family),
            )
        )
        for index, sentence in enumerate(sentences)
    ]
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(samples, np.concatenate(expected), atol=1 / 32767)


def sampling(seed: int, fake_family: ModuleType) -> SamplingParams:
    defaults = fake_family.DEFAULT_SAMPLING
    return SamplingParams(
        defaults.temperature,
        defaults.top_k,
        defaults.top_p,
        defaults.repetition_penalty,
        defaults.max_tokens,
        seed,
    )


@pytest.mark.usefixtures("fake_registered")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["Hello.", "--model", "berta"], "no submission is called 'berta'", id="model"),
        pytest.param(["Hello.", "--voice", "me"], "no voice is called 'me'", id="voice"),
        pytest.param(["Hello.", "--language", "fr"], "found language 'fr'", id="language"),
        pytest.param(["...", "--language", "en"], "expected something to say", id="empty"),
        pytest.param(["!prefill"], "", id="engine"),
    ],
)
def test_without_a_server_errors_are_one_red_line(
    speak: Callable[..., Result], tmp_path: Path, fake_family: ModuleType, arguments: list[str], told: str
):
    fake_family.publish(ModelsStore(tmp_path / "store"), "anna")
    result = speak(*arguments, "--local", "-o", tmp_path / "a.wav", status=1)
    assert told in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["store"]
