"""POST /v1/audio/prompts: what is read of a text is what would be spoken."""

from __future__ import annotations

from typing import Any


def read(server: Any, **fields: Any) -> Any:
    return server.http.post("/v1/audio/prompts", json={"model": "anna", "input": "One. Two, three."} | fields)


def test_what_is_read_is_what_is_spoken(server: Any) -> None:
    answer = read(server, language="de").json()
    server.speak("One. Two, three.", language="de").raise_for_status()
    (speak,) = server.speech.spoken
    assert [utterance["text"] for utterance in answer["utterances"]] == [p.text for p in speak.prompts]
    assert [utterance["tokens"] for utterance in answer["utterances"]] == [len(p.ids) for p in speak.prompts]
    assert answer["languages"] == ["de"]
    defaults = {name: getattr(speak.sampling, name) for name in answer["sampling"]}
    assert answer["sampling"] == defaults


def test_it_says_how_much_room_is_left(serve: Any) -> None:
    server = serve(max_input_chars=20)
    answer = read(server).json()
    assert (answer["characters"], answer["max_characters"]) == (16, 20)


def test_what_could_not_be_spoken_is_refused_as_speech_is(serve: Any) -> None:
    server = serve(max_input_chars=20)
    for fields in (
        {"input": "x" * 21},
        {"input": " "},
        {"language": "ko"},
        {"model": "nobody"},
        {"input": "..."},
    ):
        refused = read(server, **fields)
        spoken = server.http.post("/v1/audio/speech", json={"model": "anna", "input": "One."} | fields)
        assert refused.status_code == spoken.status_code >= 400
        assert refused.json() == spoken.json()
