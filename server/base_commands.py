"""`voicecore base`: list, fetch and add what families need beside their submissions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.command_options import AsJson, Home, open_hub, open_store

if TYPE_CHECKING:
    from models_store.base_models import AddedBaseModel, BaseModel
    from models_store.base_roles import Role
    from models_store.store import ModelsStore

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_base_models(as_json: AsJson = False, home: Home = None) -> None:
    """List base models: which are here, and who needs them."""
    from models_store.base_roles import ROLES
    from server import console

    store = open_store(home)
    builds = [(role, store.base_models.get(role.name)) for role in ROLES.values()]
    if as_json:
        console.print_json([_told(role, build) for role, build in builds])
        return
    console.print_table(
        ("role", "here", "download", "licence", "needed by", "without it"),
        [
            (
                role.name,
                _state(build),
                console.human_bytes(role.size_bytes),
                role.licence,
                needed_by(role),
                "; ".join(need.consequence for need in role.needs),
            )
            for role, build in builds
        ],
        empty="No family needs a base model.",
    )


@app.command("pull")
def pull_base_models(
    roles: Annotated[
        list[str] | None, typer.Argument(help="Roles; default: those that submissions in the store lack.")
    ] = None,
    home: Home = None,
) -> None:
    """Fetch base models from the hub.

    An interrupted fetch goes on where it stopped.
    """
    from models_store.base_models import find_role
    from models_store.pull import pull_base_model
    from server import console

    store = open_store(home)
    wanted = [find_role(name) for name in roles or _lacking(store)]  # all, before the first is fetched
    if not wanted:
        console.out.print("No submission in the store lacks a base model. `voicecore base list` shows all.")
        return
    hub = open_hub()
    for role in wanted:
        console.out.print(f"{role.title} (licence {role.licence}, {role.source})", markup=False)
        with console.progress_bars() as progress:
            added = pull_base_model(store, role.name, hub, progress)
        _tell(added)


@app.command("add")
def add_base_model(
    path: Annotated[
        Path, typer.Argument(exists=True, help="A folder, an archive of one, or a role's only file.")
    ],
    role: Annotated[str, typer.Option(help="What it is to be used as: see `voicecore base list`.")],
    home: Home = None,
) -> None:
    """Add a base model that is on this machine.

    Any build in the role's published layout will do, also a fine-tuned one.
    """
    from server import console

    with console.progress_bars() as progress:
        added = open_store(home).add_base_model(path, role, progress)
    _tell(added)


def needed_by(role: Role) -> str:
    """Families, with the variants and languages if it isn't all of them."""
    return "; ".join(
        " ".join(
            (
                need.family,
                *sorted(need.variants or ()),
                *(f"for {language}" for language in sorted(need.languages or ())),
            )
        )
        for need in role.needs
    )


def _lacking(store: ModelsStore) -> list[str]:
    missing = [
        row.role for submission in store.submissions() for row in store.base_models.missing(submission)
    ]
    return list(dict.fromkeys(missing))


def _tell(added: AddedBaseModel) -> None:
    from server import console

    build = added.base_model
    console.out.print(f"[green]{build.role}[/] is here ({console.human_bytes(build.size_bytes)})")
    for file in added.unpinned:
        console.out.print(f"{file} is not the published build's", style="yellow", markup=False)
    if added.is_new:
        what = "It replaces another build. A" if added.replaced else "A"
        console.out.print(f"{what} running server uses it from the next request on.")


def _state(build: BaseModel | None) -> str:
    if build is None:
        return "no"
    return "yes" if build.is_pinned else "another build"


def _told(role: Role, build: BaseModel | None) -> dict[str, Any]:
    return {
        "role": role.name,
        "title": role.title,
        "licence": role.licence,
        "source": role.source,
        "download_bytes": role.size_bytes,
        "here": build is not None,
        "is_pinned": build.is_pinned if build else None,
        "files": {name: asdict(blob) for name, blob in build.given.items()} if build else {},
        "needs": [
            {
                "family": need.family,
                "variants": sorted(need.variants) if need.variants else None,
                "languages": sorted(need.languages) if need.languages else None,
                "consequence": need.consequence,
                "is_optional": need.is_optional,
            }
            for need in role.needs
        ],
    }
