"""Flags of `voicecore serve`, one per setting, made from the settings' own names, types and sentences."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from server.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

PREFIX = Settings.model_config["env_prefix"]


def with_setting_flags(run: Callable[[Settings], None]) -> Callable[..., None]:
    """`run` as a typer command that takes every setting as a flag.

    A flag that isn't given leaves its setting to the environment, and then to its default.
    """

    def command(**flags: Any) -> None:
        run(read_settings(**flags))

    command.__doc__ = run.__doc__
    command.__annotations__ = {name: _option(name, field) for name, field in Settings.model_fields.items()}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in command.__annotations__.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def read_settings(**flags: Any) -> Settings:
    """From these where they are given, then the environment, then the defaults. Raises BadParameter."""
    return parse(Settings, **flags)


def parse(model: type[Model], /, **flags: Any) -> Model:
    """A model of the flags that are given. Raises BadParameter with every mistake."""
    given = {name: value for name, value in flags.items() if value not in (None, [])}
    try:
        return model(**given)
    except ValidationError as error:
        raise typer.BadParameter(_mistakes(error, given)) from error


def _option(name: str, field: FieldInfo) -> Any:
    default = "none" if field.default in (None, ()) else str(field.default)
    sentence = f"{field.description} [default: {default}; {PREFIX}{name.upper()}]"
    return Annotated[_flag_type(field.annotation), typer.Option(help=sentence, show_default=False)]


def _flag_type(annotation: Any) -> Any:
    """What typer parses; the limits of a setting are left to the settings."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is tuple:
        return list[get_args(annotation)[0]] | None  # type: ignore[misc]
    if get_origin(annotation) is Literal:
        return Union[annotation, None]  # noqa: UP007 (`|` of a Literal is no type on 3.10)
    return (str if annotation is SecretStr else annotation) | None


def _is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is not None and SecretStr in get_args(field.annotation)


def _mistakes(error: ValidationError, given: Mapping[str, Any]) -> str:
    """All of them, each with its flag or, where that wasn't given, its variable."""
    told = []
    for entry in error.errors():
        # A setting that has several variables is told under the first one's name.
        name = str(entry["loc"][0]).removeprefix(PREFIX).lower() if entry["loc"] else ""
        place = f"--{name.replace('_', '-')}" if name in given else f"{PREFIX}{name.upper()}"
        found = "a bad value" if _is_secret(name) else repr(entry["input"])
        told.append(f"{place}: found {found}; {entry['msg'].replace('Input should be', 'expected')}")
    return "; ".join(told)
