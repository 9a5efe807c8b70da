"""The worker over a real Unix socket, on the fake family."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models_store.errors import InUse, NotFound
from providers.errors import DeviceOutOfMemory, EngineError, UnusableVoice
from providers.interface import Utterance
from server.errors import Overloaded, WorkerLost
from server.scheduling import worker as worker_module
from server.scheduling.client import SpeechClient
from server.scheduling.messages import Audio, Speak, UtteranceDone, frame
from server.scheduling.residency import Budgets

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def connected(worker: Any) -> AsyncIterator[SpeechClient]:
    client = SpeechClient(worker.socket_path)
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
def ask(fake_family: ModuleType) -> Callable[..., Speak]:
    """A request to a submission for these texts."""

    def make(submission: Any, *texts: str, seed: int = 0, voice_id: str | None = None) -> Speak:
        return Speak(
            request_id="request",
            submission_id=submission.id,
            voice_id=voice_id or submission.voice.id,
            prompts=tuple(map(fake_family.prompt, texts)),
            sampling=replace(fake_family.DEFAULT_SAMPLING, seed=seed),
        )

    return make


@pytest.fixture
def check_speech(fake_family: ModuleType) -> Callable[..., None]:
    """What came is exactly what was asked for."""

    def check(speak: Speak, messages: Sequence[Audio | UtteranceDone]) -> None:
        samples = defaultdict(list)
        for message in messages:
            if isinstance(message, Audio):
                samples[message.utterance_index].append(np.frombuffer(message.samples, np.float32))
        for index, prompt in enumerate(speak.prompts):
            utterance = Utterance(
                "", index, speak.submission_id, speak.voice_id, prompt, speak.sampling, speak.speed
            )
            found = np.concatenate(samples[index])
            np.testing.assert_array_equal(found, fake_family.expected_samples(utterance))
        assert sum(isinstance(message, UtteranceDone) for message in messages) == len(speak.prompts)

    return check


async def hear(client: SpeechClient, speak: Speak) -> list[Audio | UtteranceDone]:
    return [message async for message in client.speak(speak)]


async def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def until_answered(client: SpeechClient, wanted: bool, timeout_s: float = 5.0) -> None:
    """Until the worker at the other end answers, or is found to be gone."""
    answered = not wanted
    async with asyncio.timeout(timeout_s):
        while answered is not wanted:
            await asyncio.sleep(0.005)
            try:
                await client.state()
            except WorkerLost:
                answered = False
            else:
                answered = True


async def test_requests_of_several_submissions_at_once_get_each_their_own(start_worker, ask, check_speech):
    worker = start_worker()
    submissions = [worker.publish(f"s{i}", variant=f"v{i % 2}", voice_level=i / 10) for i in range(4)]
    worker.start()
    asked = [ask(submissions[i % 4], "x" * (i + 1), "some more " * (i % 3 + 1), seed=i) for i in range(24)]
    worker.worker.desk._max_queued_utterances = 100
    async with connected(worker) as one, connected(worker) as other:
        heard = await asyncio.gather(*(hear((one, other)[i % 2], speak) for i, speak in enumerate(asked)))
        state = await one.state()
    for speak, messages in zip(asked, heard, strict=True):
        check_speech(speak, messages)
    assert len(worker.provider.engines) == 2, "an engine per architecture"
    assert state.slots_in_use == state.queued_utterances == 0
    assert state.slots == 8
    assert {resident.submission_id for resident in state.residents} == {s.id for s in submissions}
    assert all(resident.in_use == 0 for resident in state.residents)
    assert state.speech_tokens == sum(len(prompt.ids) for speak in asked for prompt in speak.prompts)
    assert state.audio_seconds == pytest.approx(state.speech_tokens / 100)


async def test_a_conditioning_is_derived_once_and_survives_a_restart(start_worker, ask, check_speech):
    first = start_worker(seconds_per_conditioning=0.05)
    submission = first.publish("s")
    first.start()
    async with connected(first) as client:
        await asyncio.gather(*(hear(client, ask(submission, "hello", seed=i)) for i in range(5)))
        await hear(client, ask(submission, "again"))
        state = await client.state()
    assert first.provider.engines[0].conditioned == [submission.id]
    assert (state.conditioning_cache_hits, state.conditioning_cache_misses) == (1, 5)
    first.stop()

    second = start_worker()
    second.start()
    async with connected(second) as client:
        check_speech(ask(submission, "hello"), await hear(client, ask(submission, "hello")))
    assert second.provider.engines[0].conditioned == []


@pytest.mark.parametrize("fault", ["PREFILL", "DECODE", "VOCODE"])
async def test_a_fault_in_the_engine_ends_requests_but_not_the_worker(
    start_worker, ask, check_speech, fake_family, fault
):
    worker = start_worker()
    submission = worker.publish("s")
    worker.start()
    text = getattr(fake_family.Fault, fault) + " and more text"
    async with connected(worker) as client:
        with pytest.raises(EngineError, match="RuntimeError"):
            await hear(client, ask(submission, text))
        check_speech(ask(submission, "fine"), await hear(client, ask(submission, "fine")))
        state = await client.state()
        assert state.slots_in_use == 0
        assert [resident.in_use for resident in state.residents] == [0]
        assert (await client.evict(submission.id)).residents == ()


async def test_a_broken_request_fails_alone(start_worker, ask, check_speech, fake_family):
    worker = start_worker(seconds_per_step=0.001)
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        good = [ask(submission, "x" * 50, seed=i) for i in range(6)]
        broken = ask(submission, "ok", fake_family.Fault.PREFILL)
        hearing = [asyncio.create_task(hear(client, speak)) for speak in good]
        with pytest.raises(EngineError):
            await hear(client, broken)
        for speak, messages in zip(good, await asyncio.gather(*hearing), strict=True):
            check_speech(speak, messages)


async def test_an_unusable_voice_is_the_callers_problem(start_worker, ask, fake_family, check_speech):
    worker = start_worker()
    submission = worker.publish("s", transcript=fake_family.Fault.UNUSABLE_VOICE)
    fine = worker.publish("t")
    worker.start()
    async with connected(worker) as client:
        with pytest.raises(UnusableVoice, match="expected another one"):
            await hear(client, ask(submission, "hello"))
        check_speech(ask(fine, "hello"), await hear(client, ask(fine, "hello")))


async def test_unknown_submissions_and_voices_are_not_found(start_worker, ask):
    worker = start_worker()
    submission = worker.publish("s")
    worker.start()
    nothing = "sha256:" + "0" * 64
    async with connected(worker) as client:
        with pytest.raises(NotFound):
            await hear(client, ask(submission, "hello", voice_id=nothing))
        with pytest.raises(NotFound):
            await client.load(nothing)


async def test_the_queue_takes_all_of_a_request_or_none(start_worker, ask, check_speech):
    worker = start_worker(seconds_per_step=0.004)
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        long = ask(submission, *["x" * 40] * 20)
        hearing = asyncio.create_task(hear(client, long))
        await until(lambda: worker.worker.desk._requests)
        with pytest.raises(Overloaded, match=r"at most 20 in all"):
            await hear(client, ask(submission, *["y" * 5] * 8))
        assert (await client.state()).queued_utterances <= 20
        check_speech(long, await hearing)


async def test_a_request_longer_than_the_queue_is_taken_when_nobody_waits(start_worker, ask, check_speech):
    worker = start_worker()
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        speak = ask(submission, *["x" * 10] * 30)
        check_speech(speak, await hear(client, speak))


async def test_closing_the_iterator_frees_the_slot(start_worker, ask):
    worker = start_worker(seconds_per_step=0.005)
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        async with aclosing(client.speak(ask(submission, "x" * 900, "y" * 900))) as messages:
            await anext(messages)
            assert worker.provider.engines[0].slots
        await until(lambda: not worker.provider.engines[0].slots)
        state = await client.state()
        assert [resident.in_use for resident in state.residents] == [0]
        assert state.queued_utterances == 0


async def test_cancelling_while_the_submission_is_being_read_leaves_nothing(start_worker, ask):
    worker = start_worker(seconds_per_read=0.2)
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(hear(client, ask(submission, "hello")), 0.05)
        await until(lambda: not worker.worker.desk._requests)
        await until(lambda: worker.provider.reads)
        await client.load(submission.id)
        assert worker.provider.engines[0].calls == [("load", submission.id)]


async def test_a_submission_stays_while_something_is_derived_from_it(start_worker, ask, check_speech):
    """Also for a request that was cancelled meanwhile, because others may wait for the same conditioning."""
    worker = start_worker(budgets=Budgets(1500, 10**9), seconds_per_conditioning=0.2)
    a, b = (worker.publish(name, num_bytes=1000) for name in "ab")
    worker.start()
    async with connected(worker) as client:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(hear(client, ask(a, "hello")), 0.1)
        assert worker.provider.engines[0].conditioned == [a.id]
        with pytest.raises(InUse):
            await client.evict(a.id)
        heard = await hear(client, ask(b, "hello"))  # has to wait until "a" may go
        check_speech(ask(b, "hello"), heard)
        assert (await client.state()).device_weight_bytes == 1000


async def test_a_lost_connection_cancels_its_requests_and_no_others(start_worker, ask, check_speech):
    worker = start_worker(seconds_per_step=0.005)
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as stays, connected(worker) as goes:
        speak = ask(submission, "x" * 200)
        staying = asyncio.create_task(hear(stays, speak))
        going = [asyncio.create_task(hear(goes, ask(submission, "y" * 900, seed=i))) for i in range(3)]
        await until(lambda: worker.provider.engines and len(worker.provider.engines[0].slots) == 4)
        await goes.close()
        for task in going:
            with pytest.raises(WorkerLost):
                await task
        await until(lambda: len(worker.provider.engines[0].slots) <= 1)
        check_speech(speak, await staying)


async def test_a_fatal_device_error_ends_the_worker(start_worker, ask, fake_family):
    worker = start_worker()
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        with pytest.raises(WorkerLost):
            await hear(client, ask(submission, fake_family.Fault.FATAL))
        await asyncio.to_thread(worker.join)
        assert type(worker.error).__name__ == "DeviceLost"


async def test_a_slow_listener_pauses_the_request_and_gets_everything_later(
    start_worker, ask, check_speech, monkeypatch
):
    monkeypatch.setattr("server.scheduling.client.PAUSE_ABOVE_BYTES", 20_000)
    monkeypatch.setattr("server.scheduling.client.RESUME_BELOW_BYTES", 5_000)
    worker = start_worker(num_slots=1, seconds_per_step=0.0005)
    submission = worker.publish("s")
    worker.start()
    speak = ask(submission, *["x" * 30] * 15)
    async with connected(worker) as client:
        async with aclosing(client.speak(speak)) as messages:
            heard = [await anext(messages)]
            desk = worker.worker.desk
            await until(lambda: any(request.paused for request in desk._requests.values()))
            await until(lambda: not worker.provider.engines[0].slots)
            assert desk._lanes.num_waiting > 0, "the rest waits until it is read"
            heard += [message async for message in messages]
    check_speech(speak, heard)


async def test_a_stalled_process_is_sent_no_more_than_what_runs_and_then_dropped(
    start_worker, ask, check_speech, monkeypatch
):
    monkeypatch.setattr(worker_module, "STALLED_ABOVE_BYTES", 50_000)
    monkeypatch.setattr(worker_module, "READING_BELOW_BYTES", 10_000)
    monkeypatch.setattr(worker_module, "STALL_LIMIT_S", 2.0)
    worker = start_worker(seconds_per_step=0.001)  # no faster than the event loop, however busy the machine
    worker.worker.desk._max_queued_utterances = 1000
    submission = worker.publish("s")
    worker.start()
    with socket.socket(socket.AF_UNIX) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(str(worker.socket_path))
        stalled.sendall(frame(ask(submission, *["x" * 100] * 300)))
        desk = worker.worker.desk
        await until(lambda: desk._stalled)
        await until(lambda: not worker.provider.engines[0].slots, timeout_s=1.8)
        async with connected(worker) as client:  # others don't notice
            check_speech(ask(submission, "hi"), await hear(client, ask(submission, "hi")))
            state = await client.state()
            # 50 kB and the socket's own buffer, then an utterance of 96 kB in each of the 4 slots.
            assert state.audio_seconds * 24_000 * 4 < 2_000_000
            assert state.queued_utterances > 200
            await until(lambda: not desk._requests)
            assert not desk._stalled


async def test_nonsense_closes_the_connection_and_only_that(start_worker, ask, check_speech):
    worker = start_worker()
    submission = worker.publish("s")
    worker.start()
    async with connected(worker) as client:
        for nonsense in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x03abc"):
            reader, writer = await asyncio.open_unix_connection(worker.socket_path)
            writer.write(nonsense)
            assert await reader.read() == b""
            writer.close()
        check_speech(ask(submission, "hi"), await hear(client, ask(submission, "hi")))


async def test_submissions_are_loaded_and_evicted_on_demand(start_worker, ask):
    worker = start_worker(budgets=Budgets(2500, 10**9), seconds_per_step=0.005)
    a, b, c = (worker.publish(name, num_bytes=1000) for name in "abc")
    big = worker.publish("big", num_bytes=3000)
    worker.start()
    async with connected(worker) as client:
        assert (await client.load(a.id)).device_weight_bytes == 1000
        await client.load(b.id)
        state = await client.load(c.id)
        places = {resident.submission_id: resident.place for resident in state.residents}
        assert places == {a.id: "host", b.id: "device", c.id: "device"}
        with pytest.raises(DeviceOutOfMemory, match="VOICECORE_DEVICE_BUDGET_GIB"):
            await client.load(big.id)
        async with aclosing(client.speak(ask(b, "x" * 500))) as messages:
            await anext(messages)
            with pytest.raises(InUse):
                await client.evict(b.id)
            assert worker.store.is_resident(b.id)
        await client.evict(b.id)
        assert not worker.store.is_resident(b.id)
        with pytest.raises(InUse):
            worker.store.delete("c")


async def test_an_engine_whose_submissions_have_gone_makes_room_for_the_next(start_worker, ask):
    worker = start_worker(budgets=Budgets(1500, 10**9))
    submissions = [worker.publish(name, variant=name, num_bytes=1000) for name in "abab"]
    worker.start()
    async with connected(worker) as client:
        for submission in submissions:
            await hear(client, ask(submission, "some text"))
        state = await client.state()
    assert len(worker.provider.engines) == 4
    assert state.slots == 4, "one engine is left"
    assert state.speech_tokens == 4 * len("some text"), "what the others did still counts"


async def test_preloaded_submissions_are_resident_before_the_first_connection(start_worker):
    worker = start_worker(seconds_per_read=0.05)
    submission = worker.publish("s")
    worker.start(preload=["s", "missing"])
    async with connected(worker) as client:
        state = await client.state()
    assert [resident.submission_id for resident in state.residents] == [submission.id]


async def test_the_client_comes_back_by_itself(start_worker, ask, check_speech):
    first = start_worker()
    submission = first.publish("s")
    client = SpeechClient(first.socket_path)
    await client.connect()  # nobody is there yet
    with pytest.raises(WorkerLost, match="not up"):
        await hear(client, ask(submission, "hi"))
    for worker in (first, start_worker()):
        worker.start()
        await until_answered(client, True)
        check_speech(ask(submission, "hi"), await hear(client, ask(submission, "hi")))
        worker.stop()
        await until_answered(client, False)
    await client.close()
