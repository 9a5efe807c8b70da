from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.interface import AudioChunk, Utterance
from server.scheduling.scheduler import Event, Policy, RequestFailed, Scheduler, UtteranceEnd

STEP_S = 0.01
POLICY = Policy(chunk_tokens=(8, 12, 20, 40, 80), max_decode_steps=8, lead_s=3.0)


@pytest.fixture(scope="session")
def speak(fake_family: ModuleType) -> Callable[..., list[Utterance]]:
    """The utterances of a request, as long as told (in speech tokens)."""

    def make(request_id: str, *lengths: int, text: str = "") -> list[Utterance]:
        return [
            Utterance(
                request_id=request_id,
                index=index,
                submission_id="submission",
                voice_id="voice",
                prompt=replace(fake_family.prompt("x" * length), text=text),
                sampling=replace(fake_family.DEFAULT_SAMPLING, seed=sum(map(ord, request_id))),
            )
            for index, length in enumerate(lengths)
        ]

    return make


class Bench:
    """A scheduler on a fake engine with a clock that is turned by hand."""

    def __init__(self, family: ModuleType, policy: Policy = POLICY, **engine: Any) -> None:
        self.engine = family.FakeEngine(**engine)
        self.engine.load(family.FakeWeights("submission", 1))
        self.conditioning = family.FakeConditioning("submission", 0.5)
        self.scheduler = Scheduler(self.engine, policy)
        self.now = 100.0
        self.events: list[Event] = []

    def submit(self, utterances: Sequence[Utterance]) -> None:
        self.scheduler.submit(utterances, self.conditioning, self.now)

    def step(self, seconds: float = STEP_S, cancelled: str | None = None) -> list[Event]:
        """`cancelled`: a request whose listener goes while the engine decodes."""
        events = self.scheduler.step(self.now)
        self.events += events
        if cancelled is not None:
            self.scheduler.cancel(cancelled)
        self.scheduler.settle()
        self.now += seconds
        return events

    def run(self, most_steps: int = 100_000, seconds: float = STEP_S) -> list[Event]:
        for _ in range(most_steps):
            if not self.scheduler.has_work:
                return self.events
            self.step(seconds)
        raise AssertionError(f"still working after {most_steps} steps")

    def calls(self, name: str) -> list[Any]:
        return [argument for call, argument in self.engine.calls if call == name]


@pytest.fixture(scope="session")
def bench(fake_family: ModuleType) -> Callable[..., Bench]:
    return lambda *args, **engine: Bench(fake_family, *args, **engine)


def audio_by_utterance(events: Sequence[Event]) -> dict[tuple[str, int], list[AudioChunk]]:
    chunks = defaultdict(list)
    for event in events:
        if isinstance(event, AudioChunk):
            chunks[event.request_id, event.utterance_index].append(event)
    return dict(chunks)


def check_complete(family: ModuleType, utterance: Utterance, events: Sequence[Event]) -> None:
    """All of the utterance's audio came once, in order, then its end."""
    mine = [
        event
        for event in events
        if isinstance(event, AudioChunk | UtteranceEnd)
        and (event.request_id, event.utterance_index) == (utterance.request_id, utterance.index)
    ]
    *chunks, end = mine
    assert all(isinstance(chunk, AudioChunk) for chunk in chunks)
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    np.testing.assert_array_equal(
        np.concatenate([chunk.samples for chunk in chunks]), family.expected_samples(utterance)
    )
    assert end == UtteranceEnd(utterance.request_id, utterance.index, len(utterance.prompt.ids), "stop")


def started(engine: Any) -> list[tuple[int, ...]]:
    return [argument for call, argument in engine.calls if call == "prefill"]


def first_sounds(events: Sequence[Event]) -> list[str]:
    """Requests in the order of their first audio."""
    return list(dict.fromkeys(event.request_id for event in events if isinstance(event, AudioChunk)))


def test_an_utterance_is_spoken_whole_in_growing_chunks(bench, speak, fake_family):
    bench = bench()
    (utterance,) = speak("a", 100)
    bench.submit([utterance])
    bench.run()
    check_complete(fake_family, utterance, bench.events)
    (spans,) = [[span for spans in bench.calls("vocode") for span in spans.values()]]
    assert [span.stop - span.start for span in spans][:4] == [8, 12, 20, 40]


def test_no_first_chunk_is_smaller_than_the_family_needs(bench, speak):
    bench = bench(first_chunk_tokens=13)
    bench.submit(speak("a", 100))
    bench.run()
    (spans,) = [[span for spans in bench.calls("vocode") for span in spans.values()]]
    assert [span.stop - span.start for span in spans][:4] == [13, 12, 20, 40]


def test_a_stream_well_ahead_of_its_listener_goes_to_the_largest_chunk(bench, speak):
    bench = bench(replace(POLICY, lead_s=0.1))
    bench.submit(speak("a", 400))
    bench.run(seconds=0)  # an engine much faster than the listener
    sizes = [span.stop - span.start for spans in bench.calls("vocode") for span in spans.values()]
    # 8 tokens are 60 ms of audio (two are held back), then 12 more make it 180 ms: more than the lead.
    assert sizes[:3] == [8, 12, 80]


def test_decode_stops_exactly_at_the_first_chunk(bench, speak):
    bench = bench(replace(POLICY, max_decode_steps=5))
    bench.submit(speak("a", 50))
    for _ in range(3):
        bench.step()
    assert [steps for _, steps in bench.calls("decode")] == [5, 3, 5]
    assert [chunk.request_id for chunk in bench.events if isinstance(chunk, AudioChunk)] == ["a"]


def test_an_utterance_without_a_single_token_ends_with_an_empty_last_chunk(bench, speak, fake_family):
    bench = bench()
    utterances = speak("a", 0, 5)
    bench.submit(utterances)
    bench.run()
    for utterance in utterances:
        check_complete(fake_family, utterance, bench.events)
    assert all(span.stop > 0 for spans in bench.calls("vocode") for span in spans.values())


def test_max_tokens_ends_an_utterance_with_length(bench, speak, fake_family):
    bench = bench()
    (utterance,) = speak("a", 30)
    bench.submit([replace(utterance, sampling=replace(utterance.sampling, max_tokens=10))])
    bench.run()
    assert bench.events[-1] == UtteranceEnd("a", 0, 10, "length")


def test_streams_that_are_due_together_are_vocoded_in_one_call(bench, speak):
    bench = bench()
    for name in "abc":
        bench.submit(speak(name, 30))
    bench.run()
    assert sorted(bench.calls("vocode")[0]) == [0, 1, 2]
    assert bench.calls("prefill") == [(0, 1, 2)]


def test_vocoding_in_one_step_is_bounded_and_the_driest_goes_first(bench, speak):
    bench = bench(replace(POLICY, max_vocoded_tokens=16))
    for name in "abc":
        bench.submit(speak(name, 8))
        bench.now += 0.001
    for heard in ([], ["a", "b"], ["a", "b", "c"]):
        bench.step()
        assert first_sounds(bench.events) == heard


def test_the_first_utterance_sounds_before_the_others_start(bench, speak):
    bench = bench()
    bench.submit(speak("a", 100, 100, 100))
    for heard in ([], ["a"]):
        bench.step()
        assert bench.calls("prefill") == [(0,)]
        assert first_sounds(bench.events) == heard
    bench.step()
    assert bench.calls("prefill") == [(0,), (1, 2)]


def test_a_newcomer_goes_before_the_rest_of_a_long_text(bench, speak):
    bench = bench(num_slots=2)
    bench.submit(speak("long", *[40] * 10))
    for _ in range(4):
        bench.step()
    bench.submit(speak("new", 40))
    bench.run()
    ends = [event for event in bench.events if isinstance(event, UtteranceEnd)]
    assert [end.request_id for end in ends].index("new") <= 2


def test_the_stream_that_runs_dry_soonest_is_admitted_first(bench, speak):
    """Two texts wait with their second utterance; the one whose first was shorter needs it earlier."""
    bench = bench(num_slots=2)
    bench.submit(speak("rich", 300, 10))
    bench.submit(speak("poor", 100, 10))
    while len(bench.engine.slots) == 2 or not bench.events:
        bench.step()
    bench.run()
    second = [
        event.request_id
        for event in bench.events
        if isinstance(event, UtteranceEnd) and event.utterance_index
    ]
    assert second == ["poor", "rich"]


def test_slots_are_kept_free_from_streams_that_are_ahead(bench, speak):
    bench = bench(num_slots=8)
    bench.submit(speak("long", *[500] * 12))
    for _ in range(20):
        bench.step()
    assert len(bench.engine.slots) == 7
    bench.submit(speak("new", 8))
    bench.step()
    assert len(bench.engine.slots) == 8
    bench.step()
    assert "new" in first_sounds(bench.events)


def test_a_stream_that_is_seconds_ahead_yields_and_returns(bench, speak, fake_family):
    bench = bench(num_slots=4)
    (ahead,) = speak("ahead", 900)
    bench.submit([ahead])
    for _ in range(60):
        bench.step()  # 480 tokens are 4.8 s of audio, made in 0.6 s
    late = speak("late", 200)
    bench.submit(late)
    before = len(bench.calls("decode"))
    bench.step()
    assert bench.calls("decode")[before][0] == (1,), "only the newcomer is decoded"
    bench.run()
    for utterance in (ahead, *late):
        check_complete(fake_family, utterance, bench.events)
    last = [event.request_id for event in bench.events if isinstance(event, UtteranceEnd)]
    assert last == ["late", "ahead"]


def test_nobody_yields_while_a_newcomer_needs_a_slot(bench, speak):
    bench = bench(num_slots=2)
    bench.submit(speak("ahead", 900))
    for _ in range(60):
        bench.step()
    bench.submit(speak("due", 300))
    bench.submit(speak("waits", 8))
    bench.step()
    assert bench.calls("decode")[-1][0] == (0, 1)


def test_a_yielding_stream_is_never_starved(bench, speak):
    """Newcomers keep coming for ever; the stream that is ahead still keeps ahead of its listener."""
    bench = bench(num_slots=8)
    bench.submit(speak("long", 1000))
    underrun = []
    played_from: float | None = None
    made_s = 0.0
    for round_ in range(1100):
        if round_ % 4 == 0:
            bench.submit(speak(f"new{round_}", 30))
        for event in bench.step():
            if isinstance(event, AudioChunk) and event.request_id == "long":
                played_from = bench.now if played_from is None else played_from
                made_s += len(event.samples) / event.sample_rate_hz
        if played_from is not None and made_s < 9.9 and bench.now - played_from > made_s:
            underrun.append(bench.now)
    assert made_s == pytest.approx(10.0)
    assert not underrun


def test_after_a_silence_a_stream_is_as_urgent_as_its_listeners_buffer_says(bench, speak):
    """Not for ever behind: who has heard a silence goes on listening from where it ended."""
    bench = bench(num_slots=1)
    bench.submit(speak("text", 20, 10))
    bench.step(seconds=20)  # a chunk, then a long silence
    while not any(isinstance(event, UtteranceEnd) for event in bench.events):
        bench.step()
    bench.submit(speak("new", 10))  # while the text has 100 ms in hand
    bench.run()
    ends = [event.request_id for event in bench.events if isinstance(event, UtteranceEnd)]
    assert ends == ["text", "new", "text"]


def test_what_a_listener_has_in_hand_counts_after_its_utterance_has_ended(bench, speak):
    bench = bench(num_slots=1)
    bench.submit(speak("text", 300, 20, 10))
    while sum(isinstance(event, UtteranceEnd) for event in bench.events) < 2:
        bench.step()  # 3.2 s of audio in 0.4 s
    bench.now += 1
    bench.submit(speak("new", 10))
    bench.run()
    ends = [event.request_id for event in bench.events if isinstance(event, UtteranceEnd)]
    assert ends == ["text", "text", "new", "text"]


def test_a_stream_that_caught_up_after_a_silence_yields_again(bench, speak):
    bench = bench(num_slots=4)
    bench.submit(speak("text", 900))
    bench.step(seconds=20)
    for _ in range(60):
        bench.step()
    bench.submit(speak("new", 100))
    bench.step()
    assert bench.calls("decode")[-1][0] == (1,)


def test_a_later_utterance_is_as_far_ahead_as_those_before_it_make_it(bench, speak):
    """It has made little itself, but seconds of its request's audio come before it."""
    bench = bench(replace(POLICY, max_prefills=1, lead_s=2.0, assumed_utterance_s=0.5), num_slots=4)
    bench.submit(speak("text", 500, 900))
    for _ in range(100):
        bench.step(seconds=0.001)
        if any(isinstance(event, UtteranceEnd) for event in bench.events):
            break
    assert len(bench.engine.slots) == 1
    bench.submit(speak("new", 100))
    bench.step()
    assert [
        bench.engine.slots[slot].admission.utterance.request_id for slot in bench.calls("decode")[-1][0]
    ] == ["new"]


def test_the_stream_that_runs_dry_soonest_is_vocoded_first(bench, speak):
    bench = bench(replace(POLICY, chunk_tokens=(8,), max_vocoded_tokens=8), num_slots=2)
    bench.submit(speak("early", 500))
    for _ in range(5):
        bench.step()
    bench.submit(speak("late", 500))
    bench.step()
    assert bench.calls("decode")[-1] == ((0, 1), 8)
    bench.step()
    assert list(bench.calls("vocode")[-1]) == [1], "both are due, there is room for one"


def test_overdue_streams_go_before_newcomers_so_that_overload_starves_nobody(bench, speak):
    """More requests arrive than can ever be served; a text of several utterances still ends."""
    bench = bench(num_slots=1)
    bench.submit(speak("text", 20, 20, 20))
    for round_ in range(200):
        bench.submit(speak(f"new{round_}", 20))
        bench.step(seconds=0.2)
    assert UtteranceEnd("text", 2, 20, "stop") in bench.events


def test_an_engine_decodes_what_comes_next_while_its_last_tokens_are_vocoded(bench, speak):
    bench = bench(replace(POLICY, chunk_tokens=(8,)))
    bench.submit(speak("a", 20))
    bench.run()
    names = [call for call, _ in bench.engine.calls if call != "load"]
    assert names == [
        *("prefill", "decode", "progress"),
        *("decode", "vocode", "progress"),
        *("decode", "vocode", "progress"),
        *("vocode", "release"),
    ]


def test_a_newcomer_is_decoded_with_the_very_next_step(bench, speak):
    bench = bench()
    bench.submit(speak("old", 100))
    bench.step()
    bench.submit(speak("new", 100))
    bench.step()
    assert bench.calls("decode") == [((0,), 8), ((0, 1), 8)]


@pytest.mark.parametrize("runs_ahead", [True, False])
@pytest.mark.parametrize("steps_before", range(8))
def test_cancel_while_the_engine_decodes(bench, speak, fake_family, steps_before, runs_ahead):
    """The slot is free at once, and what was being decoded in it is nobody's: not the next one's either."""
    bench = bench(num_slots=2, runs_ahead=runs_ahead)
    bench.submit(speak("gone", 30, 10, 25))
    others = [speak("stays", 60)[0], speak("next", 45)[0]]
    for utterance in others:
        bench.submit([utterance])
    for _ in range(steps_before):
        bench.step()
    bench.step(cancelled="gone")
    assert all(slot.admission.utterance.request_id != "gone" for slot in bench.engine.slots.values())
    count = len(bench.events)
    bench.run()
    assert all(event.request_id != "gone" for event in bench.events[count:])
    for utterance in others:
        check_complete(fake_family, utterance, bench.events)
    assert not bench.engine.slots


def test_when_everybody_goes_while_the_engine_decodes_there_is_no_work(bench, speak, fake_family):
    bench = bench()
    bench.submit(speak("gone", 30))
    bench.step(cancelled="gone")
    assert not bench.scheduler.has_work
    (utterance,) = speak("next", 30)
    bench.submit([utterance])
    bench.run()
    check_complete(fake_family, utterance, bench.events)


def test_what_was_vocoded_before_decoding_failed_is_heard(bench, speak, fake_family):
    """The error of a call comes up when it's waited for, after what the step before it had to say."""
    bench = bench(replace(POLICY, chunk_tokens=(3,)))
    bench.submit(speak("a", 20, text=fake_family.Fault.DECODE))
    bench.step()
    events = bench.scheduler.step(bench.now)
    assert first_sounds(events) == ["a"]
    with pytest.raises(RuntimeError, match="broke") as raised:
        bench.scheduler.settle()
    assert [event.request_id for event in bench.scheduler.fail_running(raised.value)] == ["a"]
    assert not bench.scheduler.has_work


@pytest.mark.parametrize("steps_before", range(12))
def test_cancel_frees_the_slots_at_once_in_every_phase(bench, speak, fake_family, steps_before):
    bench = bench(num_slots=2)
    bench.submit(speak("gone", 30, 10, 25))
    other = speak("stays", 60)
    bench.submit(other)
    for _ in range(steps_before):
        bench.step()
    bench.scheduler.cancel("gone")
    assert all(slot.admission.utterance.request_id == "stays" for slot in bench.engine.slots.values())
    count = len(bench.events)
    bench.run()
    assert all(event.request_id == "stays" for event in bench.events[count:])
    check_complete(fake_family, other[0], bench.events)
    assert not bench.engine.slots


def test_cancel_spares_whoever_has_the_slot_of_an_utterance_that_ended_early(bench, speak, fake_family):
    bench = bench(num_slots=2)
    bench.submit(speak("gone", 500, 10))
    while not any(isinstance(event, UtteranceEnd) for event in bench.events):
        bench.step()
    (utterance,) = speak("next", 100)
    bench.submit([utterance])
    bench.step()
    assert len(bench.engine.slots) == 2
    bench.scheduler.cancel("gone")
    assert len(bench.engine.slots) == 1
    bench.run()
    check_complete(fake_family, utterance, bench.events)


def test_cancelling_an_unknown_request_changes_nothing(bench, speak, fake_family):
    bench = bench()
    (utterance,) = speak("a", 20)
    bench.submit([utterance])
    bench.scheduler.cancel("nobody")
    bench.run()
    bench.scheduler.cancel("a")
    check_complete(fake_family, utterance, bench.events)


def test_a_request_is_submitted_once(bench, speak):
    bench = bench()
    bench.submit(speak("a", 20))
    with pytest.raises(ValueError, match="already"):
        bench.submit(speak("a", 20))


def test_a_held_request_finishes_what_runs_and_starts_nothing(bench, speak, fake_family):
    bench = bench(num_slots=2)
    utterances = speak("a", 50, 50, 50)
    bench.submit(utterances)
    bench.step()
    bench.scheduler.hold("a")
    bench.run()
    check_complete(fake_family, utterances[0], bench.events)
    assert bench.scheduler.num_waiting == 2
    bench.scheduler.resume("a")
    bench.run()
    for utterance in utterances:
        check_complete(fake_family, utterance, bench.events)


def test_a_broken_prefill_fails_only_its_request(bench, speak, fake_family):
    bench = bench(num_slots=4)
    good = [speak("a", 20)[0], speak("c", 20)[0]]
    bench.submit([good[0]])
    bench.submit(speak("b", 20, 20, text=fake_family.Fault.PREFILL))
    bench.submit([good[1]])
    bench.run()
    failures = [event for event in bench.events if isinstance(event, RequestFailed)]
    assert [(failure.request_id, str(failure.error)) for failure in failures] == [
        ("b", "the fake prefill broke")
    ]
    for utterance in good:
        check_complete(fake_family, utterance, bench.events)
    assert not bench.engine.slots


@pytest.mark.parametrize("fault", ["DECODE", "VOCODE"])
def test_a_failing_engine_fails_what_runs_and_spares_what_waits(bench, speak, fake_family, fault):
    bench = bench(num_slots=2)
    bench.submit(speak("culprit", 20, 20, text=getattr(fake_family.Fault, fault)))
    bench.submit(speak("neighbour", 20))
    (waits,) = speak("waits", 20)
    bench.submit([waits])
    with pytest.raises(RuntimeError, match="broke") as raised:
        bench.run()
    failed = bench.scheduler.fail_running(raised.value)
    bench.scheduler.settle()
    assert [event.request_id for event in failed] == ["culprit", "neighbour"]
    assert not bench.engine.slots
    bench.run()
    check_complete(fake_family, waits, bench.events)


def test_counters_add_up(bench, speak):
    bench = bench(num_slots=3)
    for name, length in (("a", 20), ("b", 33), ("c", 7), ("d", 100)):
        bench.submit(speak(name, length))
    bench.run()
    assert bench.scheduler.speech_tokens == 160
    assert bench.scheduler.audio_s == pytest.approx(1.6)
    assert bench.scheduler.decode_steps == sum(steps for _, steps in bench.calls("decode"))


policies = st.builds(
    Policy,
    chunk_tokens=st.lists(st.integers(1, 30), min_size=1, max_size=5).map(lambda sizes: tuple(sorted(sizes))),
    max_decode_steps=st.integers(1, 9),
    max_prefills=st.integers(1, 4),
    max_vocoded_tokens=st.integers(1, 200),
    lead_s=st.floats(0.01, 5),
    urgent_s=st.floats(0, 1),
    reserved_slot_share=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    assumed_utterance_s=st.floats(0, 5),
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.lists(st.integers(0, 90), min_size=1, max_size=6)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("cancel while decoding"), st.integers(0, 30)),
        st.tuples(st.just("hold"), st.integers(0, 30)),
        st.tuples(st.just("resume"), st.integers(0, 30)),
        st.tuples(st.just("step"), st.floats(0, 2)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(policy=policies, num_slots=st.integers(1, 6), runs_ahead=st.booleans(), actions=actions)
def test_whatever_happens_every_utterance_is_spoken_once_and_whole(
    bench, speak, fake_family, policy, num_slots, runs_ahead, actions
):
    bench = bench(policy, num_slots=num_slots, runs_ahead=runs_ahead)
    requests: dict[str, list[Utterance]] = {}
    cancelled: dict[str, int] = {}  # request → number of events when it was cancelled
    for action, argument in actions:
        if action == "submit":
            name = f"r{len(requests)}"
            requests[name] = speak(name, *argument)
            bench.submit(requests[name])
        elif action == "step":
            bench.step(argument)
        elif action == "cancel while decoding":
            bench.step(cancelled=f"r{argument}")
            if f"r{argument}" in requests:
                cancelled.setdefault(f"r{argument}", len(bench.events))
        else:
            getattr(bench.scheduler, action)(f"r{argument}")
            if action == "cancel" and f"r{argument}" in requests:
                cancelled.setdefault(f"r{argument}", len(bench.events))
        check_slots(bench)
    for name in requests:
        bench.scheduler.resume(name)
    total = sum(len(utterance.prompt.ids) + 2 for utterances in requests.values() for utterance in utterances)
    bench.run(most_steps=2 * total + 10)
    for name, count in cancelled.items():
        assert all(event.request_id != name for event in bench.events[count:])
    for name, utterances in requests.items():
        for utterance in utterances:
            if name not in cancelled:
                check_complete(fake_family, utterance, bench.events)
    assert not bench.engine.slots
    assert bench.scheduler.num_running == bench.scheduler.num_waiting == 0
    assert not bench.scheduler.has_work


def check_slots(bench: Bench) -> None:
    """The engine and the scheduler agree about who is in a slot, and no slot is lost."""
    assert len(bench.engine.slots) == bench.scheduler.num_running
    assert sorted([*bench.engine.slots, *bench.scheduler._free]) == list(range(bench.engine.num_slots))


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=12), num_slots=st.integers(1, 8))
def test_the_order_of_first_sounds_is_the_order_of_requests(bench, speak, lengths, num_slots):
    bench = bench(num_slots=num_slots)
    for number, length in enumerate(lengths):
        bench.submit(speak(f"r{number:02}", length))
        bench.now += 0.001
    bench.run()
    # Those that share a batch sound together or by length; nobody is overtaken by more than a batch.
    for place, request_id in enumerate(first_sounds(bench.events)):
        assert int(request_id[1:]) - place < num_slots


def test_nobody_starts_without_memory_for_their_tokens(bench, speak, fake_family):
    bench = bench(num_slots=4, room_for=2)
    utterances = [speak(name, 30)[0] for name in "abcd"]
    for utterance in utterances:
        bench.submit([utterance])
    bench.step()
    assert bench.calls("prefill") == [(0, 1)]
    bench.run()
    for utterance in utterances:
        check_complete(fake_family, utterance, bench.events)
