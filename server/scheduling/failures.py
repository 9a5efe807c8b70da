"""Errors on their way between processes: by class name there, as the same class here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from models_store.errors import ModelsStoreError
from providers.errors import DeviceOutOfMemory, EngineError, ProviderError
from server.errors import ServerError


class Failure(NamedTuple):
    error: str  # a class name of an errors.py
    message: str
    retry_after_s: float | None


def _family(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for subclass in root.__subclasses__():
        yield from _family(subclass)


KNOWN = {
    error.__name__: error
    for root in (ModelsStoreError, ProviderError, ServerError)
    for error in _family(root)
}


def to_failure(error: BaseException) -> Failure:
    """An error that nobody raised on purpose is the engine's: we act."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        message = "the device ran out of memory; try again in a moment, or with less at once."
        return Failure(DeviceOutOfMemory.__name__, message, 1.0)
    if KNOWN.get(type(error).__name__) is type(error):
        return Failure(type(error).__name__, str(error), getattr(error, "retry_after_s", None))
    message = f"the engine failed ({type(error).__name__}); the log of the server says more."
    return Failure(EngineError.__name__, message, None)


def from_failure(failure: Failure) -> Exception:
    """The same class with the same message. Attributes other than `retry_after_s` don't travel."""
    kind = KNOWN.get(failure.error, EngineError)
    error = kind.__new__(kind)  # its own __init__ wants the parts that the message was made of
    Exception.__init__(error, failure.message)
    if failure.retry_after_s is not None:
        error.__dict__["retry_after_s"] = failure.retry_after_s
    return error
