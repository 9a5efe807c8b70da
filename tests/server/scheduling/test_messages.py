from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.scheduling import messages
from server.scheduling.messages import MAX_FRAME_BYTES, FrameReader, frame


@given(
    bodies=st.lists(st.binary(max_size=200), max_size=10), cuts=st.lists(st.integers(0, 2000), max_size=20)
)
def test_frames_come_whole_however_the_stream_is_cut(bodies, cuts):
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    reader = FrameReader()
    found = [body for start, stop in pairwise(edges) for body in reader.feed(stream[start:stop])]
    assert found == bodies


def test_a_frame_longer_than_any_message_is_refused_before_it_is_buffered():
    with pytest.raises(ValueError, match="expected at most"):
        list(FrameReader().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big")))


def test_every_message_survives_the_way(fake_family: ModuleType):
    prompt = fake_family.prompt("Straße")
    sampling = fake_family.DEFAULT_SAMPLING
    resident = messages.Resident("s", 1, "device", 2)
    state = messages.WorkerState("cpu", "float32", 8, 1, 2, (resident,), 3, 4, 5, 6, 7, 8, 9, 10.5, 11, 12)
    to_worker = [
        messages.Speak("r", "s", "v", (prompt, prompt), sampling, 1.2),
        messages.Cancel("r"),
        messages.Pause("r"),
        messages.Resume("r"),
        messages.Load("c", "s"),
        messages.Evict("c", "s"),
        messages.GetState("c"),
    ]
    to_server = [
        messages.Audio("r", 0, b"\x00\x01", 24_000, True),
        messages.UtteranceDone("r", 0, 17, "stop"),
        messages.Failed("r", "Overloaded", "full", 1.0),
        messages.Answer("c", state=state),
    ]
    for decoder, sent in ((messages.to_worker, to_worker), (messages.to_server, to_server)):
        bodies = FrameReader().feed(b"".join(map(frame, sent)))
        assert [decoder.decode(body) for body in bodies] == sent


def test_a_message_with_values_out_of_range_is_refused(fake_family: ModuleType):
    speak = messages.Speak("r", "s", "v", (fake_family.prompt("x"),), fake_family.DEFAULT_SAMPLING)
    raw = msgspec.to_builtins(speak)
    raw["sampling"]["top_p"] = 7.0
    with pytest.raises(msgspec.ValidationError, match="top_p"):
        messages.to_worker.decode(msgspec.msgpack.encode(raw))
