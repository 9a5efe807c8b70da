"""What several commands of `voicecore` take, and the store that they work on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models_store.store import ModelsStore

Home = Annotated[Path | None, typer.Option(help="The data folder (VOICECORE_HOME).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_store(home: Path | None) -> ModelsStore:
    from models_store.store import ModelsStore
    from server.flags import read_settings

    return ModelsStore(read_settings(home=home).store_path)


def short(digest: str) -> str:
    """Enough of an id to tell it from others, and to be used in its place."""
    return digest.removeprefix("sha256:")[:12]
