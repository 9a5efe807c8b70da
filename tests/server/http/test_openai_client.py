"""The official client, unchanged, against this server; and what other clients do with its answers."""

from __future__ import annotations

import base64
import io
import json
import wave

import av
import numpy as np
import openai
import pytest

from server.errors import Overloaded

TEXT = "The quick brown fox jumps over the lazy dog"


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def decoded(data: bytes) -> np.ndarray:
    """At 24 kHz, as a player would hear it."""
    resampler = av.AudioResampler("flt", "mono", 24_000)
    with av.open(io.BytesIO(data)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def assert_sounds_like(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Same length up to a codec's padding, same level, same waveform once its delay is taken off."""
    assert -0.01 < (len(found) - len(expected)) / 24_000 < 0.12
    delays = range(2_400)
    best = max(delays, key=lambda delay: found[delay : delay + 20_000] @ expected[:20_000])
    heard = found[best : best + len(expected)]
    reference = expected[: len(heard)]
    assert np.corrcoef(heard, reference)[0, 1] > 1 - tolerance
    assert np.std(heard) == pytest.approx(np.std(reference), rel=0.06)  # LAME takes 5 % off on its own


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_each_format_streams_and_sounds_like_the_speech(client, server, expected_tone, format):
    with client.audio.speech.with_streaming_response.create(
        model="anna",
        voice="alloy",
        input=TEXT,
        response_format=format,
        instructions="calmly",
        speed=1.0,
        extra_body={"language": "en", "seed": 5, "an_unknown_field": {}},
        extra_headers={"x-request-id": "from-the-client"},
    ) as response:
        pieces = list(response.iter_bytes(512))
        assert response.request_id == "from-the-client"
    data = b"".join(pieces)
    spoken = server.speech.spoken[0]
    assert spoken.sampling.seed == 5
    found = np.frombuffer(data, "<i2") / 32768 if format == "pcm" else decoded(data)
    assert_sounds_like(found, expected_tone(spoken), 0.02 if format in ("mp3", "opus", "aac") else 1e-5)


def test_the_whole_response_at_once(client):
    response = client.audio.speech.create(model="anna", voice="nova", input=TEXT)
    assert response.response.headers["content-type"] == "audio/mpeg"
    assert len(decoded(response.content))


def test_a_voice_may_be_an_object(client, server):
    client.audio.speech.create(model="anna", voice={"id": "default"}, input=TEXT)
    assert server.speech.spoken[0].voice_id == server.store.resolve("anna").voice.id


def test_errors_are_the_clients_own_classes(client, server):
    with pytest.raises(openai.NotFoundError, match="found the model 'nobody'") as caught:
        client.audio.speech.create(model="nobody", voice="alloy", input=TEXT)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.UnprocessableEntityError, match="`speed`: found 9"):
        client.audio.speech.create(model="anna", voice="alloy", input=TEXT, speed=9)
    server.speech.error = Overloaded("the queue is full.")
    with pytest.raises(openai.RateLimitError):
        client.audio.speech.create(model="anna", voice="alloy", input=TEXT)


def test_the_client_tries_again_after_a_429(client, server):
    server.speech.error = Overloaded("the queue is full.")

    tries = []

    def forgive_the_second(messages):
        tries.append(messages)
        if len(tries) == 2:
            server.speech.error = None
        return messages

    server.speech.order = forgive_the_second
    response = client.with_options(max_retries=2).audio.speech.create(model="anna", voice="alloy", input=TEXT)
    assert len(tries) == 2
    assert response.content


def test_models_list_and_retrieve(client, server):
    listed = client.models.list().data
    assert [model.id for model in listed] == ["anna"]
    assert listed[0].object == "model"
    assert client.models.retrieve("anna").to_dict()["family"] == "xtts"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_what_livekit_makes_of_the_events(server, expected_tone):
    """It decodes the deltas of one response as one stream, by the events' type and their `audio`."""
    response = server.speak(TEXT, stream_format="sse", response_format="mp3", model="anna")
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    decoder = av.CodecContext.create("mp3", "r")  # to 16 bits
    frames, usage = [], None
    for line in response.text.splitlines():
        if not line.startswith("data: "):
            assert line == ""
            continue
        event = json.loads(line[6:])
        if event["type"] == "speech.audio.delta":
            for packet in decoder.parse(base64.b64decode(event["audio"])):
                frames += decoder.decode(packet)
        elif event["type"] == "speech.audio.done":
            usage = event["usage"]
    for packet in decoder.parse(None):
        frames += decoder.decode(packet)
    found = np.concatenate([frame.to_ndarray()[0] for frame in frames]) / 32768
    assert usage["input_tokens"] == len(TEXT)
    assert {frame.sample_rate for frame in frames} == {24_000}
    assert_sounds_like(found, expected_tone(server.speech.spoken[0]), 0.02)


def test_what_home_assistant_makes_of_a_wav_stream(client):
    """It reads the header out of the first 2048 bytes with Python's `wave` and plays the rest as PCM."""
    with client.audio.speech.with_streaming_response.create(
        model="anna", voice="alloy", input=TEXT, response_format="wav"
    ) as response:
        pieces = response.iter_bytes(2048)
        with wave.open(io.BytesIO(next(pieces))) as opened:
            assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (24_000, 1, 2)
        assert sum(map(len, pieces)) > 2048


def test_what_open_webui_reads_without_a_key(serve):
    server = serve(api_key="secret")
    assert server.http.get("/v1/audio/models").json() == {"models": [{"id": "anna"}]}
    voices = server.http.get("/v1/audio/voices").json()["voices"]
    assert [(voice["id"], voice["name"]) for voice in voices] == [("default", "default")]


def test_what_wyoming_openai_probes(server):
    assert server.http.get("/v1/readyz").status_code == 404, "200 would make it take us for LocalAI"
    assert server.http.get("/health").status_code == 404
    assert [voice["name"] for voice in server.http.get("/v1/models/anna").json()["voices"]] == ["default"]


def test_what_livekit_does_to_warm_up(server):
    assert server.http.get("/v1").status_code in (200, 404)
    assert server.http.get("/").json()["name"] == "Voice Core"
