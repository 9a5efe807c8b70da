"""GPT-SoVITS's own API: its 24 fields, its answers, names for paths, and what SillyTavern sends."""

from __future__ import annotations

import io
import os
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile

from models_store.errors import MissingBaseModels
from providers.errors import EngineError
from server.errors import Overloaded
from server.http.gpt_sovits_schemas import TtsRequest

FIELDS = """text text_lang ref_audio_path aux_ref_audio_paths prompt_lang prompt_text top_k top_p temperature
text_split_method batch_size batch_threshold split_bucket speed_factor fragment_interval seed media_type
streaming_mode parallel_infer repetition_penalty sample_steps super_sampling overlap_length
min_chunk_length""".split()

# Opened files, while somebody listens. An audit hook can't be taken away again.
_opened: list[str] | None = None


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir"):
        _opened.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else "")


@pytest.fixture(scope="module")
def audited() -> None:
    sys.addaudithook(_on_audit)


@pytest.fixture
def opened(audited: None) -> Iterator[list[str]]:
    global _opened
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture
def tts(server):
    """POST /tts with the required fields and no pauses; None leaves one out."""

    def tts(**fields: Any) -> httpx.Response:
        body = {
            "text": "hello there",
            "text_lang": "en",
            "ref_audio_path": "anna",
            "prompt_lang": "en",
            "fragment_interval": 0,
        } | fields
        return server.http.post("/tts", json=body)

    return tts


@pytest.fixture
def add_voice(store, tmp_path: Path) -> Callable[[str], str]:
    """Registers a voice; returns its id."""

    def add_voice(name: str) -> str:
        path = tmp_path / f"{name}-recording.wav"
        rng = np.random.default_rng(list(name.encode()))
        soundfile.write(path, rng.uniform(-0.5, 0.5, 24_000), 8_000)
        return store.add_voice(name, [path]).voice.id

    return add_voice


def pcm(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2") / 32767


def read_wav(data: bytes) -> tuple[int, np.ndarray]:
    with wave.open(io.BytesIO(data)) as file:
        return file.getframerate(), pcm(file.readframes(file.getnframes()))


def refusal(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body = response.json()
    assert body["message"] == body["Exception"] == body["error"]["message"]
    assert response.headers["x-request-id"]
    return body["error"]


# Fields


def test_it_has_the_fields_of_api_v2_and_no_others():
    assert sorted(TtsRequest.model_fields) == sorted(FIELDS)
    assert len(FIELDS) == 24


def test_a_whole_file_says_how_long_it_is(server, tts, expected_tone):
    response = tts()
    assert response.headers["content-type"] == "audio/wav"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["x-sample-rate"] == "24000"
    rate, found = read_wav(response.content)
    assert rate == 24_000
    np.testing.assert_allclose(found, expected_tone(server.speech.spoken[0]), atol=1 / 32767)


def test_every_streaming_mode_is_the_same_audio(tts):
    whole = [tts(streaming_mode=mode) for mode in (None, False, 0, "false", "0", "")]
    streamed = [tts(streaming_mode=mode) for mode in (True, 1, 2, 3, "true", "True", "2")]
    assert len({response.content for response in whole}) == 1
    assert len({response.content for response in streamed}) == 1
    assert whole[0].content[44:] == streamed[0].content[44:]
    assert streamed[0].content[:4] == b"RIFF"
    for response in streamed:
        assert "content-length" not in response.headers
        assert response.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("streaming_mode", [0, 1])
@pytest.mark.parametrize("media_type", ["wav", "raw", "ogg", "aac"])
def test_each_media_type_is_one_file_of_its_kind(server, tts, expected_tone, media_type, streaming_mode):
    response = tts(media_type=media_type, streaming_mode=streaming_mode)
    assert response.headers["content-type"] == f"audio/{media_type}"
    expected = expected_tone(server.speech.spoken[0])
    if media_type == "raw":
        np.testing.assert_allclose(pcm(response.content), expected, atol=1 / 32767)
        return
    with av.open(io.BytesIO(response.content)) as container:
        seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert seconds == pytest.approx(len(expected) / 24_000, abs=0.1)


@pytest.mark.parametrize("streaming_mode", [0, 1])
def test_it_leaves_at_the_submissions_own_rate(server, tts, streaming_mode):
    server.speech.sample_rate_hz = 32_000
    response = tts(streaming_mode=streaming_mode)
    assert response.headers["x-sample-rate"] == "32000"
    assert int.from_bytes(response.content[24:28], "little") == 32_000
    assert server.speak(response_format="wav").headers["x-sample-rate"] == "24000"


def test_fragments_have_silence_behind_them(server, tts, expected_tone):
    found = pcm(tts(text="One. Two.", fragment_interval=0.1, media_type="raw").content)
    spoken = server.speech.spoken[0]
    pause = np.zeros(2_400)
    first, second = np.split(expected_tone(spoken), [len(spoken.prompts[0].ids) * 1_200])
    np.testing.assert_allclose(found, np.concatenate((first, pause, second, pause)), atol=1 / 32767)
    assert len(tts(text="One. Two.", fragment_interval=None).content) - 44 == 2 * (len(found) + 2 * 4_800)


def test_the_cut_method_reaches_the_text_front_end(server, tts):
    for method in ("cut0", "cut5", None):
        assert tts(text="One. Two.", text_split_method=method).status_code == 200
    assert [len(spoken.prompts) for spoken in server.speech.spoken] == [1, 2, 2]


def test_given_fields_replace_the_submissions_own_defaults(server, tts, fake_family):
    tts(top_k=7, top_p=0.5, temperature=0.25, repetition_penalty=1.35, speed_factor=1.25, seed=11)
    tts(text_lang="de")
    told, left_out = server.speech.spoken
    sampling = told.sampling
    assert (sampling.top_k, sampling.top_p, sampling.temperature) == (7, 0.5, 0.25)
    assert (sampling.repetition_penalty, sampling.seed, told.speed) == (1.35, 11, 1.25)
    assert left_out.prompts[0].language == "de"
    assert left_out.sampling.top_k == fake_family.DEFAULT_SAMPLING.top_k
    assert left_out.sampling.temperature == fake_family.DEFAULT_SAMPLING.temperature


def test_a_seed_of_minus_one_is_drawn_and_told(server, tts):
    told = [tts(seed=-1).headers["x-seed"] for _ in range(2)]
    assert told == [str(spoken.sampling.seed) for spoken in server.speech.spoken]
    assert told[0] != told[1]


def test_fields_that_only_schedule_change_nothing(tts):
    plain = tts(seed=1).content
    fields = {
        "batch_size": 20,
        "batch_threshold": 0.1,
        "split_bucket": False,
        "parallel_infer": False,
        "sample_steps": 8,
        "super_sampling": True,
        "overlap_length": 4,
        "min_chunk_length": 32,
        "prompt_text": "anything",
        "prompt_lang": "zh",
        "aux_ref_audio_paths": [],
        "return_fragment": True,
    }
    assert tts(seed=1, **fields).content == plain


def test_a_get_is_the_same_as_a_post(server, tts):
    fields = {"text": "One. Two.", "seed": "5", "media_type": "raw", "streaming_mode": "true", "top_p": "0.5"}
    fields |= {"split_bucket": "False", "fragment_interval": "0.2", "aux_ref_audio_paths": ""}
    posted = tts(**fields)
    got = server.http.get("/tts", params=fields | {"text_lang": "en", "ref_audio_path": "anna.wav"})
    assert got.status_code == 200, got.text
    assert got.content == posted.content
    assert got.headers["content-type"] == "audio/raw"


def test_audio_leaves_while_it_is_made(server):
    server.speech.delay_s = 0.3
    fields = {"text": "a longer text", "ref_audio_path": "anna", "streaming_mode": 3, "media_type": "raw"}
    asked_at = time.monotonic()
    with server.http.stream("GET", "/tts", params=fields) as response:
        pieces = response.iter_raw()
        next(pieces)
        first_after = time.monotonic() - asked_at
        rest = b"".join(pieces)
    assert rest
    assert first_after < (time.monotonic() - asked_at) / 2


# Names for paths


NAMED = [  # path, the submission that it means, whose voice
    ("anna", "anna", "anna"),
    ("anna.wav", "anna", "anna"),
    ("/data/refs/anna.WAV", "anna", "anna"),
    ("C:\\refs\\anna.mp3", "anna", "anna"),
    ("./参考音频/anna.wav", "anna", "anna"),
    ("ben", "main", "ben"),
    ("output/slicer_opt/ben.flac", "main", "ben"),
    ("anna/ben.wav", "anna", "ben"),
    ("./参考音频/anna/ben.wav", "anna", "ben"),
    ("anna/default", "anna", "anna"),
    ("default.wav", "main", "main"),
    ("v2.wav", "main", "v2.wav"),
    ("both", "both", "both"),
    ("anna/both", "anna", "voice both"),
]


def test_a_path_is_a_name(serve, publish, add_voice):
    server = serve(default_model="main")
    for name in ("main", "both"):
        publish(name)
    voices = {name: server.store.resolve(name).voice.id for name in ("anna", "main", "both")}
    voices |= {"ben": add_voice("ben"), "v2.wav": add_voice("v2.wav"), "voice both": add_voice("both")}
    for path, _, _ in NAMED:
        response = server.http.post("/tts", json={"text": "hi", "text_lang": "en", "ref_audio_path": path})
        assert response.status_code == 200, (path, response.text)
    spoken = [(speak.submission_id, speak.voice_id) for speak in server.speech.spoken]
    for found, (path, submission, voice) in zip(spoken, NAMED, strict=True):
        assert found == (server.store.resolve(submission).id, voices[voice]), path


def test_an_id_is_a_name_too(server, tts):
    submission = server.store.resolve("anna")
    assert tts(ref_audio_path=submission.id).status_code == 200
    assert tts(ref_audio_path=f"{submission.id}/{submission.voice.id}").status_code == 200


@pytest.mark.parametrize("field", ["ref_audio_path", "weights_path", "refer_audio_path"])
def test_no_path_is_ever_opened(server, tmp_path, opened, field):
    secret = tmp_path / "secret-recording.wav"
    soundfile.write(secret, np.full(96_000, 0.25, np.float32), 24_000)
    opened.clear()
    asked = {
        "ref_audio_path": lambda path: server.http.get("/tts", params={"text": "hi", "ref_audio_path": path}),
        "weights_path": lambda path: server.http.get("/set_gpt_weights", params={"weights_path": path}),
        "refer_audio_path": lambda path: server.http.get(
            "/set_refer_audio", params={"refer_audio_path": path}
        ),
    }[field]
    home = server.store.root
    for path in (
        str(secret),
        f"file://{secret}",
        os.path.relpath(secret, home),
        "/etc/passwd",
        "../../etc/passwd",
        "..\\..\\etc\\passwd",
        "../names/../../../etc/passwd",
        "https://evil.example/x.wav",
        "..",
        "/",
        "\x00anna",
        "anna\x00.wav",
        "~/.ssh/id_rsa",
        "x" * 5_000,
        "a/" * 2_000,
    ):
        error = refusal(asked(path))
        assert "found" in error["message"]
        assert "expected a registered name" in error["message"]
        assert "POST /v1/audio/voices" in error["message"]
        assert len(error["message"]) < 600
    for path in opened:
        if any(word in path for word in ("secret", "passwd", "ssh", "anna")):
            assert Path(os.path.normpath(path)).is_relative_to(server.store.root), path
    assert not server.speech.spoken


def test_an_unknown_name_is_told_which_there_are(tts, add_voice):
    add_voice("ben")
    error = refusal(tts(ref_audio_path="refs/carl.wav"))
    assert (error["param"], error["code"]) == ("ref_audio_path", "reference_not_found")
    assert "found 'refs/carl.wav'" in error["message"]
    assert "anna, ben" in error["message"]


def test_a_voice_needs_a_default_model(tts, add_voice):
    add_voice("ben")
    assert "found the model 'demo'" in refusal(tts(ref_audio_path="ben"))["message"]


# Weights, references, control


@pytest.mark.parametrize("call", ["set_gpt_weights", "set_sovits_weights"])
@pytest.mark.parametrize("path", ["anna", "GPT_weights_v2/anna.ckpt", "SoVITS_weights\\anna.pth"])
def test_weights_are_a_submission_that_is_loaded(server, call, path):
    response = server.http.get(f"/{call}", params={"weights_path": path})
    assert (response.status_code, response.json()["message"]) == (200, "success")
    assert server.speech.resident == {server.store.resolve("anna").id: "device"}
    assert refusal(server.http.get(f"/{call}"))["param"] == "weights_path"


def test_a_reference_is_known_or_not(server, add_voice):
    server.store.alias("demo", "anna")
    add_voice("ben")
    for path in ("anna", "ben.wav", "anna/ben"):
        response = server.http.get("/set_refer_audio", params={"refer_audio_path": path})
        assert (response.status_code, response.json()["message"]) == (200, "success")


def test_no_call_changes_what_others_hear(server, publish, tts, add_voice):
    other = publish("other")
    server.store.alias("demo", "anna")
    add_voice("ben")
    server.http.get("/set_gpt_weights", params={"weights_path": "other"})
    server.http.get("/set_refer_audio", params={"refer_audio_path": "other"})
    tts(ref_audio_path="ben")
    assert server.speech.spoken[0].submission_id != other.id


@pytest.mark.parametrize("command", ["restart", "exit", None])
def test_nobody_ends_the_server(server, command):
    response = server.http.get("/control", params={"command": command} if command else {})
    assert refusal(response, 403)["code"] == "control_refused"
    assert server.http.get("/healthz").status_code == 200


# Failures


WRONG = [  # fields, the one to blame, part of what is said
    ({"text": None}, "text", "found no `text`"),
    ({"text": " "}, "text", "some text to speak"),
    ({"text": "x" * 20_001}, "text", "found 20001 characters of text"),
    ({"ref_audio_path": None}, "ref_audio_path", "found no `ref_audio_path`"),
    ({"ref_audio_path": ""}, "ref_audio_path", "found ''"),
    ({"ref_audio_path": 3}, "ref_audio_path", "found 3"),
    (
        {"aux_ref_audio_paths": ["/a.wav"]},
        "aux_ref_audio_paths",
        "POST /v1/audio/voices takes them together",
    ),
    ({"aux_ref_audio_paths": "b.wav"}, "aux_ref_audio_paths", "found 'b.wav'"),
    ({"text_split_method": "cut9"}, "text_split_method", "'cut0', 'cut1'"),
    ({"media_type": "mp3"}, "media_type", "'wav', 'raw', 'ogg' or 'aac'"),
    ({"streaming_mode": 4}, "streaming_mode", "found 4"),
    ({"streaming_mode": "yes"}, "streaming_mode", "found 'yes'"),
    ({"top_k": -1}, "top_k", "found -1"),
    ({"top_p": 0}, "top_p", "found 0"),
    ({"temperature": "hot"}, "temperature", "'hot'"),
    ({"speed_factor": 9}, "speed_factor", "found 9"),
    ({"fragment_interval": -1}, "fragment_interval", "found -1"),
    ({"fragment_interval": 1e9}, "fragment_interval", "found 1000000000"),
    ({"seed": -2}, "seed", "found -2"),
    ({"batch_size": "many"}, "batch_size", "'many'"),
]


def test_a_wrong_field_is_named_with_what_was_found(server, tts):
    for fields, param, said in WRONG:
        error = refusal(tts(**fields))
        assert error["param"] == param, fields
        assert said in error["message"], fields
    assert not server.speech.spoken


def test_what_a_text_front_end_refuses_is_the_callers(tts):
    error = refusal(tts(text_lang="all_xx"))
    assert error["code"] == "unsupported_language"
    assert "found language 'all_xx'; expected one of en, de" in error["message"]
    assert refusal(tts(text="..."))["code"] == "empty_text"


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_body_that_is_not_a_json_object_is_refused(server, content):
    for path in ("/tts", "/"):
        response = server.http.post(path, content=content, headers={"content-type": "application/json"})
        assert "JSON" in refusal(response)["message"]


@pytest.mark.parametrize("streaming_mode", [0, 1])
@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Overloaded("256 utterances are waiting.", retry_after_s=2.4), 429, "3"),
        (MissingBaseModels("anna", ["hubert"]), 503, "60"),
        (EngineError("the engine failed."), 500, None),
        (RuntimeError("secret"), 500, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_fails_before_the_first_audio_has_a_status(
    server, tts, error, status, retry_after, streaming_mode
):
    server.speech.error = error
    response = tts(streaming_mode=streaming_mode)
    found = refusal(response, status)
    assert response.headers.get("retry-after") == retry_after
    assert "secret" not in found["message"]


def test_a_whole_file_that_fails_late_still_has_a_status(server, tts):
    server.speech.error, server.speech.error_after = EngineError("the device is lost."), 2
    assert refusal(tts(text="a text of several chunks"), 500)["message"] == "the device is lost."
    with pytest.raises(httpx.RemoteProtocolError):
        tts(text="a text of several chunks", streaming_mode=1)


def test_openais_clients_still_read_their_own_errors(server):
    assert set(server.speak(voice="nobody").json()) == {"error"}


def test_the_key_is_asked_for(serve):
    server = serve(api_key="key")
    body = {"text": "hi", "ref_audio_path": "anna"}
    for path in ("/tts", "/"):
        assert server.http.post(path, json=body).status_code == 401
        allowed = server.http.post(path, json=body, headers={"Authorization": "Bearer key"})
        assert allowed.status_code == 200
    assert server.http.get("/tts", params=body).status_code == 401
    assert server.http.get("/speakers").status_code == 401
    assert server.http.get("/").status_code == 200


# SillyTavern


def test_sillytavern_lists_speakers_and_speaks_in_each(serve, add_voice):
    origin = "http://localhost:8000"
    server = serve(default_model="anna", cors_origins=(origin,))
    ben = add_voice("ben")
    listed = server.http.get("/speakers", headers={"Origin": origin})
    assert listed.headers["access-control-allow-origin"] == origin
    speakers = listed.json()
    assert [set(speaker) for speaker in speakers] == [{"name", "voice_id", "preview_url"}] * 2
    assert [speaker["name"] for speaker in speakers] == ["anna", "anna/ben"]
    for speaker in speakers:
        body = {
            "text": "Hello there.",
            "prompt_text": speaker["voice_id"],
            "ref_audio_path": f"./参考音频/{speaker['voice_id']}.wav",
            "text_lang": "en",
            "prompt_lang": "zh",
            "text_split_method": "cut5",
            "batch_size": 1,
            "media_type": "ogg",
            "streaming_mode": "true",
        }
        response = server.http.post("/", json=body, headers={"Origin": origin})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "audio/ogg"
        assert response.headers["access-control-allow-origin"] == origin
        with av.open(io.BytesIO(response.content)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) > 0
    assert [spoken.voice_id for spoken in server.speech.spoken] == [
        server.store.resolve("anna").voice.id,
        ben,
    ]


def test_voices_are_not_listed_without_a_model_to_speak_them(server, add_voice):
    add_voice("ben")
    assert [speaker["name"] for speaker in server.http.get("/speakers").json()] == ["anna"]
