"""Each kind of server is asked in its own words, over real connections, by real processes."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from benchmarks.load import fleet
from benchmarks.load.adapters import TargetError, find_voices, parse_target, prime
from benchmarks.load.arrivals import Load
from benchmarks.load.client import Client, HttpTransport, Share, open_session
from benchmarks.load.record import Record
from benchmarks.load.texts import Text
from benchmarks.load.voices import new_voices, variant
from benchmarks.load.workload import Workload

WORKLOAD = Workload((Text("ordinary", "zh-cn", "你好。"),), ("anna",), seed=1)


@pytest.fixture
def ask_once(stand_in):
    """Address's beginning → the record of one request."""

    def ask_once(address: str, workload: Workload = WORKLOAD, kind: str = "constant", **more) -> Record:
        target = find_voices(parse_target(f"{address}{stand_in.url}", **more), workload.voices)
        records: list[Record] = []
        share = Share(workload, Load(kind, 1), duration_s=0.6, timeout_s=20.0)

        async def run() -> None:
            async with open_session(target, is_paced=kind == "listeners") as session:
                loop = asyncio.get_running_loop()
                await Client(share, HttpTransport(session, target), records.append).run(loop.time())

        asyncio.run(run())
        return records[0]

    return ask_once


@pytest.mark.parametrize(
    ("address", "voice", "path", "body"),
    [
        pytest.param(
            "",
            "ben",
            "/v1/audio/speech",
            {
                "model": "anna",
                "input": "你好。",
                "voice": "ben",
                "response_format": "wav",
                "language": "zh-cn",
                "seed": WORKLOAD.ask(0).seed,
            },
            id="voicecore",
        ),
        pytest.param(
            "openai+",
            "ben",
            "/v1/audio/speech",
            {"model": "anna", "input": "你好。", "voice": "ben", "response_format": "wav"},
            id="openai",
        ),
        pytest.param(
            "xtts-streaming-server+",
            "default",
            "/tts_stream",
            {
                "text": "你好。",
                "language": "zh",
                "add_wav_header": True,
                "stream_chunk_size": "20",
                "speaker_embedding": [1.0],
                "gpt_cond_latent": [[2.0]],
            },
            id="xtts-streaming-server",
        ),
        pytest.param(
            "gpt-sovits+",
            "ref.wav|en|What it says.",
            "/tts",
            {
                "text": "你好。",
                "text_lang": "zh",
                "media_type": "wav",
                "seed": WORKLOAD.ask(0).seed,
                "streaming_mode": 3,
                "ref_audio_path": "ref.wav",
                "prompt_lang": "en",
                "prompt_text": "What it says.",
            },
            id="gpt-sovits",
        ),
    ],
)
def test_each_server_is_asked_in_its_own_words(stand_in, ask_once, address, voice, path, body):
    format = "pcm" if "+" in address and "openai" not in address else "wav"
    workload = replace(WORKLOAD, voices=(voice,), formats=(format,))
    if format == "wav":  # the stand-in's OpenAI route only says PCM
        workload, body = replace(workload, formats=("pcm",)), body | {"response_format": "pcm"}
    record = ask_once(address, workload)
    assert stand_in.bodies == [(path, body)]
    assert record.error == ""
    assert record.audio_s == pytest.approx(0.5)
    assert record.first_audible == 0
    assert record.sample_rate_hz == 8_000  # of the header, not of the adapter


def test_a_recording_becomes_a_speaker(stand_in, ask_once, tmp_path: Path):
    recording = tmp_path / "voice.wav"
    soundfile.write(recording, np.zeros(100), 8_000)
    workload = replace(WORKLOAD, voices=(str(recording),))
    ask_once("xtts-streaming-server+", workload)
    assert stand_in.bodies[0][1]["speaker_embedding"] == [3.0]


def test_more_fields_and_a_key(stand_in, ask_once):
    ask_once("openai+", more_fields={"stream": True, "voice": "else"}, api_key="secret")
    assert stand_in.bodies[0][1]["stream"] is True
    assert stand_in.bodies[0][1]["voice"] == "else"


def test_a_listener_reads_a_real_response_to_its_end(ask_once):
    assert ask_once("", kind="listeners").audio_s == pytest.approx(0.5)


def test_processes_share_a_load_over_real_connections(stand_in, tmp_path: Path):
    target = find_voices(parse_target(stand_in.url), ("default",))
    share = Share(WORKLOAD, Load("constant", 20.0), duration_s=1.0, timeout_s=30.0, run=7)
    records = fleet.ask(share, target, tmp_path, processes=2)
    assert [record.index for record in records] == list(range(20))
    assert {(record.run, record.error, round(record.audio_s, 6)) for record in records} == {(7, "", 0.5)}
    assert not list(tmp_path.iterdir())


ASKS_FOR_MINUTES = """
import sys
from pathlib import Path
from benchmarks.load import fleet
from benchmarks.load.adapters import find_voices, parse_target
from benchmarks.load.arrivals import Load
from benchmarks.load.client import Share
from benchmarks.load.texts import Text
from benchmarks.load.workload import Workload

if __name__ == "__main__":
    workload = Workload((Text("ordinary", "en", "Hello."),), ("anna",), seed=1)
    target = find_voices(parse_target(sys.argv[1]), ("default",))
    fleet.ask(Share(workload, Load("constant", 20.0), 300.0, 30.0), target, Path(sys.argv[2]), processes=2)
"""


def test_clients_end_with_whoever_started_them(stand_in, tmp_path: Path):
    script = tmp_path / "asks.py"
    script.write_text(ASKS_FOR_MINUTES)
    parent = psutil.Popen([sys.executable, str(script), stand_in.url, str(tmp_path)])
    try:
        while len(stand_in.bodies) < 5:
            assert parent.poll() is None
            time.sleep(0.05)
        clients = parent.children(recursive=True)
        assert len(clients) >= 2
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(clients, timeout=20)
    assert not alive


@pytest.mark.parametrize(
    ("text", "name", "adapter", "url"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "voicecore", "http://127.0.0.1:8000/"),
        ("https://tts.example/api/", "tts.example/api", "voicecore", "https://tts.example/api/"),
        ("ours=http://a:1", "ours", "voicecore", "http://a:1/"),
        ("gsv=gpt-sovits+http://a:1", "gsv", "gpt-sovits", "http://a:1/"),
        ("http://a:1/?x=y", "a:1/?x=y", "voicecore", "http://a:1/?x=y/"),
    ],
)
def test_a_target_is_a_name_an_adapter_and_a_url(text: str, name: str, adapter: str, url: str):
    target = parse_target(text)
    assert (target.name, target.adapter, target.url) == (name, adapter, url)


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "ftp://a", "coqui+http://a", "http://"])
def test_what_is_no_target_is_refused(text: str):
    with pytest.raises(TargetError, match="expected"):
        parse_target(text)


def test_a_target_that_does_not_speak_is_told_before_anything_is_measured(stand_in):
    target = parse_target(stand_in.url)
    prime(target, WORKLOAD, 10.0)
    stand_in.refusal = (404, "no such model")
    with pytest.raises(TargetError, match="status 404: no such model"):
        prime(target, WORKLOAD, 10.0)
    with pytest.raises(TargetError, match="Does it run"):
        prime(parse_target("http://127.0.0.1:9"), WORKLOAD, 10.0)


def test_an_unknown_speaker_is_told_with_those_that_are_known(stand_in):
    target = parse_target(f"xtts-streaming-server+{stand_in.url}")
    with pytest.raises(TargetError, match=r"expected a recording's path or a speaker \(Ana"):
        find_voices(target, ("nobody",))


def test_new_voices_are_registered_differ_and_are_forgotten(stand_in, tmp_path: Path):
    recording = tmp_path / "voice.wav"
    soundfile.write(recording, 0.1 * np.sin(np.arange(4_000)), 8_000, subtype="PCM_16")
    target = parse_target(stand_in.url)
    with new_voices(target, recording, 3, run=2) as names:
        assert list(stand_in.voices) == list(names)
        assert len(set(stand_in.voices.values())) == 3
        assert not stand_in.deleted
    assert stand_in.deleted == list(names)
    before, _ = soundfile.read(recording, dtype="int16")
    (tmp_path / "variant.wav").write_bytes(variant(recording, 12345))
    after, rate_hz = soundfile.read(tmp_path / "variant.wav", dtype="int16")
    assert rate_hz == 8_000
    assert np.abs(before - after).max() == 1
