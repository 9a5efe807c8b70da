"""The server's own errors, and the one table that maps every error to HTTP.

ServerError
├── Overloaded        the caller, later      429 + Retry-After
├── RequestTimeout    the caller, later      504
└── WorkerLost        we act                 503 + Retry-After: the device process died or is starting
"""

from __future__ import annotations

from models_store.errors import (
    BadName,
    BadUpload,
    HubError,
    InUse,
    MissingBaseModels,
    NotFound,
    StorageError,
    SubmissionError,
    UploadConflict,
    UploadTooLarge,
)
from providers.errors import DeviceOutOfMemory, EngineError, SynthesisError
from server.evaluation.errors import BadEvaluation, EvaluationFailed, EvaluationUnavailable, GateRefused
from server.listening.errors import BadTest, BadVote, DatabaseUnavailable, TestNotOpen, VoteConflict
from server.voice_data.errors import InspectionFailed


class ServerError(Exception):
    """Base of everything this package raises on purpose."""


class Overloaded(ServerError):
    """The queue is full."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestTimeout(ServerError):
    """The request took longer than the configured limit."""


class WorkerLost(ServerError):
    """The device process died while it had this request, or is not up yet."""

    retry_after_s = 2.0


# Most specific class first.
STATUS: dict[type[Exception], int] = {
    UploadTooLarge: 413,
    SubmissionError: 422,
    NotFound: 404,
    InUse: 409,
    BadName: 422,
    BadUpload: 422,
    UploadConflict: 409,
    MissingBaseModels: 503,
    HubError: 502,
    StorageError: 507,
    SynthesisError: 422,
    InspectionFailed: 500,
    BadEvaluation: 422,
    EvaluationUnavailable: 503,
    EvaluationFailed: 500,
    GateRefused: 422,
    BadTest: 422,
    BadVote: 422,
    VoteConflict: 409,
    TestNotOpen: 409,
    DatabaseUnavailable: 503,
    Overloaded: 429,
    RequestTimeout: 504,
    WorkerLost: 503,
    DeviceOutOfMemory: 503,
    EngineError: 500,
}
