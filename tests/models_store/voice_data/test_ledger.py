"""The ledger: whoever edits, removes, adds or moves a record shows; a killed writer doesn't."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from models_store.voice_data.ledger import GENESIS, Ledger, digest_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    ledger = Ledger(path)
    for number in range(4):
        ledger.append("contributed", f"c{number}", {"licence": "CC-BY-4.0", "who": "안나"})
    return ledger


def edited(path: Path, edit) -> tuple[str, ...]:
    """What `verify` says after an edit of the list of lines."""
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in edit(lines)))
    return Ledger(path).verify().problems


def test_records_come_back_as_written(ledger: Ledger) -> None:
    records = ledger.records()
    assert [record.sequence for record in records] == [1, 2, 3, 4]
    assert records[0].previous == GENESIS
    assert [record.previous for record in records[1:]] == [record.digest for record in records[:-1]]
    verified = ledger.verify(records[1].digest)
    assert (verified.num_records, verified.head, verified.problems) == (4, records[-1].digest, ())


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_edited_record_is_detected(ledger: Ledger, path: Path, number: int) -> None:
    def edit(lines: list[str]) -> list[str]:
        lines[number - 1] = lines[number - 1].replace("CC-BY-4.0", "CC0-1.0")
        return lines

    (problem,) = edited(path, edit)
    assert problem.startswith(f"record {number}: ")


def test_an_edited_record_with_a_new_digest_is_detected_by_the_next(ledger: Ledger, path: Path) -> None:
    def edit(lines: list[str]) -> list[str]:
        fields = json.loads(lines[1]) | {"content": {"licence": "CC0-1.0"}}
        del fields["digest"]
        lines[1] = json.dumps(fields | {"digest": digest_of(fields)})
        return lines

    (problem,) = edited(path, edit)
    assert problem.startswith("record 3: found another record before it")


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: [lines[0], lines[2], lines[1], lines[3]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        lambda lines: [*lines[:2], "not JSON", *lines[2:]],
        lambda lines: [*lines[:2], "[]", *lines[2:]],
        lambda lines: lines[1:],
    ],
    ids=["removed", "swapped", "repeated", "garbled", "no record", "beginning removed"],
)
def test_a_changed_list_is_detected(ledger: Ledger, path: Path, edit) -> None:
    assert edited(path, edit)


def test_a_removed_end_is_detected_by_its_receipt(ledger: Ledger, path: Path) -> None:
    receipt = ledger.records()[-1].digest
    assert edited(path, lambda lines: lines[:-1]) == ()  # the chain alone can't tell
    (problem,) = Ledger(path).verify(receipt).problems
    assert receipt in problem


def test_what_a_killed_writer_left_gives_way(ledger: Ledger, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"2026-01-01","content":{"never":"finis')
    assert len(Ledger(path).records()) == 4
    Ledger(path).append("withdrawn", "c1", {})
    assert path.read_bytes().startswith(whole)
    assert Ledger(path).verify().problems == ()
    assert [record.kind for record in Ledger(path).records()][-1] == "withdrawn"


def _append(path: Path, process: int) -> None:
    for number in range(10):
        Ledger(path).append("contributed", f"{process}-{number}", {})


def test_processes_append_one_after_the_other(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(path, process)) for process in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    verified = Ledger(path).verify()
    assert (verified.num_records, verified.problems) == (30, ())
