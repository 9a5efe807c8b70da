"""The voices that come with the project, so that a fresh server speaks. `recipe/` says how they were made.

They are submissions like any other: they go through intake to get into a store, and can be removed from it.
"""

from __future__ import annotations

from pathlib import Path

SUBMISSIONS = Path(__file__).parent / "submissions"


def demo_submissions() -> dict[str, Path]:
    """Name → folder in the official XTTS layout, the default first."""
    folders = sorted(path.parent for path in SUBMISSIONS.glob("*/config.json"))
    return {folder.name: folder for folder in folders}
