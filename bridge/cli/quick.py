"""Commands that start quickly: typer builds a pydantic adapter to make a path or a number of a text, and importing
pydantic costs every command 90 ms. Plain texts, paths and numbers are made here; anything else goes typer's way.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Union, get_args, get_origin

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup


class _Parameter(Protocol):
    """What of typer's parameters is used here (typer is pinned below its next minor release)."""

    required: bool
    callback: Any

    def value_is_missing(self, value: object) -> bool:
        """Whether nothing was given where something must be."""


Process = Callable[[typer.Context, object], object]


class Command(TyperCommand):
    """A command whose plain parameters cost no import. Use as ``cls=`` of ``app.command``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _hasten(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, which is a parameter like the others."""
        option = super().get_help_option(ctx)
        _hasten([option] if option is not None else [])
        return option


class Group(TyperGroup):
    """The same for a group. Use as ``cls=`` of ``typer.Typer``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _hasten(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, which is a parameter like the others."""
        option = super().get_help_option(ctx)
        _hasten([option] if option is not None else [])
        return option


AnyCommand = TyperCommand | TyperGroup


def command(place: str, name: str) -> AnyCommand:
    """The command or group at ``module:attribute``, a function or a ``typer.Typer``, ready to be called ``name``."""
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=Command)(found)
        found = alone
    made: AnyCommand = typer.main.get_command(found)  # type: ignore[assignment]  # typer makes nothing else
    made.name = name
    return made


def _hasten(parameters: list[Any]) -> None:
    for parameter in parameters:
        kind = _plain_kind(parameter.type_descriptor.annotation)
        info = parameter.type_descriptor.parameter_info
        unchecked = not any(getattr(info, name, None) for name in ("exists", "resolve_path", "writable", "parser"))
        bounded = getattr(info, "min", None) is not None or getattr(info, "max", None) is not None
        done = isinstance(parameter.process_value, partial)
        if kind is not None and unchecked and not bounded and not done:
            parameter.process_value = partial(_process, parameter, kind, parameter.process_value)


def _plain_kind(annotation: object) -> type | None:
    """What one value is made into; None for what typer shall make."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        annotation = kinds[0] if len(kinds) == 1 else None
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    return annotation if annotation in (str, Path, bool) else None


def _process(parameter: _Parameter, kind: type, typers: Process, ctx: typer.Context, value: object) -> object:
    """As ``Parameter.process_value``; what is not as plain as expected goes to typer's own."""
    made: object
    match value:
        case None | bool():
            made = value
        case str() if kind is not bool:
            made = kind(value)
        case list() | tuple() if kind is not bool:
            made = [kind(one) for one in value]
        case _:
            return typers(ctx, value)
    if parameter.required and parameter.value_is_missing(made):
        return typers(ctx, value)
    return parameter.callback(ctx, parameter, made) if parameter.callback is not None else made
