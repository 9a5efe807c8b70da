"""Requests leave when they are due, whatever the server does, and are measured from then on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.load.arrivals import Load
from benchmarks.load.statistics import Objective, Window, summarise


def test_latency_counts_from_the_schedule_through_a_stall(simulate, simulated_server):
    """A client that waits for answers before it asks again would see one slow request, not five seconds of
    them: coordinated omission."""
    server = simulated_server(first_s=0.05, every_s=0.01, stalls=(10.0, 15.0))
    records = simulate(server, Load("constant", 20.0), 30.0)
    assert len(records) == 600
    for record in records:
        due = record.scheduled_s + 0.05
        expected = 15.0 - record.scheduled_s if 10.0 <= due < 15.0 else 0.05
        assert record.ttfa_s == pytest.approx(expected, abs=1e-6)
    stalled = [record for record in records if record.ttfa_s > 0.1]
    assert len(stalled) == pytest.approx(5.0 * 20, abs=3)
    summary = summarise(records, Window(0, 30), Objective())
    assert summary.ttfa_s.p95 == pytest.approx(5.0 * (1 - 0.05 * 30 / 5), abs=0.1)


def test_a_closed_loop_sees_the_same_stall_once_per_client(simulate, simulated_server):
    server = simulated_server(first_s=0.05, every_s=0.01, stalls=(10.0, 15.0))
    records = simulate(server, Load("closed", 3), 30.0)
    assert sum(record.ttfa_s > 1 for record in records) <= 3


def test_an_open_loop_asks_on_time_however_many_are_unanswered(simulate, simulated_server):
    server = simulated_server(at_once=1, num_chunks=100)
    records = simulate(server, Load("constant", 10.0), 20.0)
    assert [at_s for at_s, _ in server.asked] == pytest.approx([0.05 + 0.1 * n for n in range(200)])
    assert all(record.lag_s == pytest.approx(0, abs=1e-9) for record in records)
    assert summarise(records, Window(0, 20), Objective()).most_in_flight > 190


def test_a_client_that_is_late_says_so_and_its_run_does_not_count(simulate, simulated_server):
    # A request is due every 10 ms, and sending one takes 12.
    records = simulate(simulated_server(blocks_client_s=0.012), Load("constant", 100.0), 1.0)
    assert max(record.lag_s for record in records) > 0.1
    summary = summarise(records, Window(0, 1), Objective())
    assert not summary.is_valid
    assert not summary.meets_objective
    # What it measured counts from the schedule all the same.
    assert all(record.ttfa_s > record.lag_s + 0.012 + 0.05 - 1e-6 for record in records)


def test_closed_clients_ask_again_once_they_are_answered(simulate, simulated_server):
    server = simulated_server()
    records = simulate(server, Load("closed", 4), 30.0)
    assert server.most_at_once == 4
    assert len({record.index for record in records}) == len(records)
    took = 0.05 + 9 * 0.1
    assert len(records) == 4 * -(-30 // took)


def test_listeners_hear_one_text_after_another_at_their_own_pace(simulate, simulated_server):
    """Two seconds of audio that a server could have sent in one are read within two, and heard in two."""
    server = simulated_server(every_s=0.01)
    records = simulate(server, Load("listeners", 5), 60.0)
    by_listener = {member: [r for r in records if r.index % 5 == member] for member in range(5)}
    for heard in by_listener.values():
        for before, after in pairwise(heard):
            assert after.scheduled_s - before.scheduled_s == pytest.approx(0.05 + 2.0, abs=1e-6)
        for record in heard:
            assert record.finished_s - record.arrivals[0][0] == pytest.approx(2.0 - 0.5, abs=0.21)
            assert not record.gaps_s()
    starts = sorted(heard[0].scheduled_s for heard in by_listener.values())
    assert starts[-1] - starts[0] > 1  # they don't all begin at once


def test_a_paced_reader_still_hears_the_servers_underruns(simulate, simulated_server):
    records = simulate(simulated_server(every_s=0.3), Load("listeners", 2), 30.0)
    for record in records:
        assert record.gaps_s() == pytest.approx([0.1] * 9, abs=1e-6)


@pytest.mark.parametrize("kind", ["poisson", "closed", "listeners"])
def test_processes_share_a_load_without_gap_or_overlap(simulate, simulated_server, kind: str):
    load = Load(kind, 6)
    server = simulated_server()
    alone = simulate(server, load, 20.0)
    shared = [
        record for part in range(4) for record in simulate(simulated_server(), load, 20.0, part=part, of=4)
    ]
    times = [(record.index, record.text, record.scheduled_s) for record in alone]
    assert sorted((record.index, record.text, record.scheduled_s) for record in shared) == sorted(times)


def test_what_takes_too_long_has_failed(simulate, simulated_server):
    records = simulate(simulated_server(every_s=1.0), Load("constant", 1.0), 5.0, timeout_s=3.0)
    for record in records:
        assert record.error == "no end after 3 s"
        assert record.finished_s - record.sent_s == pytest.approx(3.0)
        assert record.audio_s == pytest.approx(0.6)  # what it had said until then


def test_a_refusal_is_told_in_the_servers_words(simulate, simulated_server):
    records = simulate(simulated_server(refuses_every=2), Load("constant", 1.0), 4.0)
    assert [record.status for record in records] == [200, 429, 200, 429]
    assert records[1].error == "status 429: busy"


def test_silence_without_end_is_no_audio(simulate, simulated_server):
    records = simulate(simulated_server(num_chunks=0), Load("constant", 1.0), 2.0)
    assert {record.error for record in records} == {"found no audio; expected some"}
