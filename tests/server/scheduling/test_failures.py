from __future__ import annotations

import pytest

from models_store.errors import NotFound, Problem, SubmissionError
from providers.errors import DeviceOutOfMemory, EngineError, SynthesisError, UnsupportedLanguage
from server.errors import Overloaded, WorkerLost
from server.scheduling.failures import KNOWN, Failure, from_failure, to_failure


@pytest.mark.parametrize(
    "error",
    [
        NotFound("voice", "nobody"),
        SubmissionError([Problem("BadConfig", "config.json", "a", "b", "c")]),
        UnsupportedLanguage("xx", ["en", "de"]),
        DeviceOutOfMemory("full"),
        Overloaded("queue", retry_after_s=7.5),
        WorkerLost("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_the_same_class_with_the_same_message(error):
    arrived = from_failure(to_failure(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert getattr(arrived, "retry_after_s", None) == getattr(error, "retry_after_s", None)


def test_every_error_of_the_trees_is_known():
    assert {"Overloaded", "RequestTimeout", "UnusableVoice", "InUse", "StorageError"} <= set(KNOWN)


def test_what_nobody_raised_on_purpose_is_the_engines_and_keeps_its_words_to_the_log():
    failure = to_failure(KeyError("/secret/path"))
    assert failure.error == "EngineError"
    assert "/secret" not in failure.message
    assert isinstance(from_failure(failure), EngineError)


def test_a_class_of_the_same_name_from_elsewhere_is_not_ours():
    class NotFound(Exception):
        pass

    assert to_failure(NotFound("x")).error == "EngineError"


def test_running_out_of_memory_is_known_without_torch():
    class OutOfMemoryError(RuntimeError):  # what torch.OutOfMemoryError is called
        pass

    for error in (OutOfMemoryError("CUDA out of memory"), MemoryError()):
        assert to_failure(error).error == "DeviceOutOfMemory"


def test_an_unknown_name_is_the_engines():
    assert type(from_failure(Failure("Surprise", "!", None))) is EngineError
    assert not isinstance(from_failure(Failure("Surprise", "!", None)), SynthesisError)
