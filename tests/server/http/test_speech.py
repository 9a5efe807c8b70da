"""POST /v1/audio/speech: what each field does, what is refused and how, and every way a speech can end."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import time

import av
import httpx
import numpy as np
import pytest

from providers.errors import DeviceOutOfMemory, EngineError
from server.errors import Overloaded, WorkerLost
from server.scheduling.messages import UtteranceDone


def pcm(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2") / 32767


def wait_for(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.005)
    return found


def refusal(response: httpx.Response) -> dict:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    return error


# What was asked for


def test_pcm_is_the_speech_itself(server, expected_tone):
    response = server.speak(response_format="pcm")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "audio/pcm"
    np.testing.assert_allclose(pcm(response.content), expected_tone(server.speech.spoken[0]), atol=1 / 32767)


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        (None, "audio/mpeg"),
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
    ],
)
def test_each_format_is_one_file_of_its_type(server, expected_tone, format, media_type):
    response = server.speak(response_format=format)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    with av.open(io.BytesIO(response.content)) as container:
        seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert seconds == pytest.approx(len(expected_tone(server.speech.spoken[0])) / 24_000, abs=0.1)


def test_responses_are_neither_buffered_nor_cached_on_their_way(server):
    headers = server.speak(response_format="pcm").headers
    assert headers["x-accel-buffering"] == "no"
    assert headers["cache-control"] == "no-cache"
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers


def test_the_sample_rate_is_a_choice(server, expected_tone):
    response = server.speak(response_format="pcm", sample_rate=8_000)
    assert response.headers["x-sample-rate"] == "8000"
    assert len(pcm(response.content)) == len(expected_tone(server.speech.spoken[0])) / 3


def test_given_fields_replace_the_submissions_own_defaults(server, fake_family):
    fields = {"temperature": 0, "top_k": 0, "top_p": 0.5, "repetition_penalty": 2.5, "noise_scale": 0.25}
    server.speak(speed=1.5, seed=7, language="de", **fields)
    spoken = server.speech.spoken[0]
    assert spoken.speed == 1.5
    assert spoken.prompts[0].language == "de"
    sampling = spoken.sampling
    assert (sampling.seed, sampling.temperature, sampling.top_k) == (7, 0.0, 0)
    assert (sampling.top_p, sampling.repetition_penalty, sampling.noise_scale) == (0.5, 2.5, 0.25)
    assert sampling.max_tokens == fake_family.DEFAULT_SAMPLING.max_tokens


def test_without_a_seed_one_is_drawn_and_told(server):
    first, second = (server.speak().headers["x-seed"] for _ in range(2))
    assert first != second
    assert [str(spoken.sampling.seed) for spoken in server.speech.spoken] == [first, second]


def test_null_is_the_default(server, fake_family):
    fields = dict.fromkeys(
        "voice response_format speed stream_format instructions language seed temperature sample_rate".split()
    )
    assert server.speak(**fields).headers["content-type"] == "audio/mpeg"
    spoken = server.speech.spoken[0]
    assert spoken.speed == 1.0
    assert spoken.sampling.temperature == fake_family.DEFAULT_SAMPLING.temperature


def test_fields_that_nobody_knows_are_ignored(server):
    assert server.speak(instructions="whisper", lang_code="a", stream=True, task_type=None).status_code == 200


def test_any_script_arrives_as_it_was_sent(server):
    text = "Grüße, 世界 🌍 \u0000 e\u0301"
    assert server.speak(text).status_code == 200
    assert server.speech.spoken[0].prompts[0].text == text


@pytest.mark.parametrize(
    "model",
    ["tts-1", "tts-1-hd", "tts-1-1106", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "voice-core", None],
)
def test_openais_model_names_mean_the_default_model(serve, model):
    server = serve(default_model="voice-core")
    assert server.speak(model=model).status_code == 404
    server.store.alias("voice-core", "anna")
    assert server.speak(model=model).status_code == 200
    assert server.speech.spoken[0].submission_id == server.store.resolve("anna").id


def test_a_submission_may_have_one_of_openais_names(server, publish):
    named = publish("tts-1")
    server.speak(model="tts-1")
    assert server.speech.spoken[0].submission_id == named.id


def test_a_model_may_be_asked_for_by_id(server):
    submission = server.store.resolve("anna")
    for model in (submission.id, submission.id.removeprefix("sha256:")[:12]):
        assert server.speak(model=model).status_code == 200
    assert {spoken.submission_id for spoken in server.speech.spoken} == {submission.id}


@pytest.mark.parametrize("voice", ["default", "alloy", "cedar", {"id": "default"}, {"id": "verse"}, None])
def test_the_default_and_openais_voices_are_the_submissions_own(server, voice):
    assert server.speak(voice=voice).status_code == 200
    assert server.speech.spoken[0].voice_id == server.store.resolve("anna").voice.id


# Order and time


def test_utterances_are_put_back_into_reading_order(server, expected_tone):
    def mixed(messages):
        """Round robin from the last utterance to the first."""
        of = [[m for m in messages if m.utterance_index == index] for index in (2, 1, 0)]
        return [of[i % 3].pop(0) for i in range(3 * max(map(len, of))) if of[i % 3]]

    server.speech.order = mixed
    response = server.speak("First sentence. Then two. And a third one.", response_format="pcm")
    spoken = server.speech.spoken[0]
    assert len(spoken.prompts) == 3
    np.testing.assert_allclose(pcm(response.content), expected_tone(spoken), atol=1 / 32767)


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_audio_leaves_while_it_is_made(server, stream_format):
    server.speech.delay_s = 0.3
    asked_at = time.monotonic()
    body = {
        "model": "anna",
        "input": "a longer text",
        "response_format": "pcm",
        "stream_format": stream_format,
    }
    with server.http.stream("POST", "/v1/audio/speech", json=body) as response:
        pieces = response.iter_raw()
        first = next(pieces)
        first_after = time.monotonic() - asked_at
        rest = b"".join(pieces)
    assert first
    assert rest
    assert first_after < (time.monotonic() - asked_at) / 2


def test_a_speech_that_takes_too_long_is_a_504_before_its_first_audio(serve):
    server = serve(request_timeout_s=0.3)
    server.speech.first_delay_s = 10
    response = server.speak()
    assert response.status_code == 504
    assert refusal(response)["code"] == "request_timeout"
    assert set(server.speech.cancelled_at) == {server.speech.spoken[0].request_id}


def test_a_text_that_takes_too_long_to_read_is_a_504(serve):
    server = serve(request_timeout_s=0.2)
    server.text.delay_s = 10
    assert server.speak().status_code == 504
    assert not server.speech.spoken


def test_a_speech_that_takes_too_long_is_broken_off_after_its_first_audio(serve):
    server = serve(request_timeout_s=0.5)
    server.speech.delay_s = 0.2
    with pytest.raises(httpx.RemoteProtocolError):
        server.speak("a text of several chunks, so it lasts", response_format="pcm")
    wait_for(lambda: server.speech.cancelled_at)


def test_the_request_id_is_the_clients_own_or_a_new_one(server):
    def answered(sent):
        headers = {"x-request-id": sent} if sent else {}
        return server.http.get("/healthz", headers=headers).headers["x-request-id"]

    assert answered("call-7:a.b_c") == "call-7:a.b_c"
    for unusable in ("", "two words", "x" * 129, "semi;colon"):
        assert answered(unusable) not in ("", unusable)
    assert answered("") != answered("")


def test_two_clients_with_one_request_id_do_not_meet(server):
    for _ in range(2):
        body = {"model": "anna", "input": "hello"}
        server.http.post("/v1/audio/speech", json=body, headers={"x-request-id": "same"})
    assert len({spoken.request_id for spoken in server.speech.spoken}) == 2


# Events


def events(data: bytes) -> list[dict]:
    blocks = data.decode().split("\n\n")
    assert blocks.pop() == "", "the last event is complete"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_the_deltas_together_are_the_file(server, format):
    fields = {"input": "one. and two.", "response_format": format, "seed": 1}
    plain = server.speak(**fields)
    response = server.speak(**fields, stream_format="sse")
    assert response.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(response.content)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    joined = b"".join(base64.b64decode(event["audio"], validate=True) for event in deltas)
    if format == "opus":  # its stream has a random serial number
        assert len(joined) == len(plain.content)
    else:
        assert joined == plain.content
    assert done["type"] == "speech.audio.done"
    characters = len("one") + len("and two")
    assert done["usage"] == {
        "input_tokens": characters,
        "output_tokens": characters,
        "total_tokens": 2 * characters,
    }


def test_a_failure_among_events_is_an_event(server):
    server.speech.error, server.speech.error_after = EngineError("the device is lost."), 2
    response = server.speak("a text of several chunks", stream_format="sse", response_format="pcm")
    assert response.status_code == 200
    *deltas, last = events(response.content)
    assert deltas
    assert last["type"] == "speech.audio.error"
    assert last["error"]["message"] == "the device is lost."
    assert last["error"]["code"] == "engine_error"


# Failures


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (Overloaded("256 utterances are waiting.", retry_after_s=2.4), 429, "overloaded", "3"),
        (WorkerLost("the device process died."), 503, "worker_lost", "2"),
        (DeviceOutOfMemory("the device is full."), 503, "device_out_of_memory", "1"),
        (EngineError("the engine failed."), 500, "engine_error", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_fails_before_the_first_audio_has_a_status(server, error, status, code, retry_after):
    server.speech.error = error
    response = server.speak()
    assert response.status_code == status
    found = refusal(response)
    assert (found["code"], found["message"]) == (code, str(error))
    assert found["type"] == ("rate_limit_error" if status == 429 else "server_error")
    assert response.headers.get("retry-after") == retry_after


def test_the_unforeseen_is_a_500_that_shows_nothing_of_us(server):
    server.speech.error = RuntimeError("secret /home/anna/key")
    response = server.speak()
    assert response.status_code == 500
    assert refusal(response)["code"] == "internal_error"
    assert "secret" not in response.text
    assert server.speak(input=" ").status_code == 422, "the server goes on"


def test_what_fails_after_the_first_audio_breaks_the_connection(server):
    server.speech.error, server.speech.error_after = EngineError("the device is lost."), 2
    with pytest.raises(httpx.RemoteProtocolError):
        server.speak("a text of several chunks", response_format="pcm")


def test_a_speech_that_ends_without_all_its_utterances_is_a_failure(server):
    server.speech.order = lambda messages: [m for m in messages if m.utterance_index == 0]
    with pytest.raises(httpx.RemoteProtocolError):
        server.speak("One. Two.", response_format="pcm")


def test_the_first_error_wins_over_audio_that_is_held_back(server):
    server.speech.order = lambda messages: [m for m in messages if m.utterance_index == 1]
    server.speech.error, server.speech.error_after = EngineError("the device is lost."), 2
    assert server.speak("One. And a longer second.").status_code == 500


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"input": None}, "input", "found no `input`"),
        ({"input": " \n"}, "input", "some text to speak"),
        ({"input": 3}, "input", "found 3"),
        ({"input": "\ud800"}, "input", "`input`"),
        ({"speed": 0.2}, "speed", "found 0.2; expected: input should be greater than or equal to 0.25"),
        ({"speed": 4.1}, "speed", "found 4.1"),
        ({"speed": "fast"}, "speed", "'fast'"),
        ({"response_format": "midi"}, "response_format", "'mp3', 'opus', 'aac', 'flac', 'wav' or 'pcm'"),
        ({"stream_format": "json"}, "stream_format", "'audio' or 'sse'"),
        ({"voice": 7}, "voice", "found 7"),
        ({"seed": -1}, "seed", "found -1"),
        ({"seed": 2**63}, "seed", "found 9223372036854775808"),
        ({"temperature": -0.1}, "temperature", "found -0.1"),
        ({"top_p": 0}, "top_p", "found 0"),
        ({"top_k": -1}, "top_k", "found -1"),
        ({"repetition_penalty": 0}, "repetition_penalty", "found 0"),
        ({"noise_scale": -0.1}, "noise_scale", "found -0.1"),
        ({"noise_scale": 2.1}, "noise_scale", "found 2.1"),
        ({"sample_rate": 7_999}, "sample_rate", "found 7999"),
        ({"sample_rate": 96_000}, "sample_rate", "found 96000"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found(server, fields, param, said):
    response = server.http.post(
        "/v1/audio/speech",
        content=json.dumps({"model": "anna", "input": "hello"} | fields),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 422
    found = refusal(response)
    assert (found["type"], found["code"]) == ("invalid_request_error", "invalid_value")
    assert found["param"] == param
    assert said in found["message"]
    assert not server.speech.spoken


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_are_finite(server, number):
    content = f'{{"model": "anna", "input": "hello", "speed": {number}}}'
    response = server.http.post(
        "/v1/audio/speech", content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    assert refusal(response)["param"] == "speed"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        ('{"input": ', "application/json", 400, "invalid_json"),
        ("", "application/json", 422, "invalid_body"),
        ('["hello"]', "application/json", 422, "invalid_body"),
        ('{"input": "hello"}', "text/plain", 422, "invalid_body"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(server, content, content_type, status, code):
    response = server.http.post("/v1/audio/speech", content=content, headers={"content-type": content_type})
    assert response.status_code == status
    assert refusal(response)["code"] == code


def test_an_unknown_model_is_told_which_there_are(server):
    response = server.speak(model="bob")
    assert response.status_code == 404
    found = refusal(response)
    assert (found["code"], found["param"]) == ("model_not_found", "model")
    assert "'bob'" in found["message"]
    assert "anna" in found["message"]


def test_an_unknown_voice_is_told_which_there_are(server):
    response = server.speak(voice="../../etc/passwd")
    assert response.status_code == 404
    found = refusal(response)
    assert (found["code"], found["param"]) == ("voice_not_found", "voice")
    assert "default" in found["message"]


def test_what_a_text_front_end_refuses_is_the_callers(server):
    response = server.speak(language="xx")
    assert response.status_code == 422
    assert refusal(response)["code"] == "unsupported_language"
    assert refusal(server.speak("..."))["code"] == "empty_text"


def test_a_text_can_be_too_long(serve):
    server = serve(max_input_chars=5)
    assert server.speak("12345").status_code == 200
    response = server.speak("123456")
    assert response.status_code == 422
    found = refusal(response)
    assert (found["param"], found["code"]) == ("input", "text_too_long")
    assert "found 6 characters of input; expected at most 5" in found["message"]


def test_only_post_speaks(server):
    response = server.http.get("/v1/audio/speech")
    assert response.status_code == 405
    assert refusal(response)["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"


# Clients that leave


def leave_after(server, seconds: float, read_first: bool) -> float:
    """Speak over a bare socket and close it; returns when."""
    body = json.dumps({"model": "anna", "input": "a text that lasts a while", "response_format": "pcm"})
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/audio/speech HTTP/1.1\r\nHost: {server.address}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        if read_first:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(seconds)
        return time.monotonic()


@pytest.mark.parametrize("read_first", [False, True], ids=["before the first audio", "after it"])
def test_a_client_that_leaves_is_cancelled_at_once(server, read_first):
    server.speech.first_delay_s = 0 if read_first else 10
    server.speech.delay_s = 10
    left_at = leave_after(server, 0.1, read_first)
    wait_for(lambda: server.speech.cancelled_at)
    assert server.speech.cancelled_at[server.speech.spoken[0].request_id] - left_at < 1


def test_a_server_that_stops_cancels_what_it_speaks(server):
    """uvicorn cancels the application's task when its grace is over."""
    server.speech.delay_s = 10

    async def speak_and_stop():
        transport = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            body = {"model": "anna", "input": "a text that lasts", "response_format": "pcm"}
            await asyncio.wait_for(client.post("/v1/audio/speech", json=body), 0.3)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(speak_and_stop())
    assert set(server.speech.cancelled_at) == {server.speech.spoken[0].request_id}
    assert 'voicecore_speech_requests_total{outcome="cancelled"} 1.0' in server.http.get("/metrics").text


def test_a_client_that_stops_reading_holds_up_nobody_else(server):
    server.speech.delay_s = 0
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as idle:
        text = "a text that nobody listens to. " * 300
        body = json.dumps({"model": "anna", "input": text, "response_format": "pcm"})
        idle.sendall(
            f"POST /v1/audio/speech HTTP/1.1\r\nHost: {server.address}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        wait_for(lambda: server.speech.spoken)
        assert server.speak().status_code == 200
    wait_for(lambda: server.speech.cancelled_at)


def test_every_message_of_the_device_counts_tokens_once(server):
    server.speech.order = lambda messages: sorted(messages, key=lambda m: isinstance(m, UtteranceDone))
    response = server.speak("One. Two.", stream_format="sse")
    assert events(response.content)[-1]["usage"]["output_tokens"] == len("One") + len("Two")
