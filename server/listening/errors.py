"""What can go wrong with a listening test.

ListeningError
├── BadTest               the maker of the test acts    422
├── BadVote               the rater acts                422   an answer or times that can't be
├── VoteConflict          the rater acts                409   too early, or voted otherwise before
├── Unknown               the caller acts             404   no such test, rater or trial
├── TestNotOpen           the rater acts, later         409   its audio isn't there yet, or it was closed
└── DatabaseUnavailable   the operator acts             503
"""

from __future__ import annotations

from typing import ClassVar

from models_store.errors import NotFound


class ListeningError(Exception):
    """Base of everything this package raises on purpose."""


class BadTest(ListeningError):
    """The definition asks for something that no test can be."""


class BadVote(ListeningError):
    """The vote can't have been given to this trial."""


class VoteConflict(ListeningError):
    """The trial isn't where this vote belongs: it is unheard, or its vote was another one."""


class Unknown(ListeningError, NotFound):
    """There is no such test, rater or trial. `kind` is which of them."""

    REMEDIES: ClassVar = {
        "test": "GET /v1/listening/tests lists them.",
        "rater": "POST /v1/listening/tests/{id}/raters makes one.",
        "trial": "GET /v1/listening/raters/{id} gives the next one out.",
    }

    def __init__(self, kind: str, name: str) -> None:
        Exception.__init__(
            self, f"found the {kind} {name!r}; expected one that exists. {self.REMEDIES[kind]}"
        )
        self.kind = kind


class TestNotOpen(ListeningError):
    """Nobody can vote in this test now."""

    __test__ = False  # for pytest, which collects by names


class DatabaseUnavailable(ListeningError):
    """The database doesn't answer, or refuses to write."""

    retry_after_s = 5.0
