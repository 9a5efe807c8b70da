"""What several commands of `voicecore` take, and the store that they work on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models_store.base_models import BaseModels
    from models_store.hub import Hub
    from models_store.store import ModelsStore

Home = Annotated[Path | None, typer.Option(help="The data folder (VOICECORE_HOME).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Host = Annotated[str | None, typer.Option(help="The server's address (VOICECORE_HOST).")]
Port = Annotated[int | None, typer.Option(help="The server's port (VOICECORE_PORT).")]
ApiKey = Annotated[str | None, typer.Option(help="The server's key (VOICECORE_API_KEY).")]


def open_store(home: Path | None) -> ModelsStore:
    from models_store.store import ModelsStore
    from server.flags import read_settings

    return ModelsStore(read_settings(home=home).store_path)


def open_base_models(home: Path | None) -> BaseModels:
    """To look at: neither they nor a store are made where there is none."""
    from models_store.base_models import BaseModels
    from models_store.layout import Layout
    from server.flags import read_settings

    return BaseModels(Layout(read_settings(home=home).store_path).base_models)


def open_hub() -> Hub:
    from models_store.hub import Hub
    from server.flags import read_settings

    # By the name that every tool for the hub reads; no other process of ours shall have it.
    return Hub(read_settings().hub_endpoint, os.environ.get("HF_TOKEN"))


def short(digest: str) -> str:
    """Enough of an id to tell it from others, and to be used in its place."""
    return digest.removeprefix("sha256:")[:12]
