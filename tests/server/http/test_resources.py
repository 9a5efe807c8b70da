"""Models, voices, health, metrics: what is there and how it is."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from prometheus_client.parser import text_string_to_metric_families

from models_store.base_roles import ROLES
from providers.interface import CharacterSpan
from server.http.metrics import METRICS
from server.scheduling.messages import WorkerState


def recording(seconds: float = 2.0, silent: bool = False, format: str = "WAV") -> bytes:
    t = np.arange(round(seconds * 24_000)) / 24_000
    samples = 0.0 * t if silent else 0.3 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2
    data = io.BytesIO()
    soundfile.write(data, samples.astype(np.float32), 24_000, format=format)
    return data.getvalue()


# Models


def test_models_say_what_a_listener_wants_to_know(server):
    submission = server.store.resolve("anna")
    server.speech.resident[submission.id] = "host"
    model = server.http.get("/v1/models/anna").json()
    assert model == {
        "id": "anna",
        "object": "model",
        "created": model["created"],
        "owned_by": "voicecore",
        "submission_id": submission.id,
        "family": "xtts",
        "variant": "fake",
        "languages": ["en", "de"],
        "voices": [{"name": "default"}],
        "resident": "host",
        "size_bytes": submission.size_bytes,
    }
    assert 1.7e9 < model["created"] < 4e9
    assert server.http.get("/v1/models").json() == {"object": "list", "data": [model]}


def test_a_submission_is_listed_under_each_of_its_names_or_its_id(server, publish):
    server.store.alias("anna-2", "anna")
    nameless = publish("bob")
    server.store.unalias("bob")
    ids = {model["id"] for model in server.http.get("/v1/models").json()["data"]}
    assert ids == {"anna", "anna-2", nameless.id}
    assert server.http.get(f"/v1/models/{nameless.id}").json()["submission_id"] == nameless.id


@pytest.mark.parametrize(("place", "told"), [("device", "device"), ("host", "host"), (None, "disk")])
def test_a_model_tells_where_its_weights_are(server, place, told):
    if place:
        server.speech.resident[server.store.resolve("anna").id] = place
    assert server.http.get("/v1/models/anna").json()["resident"] == told


def test_models_are_listed_without_the_device_process(server):
    server.speech.is_up = False
    assert server.http.get("/v1/models").json()["data"][0]["resident"] is None


def test_an_unknown_model_is_a_404(server):
    response = server.http.get("/v1/models/..%2f..%2fetc")
    assert response.status_code == 404
    response = server.http.get("/v1/models/bob")
    assert response.json()["error"]["code"] == "model_not_found"


# Voices


def test_a_voice_is_added_spoken_in_and_taken_away(server):
    response = server.http.post(
        "/v1/audio/voices",
        files=[
            ("audio_sample", ("take 1.wav", recording(), "audio/wav")),
            ("file", ("b.flac", recording(1.5, format="FLAC"))),
        ],
        data={"name": "carla", "language": "de", "ref_text": "Grüße", "consent": "cons_1"},
    )
    assert response.status_code == 201, response.text
    added = response.json()
    assert (added["id"], added["name"], added["language"]) == ("carla", "carla", "de")
    assert added["duration_s"] == pytest.approx(3.5)
    assert added["object"] == "audio.voice"
    voice = server.store.resolve_voice("carla")
    assert (added["voice_id"], voice.transcript, len(voice.recordings)) == (voice.id, "Grüße", 2)

    voices = server.http.get("/v1/audio/voices").json()["voices"]
    assert [(voice["id"], voice["name"]) for voice in voices] == [("default", "default"), ("carla", "carla")]
    assert server.http.get("/v1/audio/voices/carla").json()["voice_id"] == voice.id
    assert {"name": "carla"} in server.http.get("/v1/models/anna").json()["voices"]
    for asked in ("carla", voice.id, {"id": "carla"}):
        assert server.speak(voice=asked).status_code == 200
    assert {spoken.voice_id for spoken in server.speech.spoken} == {voice.id}

    gone = server.http.delete("/v1/audio/voices/carla")
    assert gone.json() == {"id": "carla", "object": "audio.voice.deleted", "deleted": True}
    assert server.speak(voice="carla").status_code == 404
    assert server.http.delete("/v1/audio/voices/carla").json()["error"]["code"] == "voice_not_found"


def test_a_voice_may_have_one_of_openais_names(server):
    files = {"audio_sample": ("a.wav", recording())}
    assert server.http.post("/v1/audio/voices", files=files, data={"name": "nova"}).status_code == 201
    server.speak(voice="nova")
    server.speak(voice="alloy")
    nova, alloy = (spoken.voice_id for spoken in server.speech.spoken)
    assert nova == server.store.resolve_voice("nova").id
    assert alloy == server.store.resolve("anna").voice.id


@pytest.mark.parametrize(
    ("files", "data", "code"),
    [
        ({"file": ("a.wav", recording())}, {}, "invalid_value"),
        ({"file": ("a.wav", recording())}, {"name": "../x"}, "bad_name"),
        ({"file": ("a.wav", recording())}, {"name": "default"}, "bad_name"),
        ({"other": (None, b"x")}, {"name": "x"}, "invalid_value"),
        ({"file": ("a.wav", b"not a recording at all")}, {"name": "x"}, "submission_error"),
        ({"file": ("a.wav", recording(silent=True))}, {"name": "x"}, "submission_error"),
    ],
    ids=["no name", "path as name", "reserved name", "no file", "no audio", "silence"],
)
def test_an_unusable_voice_is_refused_with_the_reason(server, files, data, code):
    response = server.http.post("/v1/audio/voices", files=files, data=data)
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["code"] == code
    if code == "submission_error":
        assert error["problems"][0]["file"] == "a.wav"
        assert error["problems"][0]["remedy"]
    assert not server.store.voices()
    assert not list(server.store.layout.scratch.iterdir())


# Operations


def test_a_missing_base_model_is_named_where_it_matters(server, monkeypatch):
    """As if these submissions needed HuBERT."""
    role = ROLES["hubert"]
    needs = tuple(replace(need, family="xtts") for need in role.needs)
    monkeypatch.setitem(ROLES, "hubert", replace(role, needs=needs))
    server.store.alias("best", "anna")
    ready = server.http.get("/readyz")
    assert ready.status_code == 200, "there may be submissions that don't need it"
    (missing,) = ready.json()["missing_base_models"]
    assert missing == {
        "role": "hubert",
        "needed_by": sorted(server.store.names()),
        "consequence": "nothing can be spoken",
        "remedy": "voicecore base pull hubert",
    }
    refused = server.speak(model="anna")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 60
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "missing_base_models")
    assert "`voicecore base pull hubert`" in error["message"]


@pytest.mark.parametrize("does_without", [False, True])
def test_chinese_is_refused_for_what_it_needs_unless_the_operator_does_without(
    does_without, serve, publish, monkeypatch
):
    """As if these submissions needed RoBERTa; a mixed text's characters are Chinese, its language isn't."""
    role = ROLES["roberta"]
    monkeypatch.setitem(ROLES, "roberta", replace(role, needs=(replace(role.needs[0], family="xtts"),)))
    server = serve(chinese_without_roberta=does_without)
    publish("hua", ("en", "zh"))
    spell = server.text.read

    async def read(files, text, language, method=None):
        found = await spell(files, text, language, method)
        spans = (CharacterSpan(0, "你", (2,)),) if "你" in text else ()
        return replace(found, prompts=tuple(replace(prompt, spans=spans) for prompt in found.prompts))

    server.text.read = read
    assert server.speak("hello", model="hua").status_code == 200
    spoken = server.speak("hello 你", model="hua")
    roles = [missing["role"] for missing in server.http.get("/readyz").json()["missing_base_models"]]
    if does_without:
        assert (spoken.status_code, roles) == (200, [])
    else:
        assert (spoken.status_code, roles) == (503, ["roberta"])
        assert "`voicecore base pull roberta`" in spoken.json()["error"]["message"]


def test_alive_is_not_ready(serve):
    server = serve(preload=("anna",))
    assert server.http.get("/healthz").json() == {"status": "ok"}
    starting = server.http.get("/readyz")
    assert starting.status_code == 503
    assert starting.json() == {
        "status": "starting",
        "worker": "up",
        "missing": ["anna"],
        "missing_base_models": [],
    }
    server.speech.resident[server.store.resolve("anna").id] = "device"
    ready = server.http.get("/readyz").json()
    assert ready == {"status": "ready", "worker": "up", "missing": [], "missing_base_models": []}
    server.speech.resident.clear()
    assert server.http.get("/readyz").status_code == 200, "to make room is no reason to be unready"
    server.speech.is_up = False
    down = server.http.get("/readyz")
    assert (down.status_code, down.json()["worker"]) == (503, "down")
    assert server.http.get("/healthz").status_code == 200
    server.speech.is_up = True
    assert server.http.get("/readyz").status_code == 503, "another process has to load it again"
    server.speech.is_up = False
    lost = server.speak()
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "2")


def test_a_device_process_that_does_not_answer_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("server.http.services.STATE_TIMEOUT_S", 0.1)
    server.speech.hangs = True
    assert server.http.get("/readyz").status_code == 503
    assert server.http.get("/v1/models").status_code == 200


def samples(server) -> dict[tuple, float]:
    text = server.http.get("/metrics").text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_what_happened(server):
    server.speak("One. And two.")
    server.speak(model="nobody")
    server.http.get("/made/up")
    found = samples(server)

    def requests(method, route, status):
        labels = (("method", method), ("route", route), ("status", status))
        return found[("voicecore_http_requests_total", *labels)]

    assert requests("POST", "/v1/audio/speech", "200") == 1
    assert requests("POST", "/v1/audio/speech", "404") == 1
    assert requests("GET", "none", "404") == 1, "made-up paths must not become labels"
    assert found["voicecore_speech_requests_total", ("outcome", "completed")] == 1
    characters = len("One") + len("And two")
    assert found["voicecore_text_tokens_total",] == characters
    assert found["voicecore_served_audio_seconds_total",] == pytest.approx(characters * 0.05)
    assert found["voicecore_time_to_first_audio_seconds_count",] == 1
    assert 0 < found["voicecore_time_to_first_audio_seconds_sum",] < 5
    assert found["voicecore_real_time_factor_count",] == 1


def test_every_metric_is_described_and_exposed(server):
    server.speech.resident = {"a": "device", "b": "host", "c": "host"}
    text = server.http.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == set(METRICS)
    for row in METRICS.values():
        assert families[row.name].documentation == row.sentence
        assert families[row.name].type == row.kind
    found = samples(server)
    assert found["voicecore_worker_up",] == 1
    assert found["voicecore_slots",] == 8
    assert found["voicecore_queued_utterances",] == 2
    assert found["voicecore_conditioning_cache_hits_total",] == 6
    assert found["voicecore_vocoded_audio_seconds_total",] == 10.5
    assert found["voicecore_resident_submissions", ("place", "host")] == 2


def test_metrics_show_everything_that_the_device_process_tells():
    told = set(WorkerState.__struct_fields__) - {"device", "dtype", "residents"}
    from server.http.metrics import _worker_values

    class Recorder:
        def __getattribute__(self, name):
            read.add(name)
            return 0

    read: set[str] = set()
    _worker_values(Recorder())
    assert read == told


def test_metrics_without_the_device_process(server):
    server.speech.is_up = False
    found = samples(server)
    assert found["voicecore_worker_up",] == 0
    assert ("voicecore_slots",) not in found


def test_the_documentation_page_knows_the_routes(server):
    """That they are all there, and in the README, is tests/test_documentation.py's."""
    assert server.http.get("/docs").status_code == 200
    paths = server.http.get("/openapi.json").json()["paths"]
    assert {"post"} == set(paths["/v1/audio/speech"])
    assert {"get", "put", "delete"} == set(paths["/v1/submissions/{name}"])
