"""The library: recordings as they came, declared, withdrawn, verified."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models_store.errors import NotFound, Undeclared
from models_store.voice_data.declaration import STATEMENTS, VERSION, Declaration, declare, text_digest
from models_store.voice_data.library import Accepted, Contribution, Recording, VoiceData

WHOLE = {"licence": "CC-BY-4.0", "source": "read at home", **dict.fromkeys(STATEMENTS, True)}


@pytest.fixture
def library(tmp_path: Path) -> VoiceData:
    return VoiceData(tmp_path / "voice_data")


def contribute(library: VoiceData, *contents: bytes, declaration: Declaration | None = None) -> Contribution:
    with library.scratch() as scratch:
        accepted = []
        for place, content in enumerate(contents):
            path, fingerprint = scratch / f"{place}.wav", scratch / f"{place}.npy"
            path.write_bytes(content)
            fingerprint.write_bytes(b"print")
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            recording = Recording(f"{place}.wav", digest, len(content), 1.5, "accepted")
            accepted.append(Accepted(recording, path, {"verdict": "accepted"}, fingerprint))
        return library.contribute(accepted, declaration or declare(**WHOLE), "ko", scratch)


def test_recordings_are_kept_as_they_came(library: VoiceData) -> None:
    given = contribute(library, b"one", b"two")
    (found,) = library.contributions()
    assert found == given
    assert [library.path(each).read_bytes() for each in found.recordings] == [b"one", b"two"]
    assert library.report(found.recordings[0]) == {"verdict": "accepted"}
    assert found.declaration.source == "read at home"
    record = library.ledger.records()[0]
    assert record.digest == given.receipt
    assert record.content["declaration"]["version"] == VERSION
    assert record.content["declaration"]["text_digest"] == text_digest()
    assert {each["digest"] for each in record.content["recordings"]} == {
        each.digest for each in given.recordings
    }
    assert library.verify(given.receipt).problems == ()
    assert not [*(library.root / "scratch").iterdir()]


def test_withdrawal_deletes_audio_and_keeps_the_record(library: VoiceData) -> None:
    kept, gone = contribute(library, b"one"), contribute(library, b"two")
    withdrawn = library.withdraw(gone.id, "changed my mind")
    assert withdrawn.withdrawn_at is not None
    assert [each.id for each in library.contributions()] == [kept.id, gone.id]
    with pytest.raises(NotFound, match="withdrawn"):
        library.path(gone.recordings[0])
    with pytest.raises(NotFound):
        library.report(gone.recordings[0])
    assert library.path(kept.recordings[0]).read_bytes() == b"one"
    assert [record.kind for record in library.ledger.records()] == ["contributed", "contributed", "withdrawn"]
    assert library.ledger.records()[-1].content == {"reason": "changed my mind"}
    assert library.verify(kept.receipt, gone.receipt).problems == ()
    library.withdraw(gone.id)  # again: nothing more is written
    assert len(library.ledger.records()) == 3


def test_audio_that_two_contributed_stays_until_both_withdraw(library: VoiceData) -> None:
    first, second = contribute(library, b"same"), contribute(library, b"same")
    library.withdraw(first.id)
    assert library.path(second.recordings[0]).read_bytes() == b"same"
    library.withdraw(second.id)
    with pytest.raises(NotFound):
        library.path(second.recordings[0])


def test_a_record_whose_audio_is_gone_or_that_is_gone_itself_shows(library: VoiceData) -> None:
    given, other = contribute(library, b"one"), contribute(library, b"two")
    library.path(given.recordings[0]).unlink()
    (problem,) = library.verify().problems
    assert "0.wav: found no audio" in problem
    ledger = library.root / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().split(b"\n")[0] + b"\n")  # the last record cut off
    assert any("no record names" in problem for problem in library.verify().problems)
    assert any(other.receipt in problem for problem in library.verify(other.receipt).problems)


def test_a_withdrawal_that_was_killed_is_finished_by_the_next(library: VoiceData) -> None:
    killed, other = contribute(library, b"one"), contribute(library, b"two")
    library.ledger.append("withdrawn", killed.id, {"reason": ""})  # and no further
    library.withdraw(other.id)
    assert not [*(library.root / "recordings").iterdir()]


@pytest.mark.parametrize("missing", [*STATEMENTS, "licence", "source"])
def test_nothing_is_taken_without_the_whole_declaration(missing: str) -> None:
    with pytest.raises(Undeclared) as refused:
        declare(**{name: value for name, value in WHOLE.items() if name != missing})
    assert [problem.file for problem in refused.value.problems] == [missing]


def test_an_older_text_is_to_be_read_again() -> None:
    with pytest.raises(Undeclared, match="version"):
        declare(**WHOLE, version="0")


def test_a_statement_must_be_true_and_not_only_there() -> None:
    with pytest.raises(Undeclared):
        declare(**WHOLE | {"speaker_consent": "no"})
    with pytest.raises(Undeclared, match="CC-BY-SA"):
        declare(**WHOLE | {"licence": "mine"})
    with pytest.raises(Undeclared, match="at most"):
        declare(**WHOLE | {"source": "a" * 3_000})


def test_an_unknown_id_is_not_found(library: VoiceData) -> None:
    contribute(library, b"one")
    for unknown in ("", "zz"):
        with pytest.raises(NotFound, match="voice-data list"):
            library.get(unknown)


def test_what_a_killed_process_left_is_swept_up_and_what_is_in_use_is_not(library: VoiceData) -> None:
    left = library.root / "scratch" / "left"
    left.mkdir(parents=True)
    with library.scratch() as used, library.scratch() as another:
        assert used.is_dir()
        assert another.is_dir()
        assert not left.exists()
    assert not [*(library.root / "scratch").iterdir()]
