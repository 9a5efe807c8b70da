"""The packages that only evaluation needs: the extra `evaluate`."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = ("pocketsphinx", "rapidfuzz", "PIL")
INSTALL = "Install what evaluation needs: pip install 'voicecore[evaluate]'"


def missing() -> tuple[str, ...]:
    return tuple(package for package in PACKAGES if find_spec(package) is None)


def complaint() -> str | None:
    """What is missing and how to get it; None where nothing is."""
    if absent := missing():
        return f"found no {', '.join(absent)}; expected the packages that evaluation needs. {INSTALL}"
    return None
