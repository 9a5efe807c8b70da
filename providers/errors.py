"""What can go wrong while speaking.

ProviderError
├── SynthesisError             the caller acts: HTTP 422
│   ├── UnsupportedLanguage
│   ├── EmptyText              nothing speakable is left after normalisation
│   ├── TextTooLong
│   └── UnusableVoice          the submission cannot derive a conditioning from this voice
└── EngineError                we act: HTTP 500
    └── DeviceOutOfMemory      HTTP 503 + Retry-After
"""

from __future__ import annotations

from collections.abc import Sequence


class ProviderError(Exception):
    """Base of everything this package raises on purpose."""


class SynthesisError(ProviderError):
    """The request cannot be spoken as it is."""


class UnsupportedLanguage(SynthesisError):
    """The submission was not trained on this language."""

    def __init__(self, language: str, supported: Sequence[str]) -> None:
        super().__init__(
            f"found language {language!r}; expected one of {', '.join(supported)}. "
            "Choose one of these or leave `language` out to have it detected."
        )
        self.language = language
        self.supported = tuple(supported)


class EmptyText(SynthesisError):
    """Nothing speakable is left of the text."""


class TextTooLong(SynthesisError):
    """A piece of text without a place to split it exceeds what the model can take."""


class UnusableVoice(SynthesisError):
    """The submission cannot derive a conditioning from this voice."""


class EngineError(ProviderError):
    """The device or our own code failed; the request may be fine."""


class DeviceOutOfMemory(EngineError):
    """The device has no room for this now."""
