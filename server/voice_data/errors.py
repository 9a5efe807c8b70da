"""What can go wrong with contributed recordings that isn't about the recordings.

ServerError
└── InspectionFailed           the operator acts: HTTP 500
"""

from __future__ import annotations


class InspectionFailed(Exception):
    """The process that listens to recordings died."""
