"""What all commands share: the result on standard output, the talk on standard error, settings, exit codes.

It knows no command, and imports nothing at the top that ``bridge --help`` would have to pay for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bridge.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
"""The ``--json`` option, the same everywhere."""


def say(message: str) -> None:
    """Talk: a line on standard error."""
    print(message, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """Result: a line on standard output."""
    print(text, flush=True)


def put_json(value: object) -> None:
    """Result: a value (dataclasses, times and paths included) as JSON on standard output."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    sys.stdout.write(orjson.dumps(value, default=_plain, option=options).decode())
    sys.stdout.flush()


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Result: rows for people on a terminal; tab-separated for programs and files."""
    if not sys.stdout.isatty():
        put("\t".join(columns))
        for row in rows:
            put("\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)


def settings(context: typer.Context) -> Settings:
    """The operator's settings, with what is doubtful about them said. Raises ConfigError."""
    from bridge.settings import load

    env_file = context.find_root().obj
    loaded = load(env_file if isinstance(env_file, Path) else None)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    return loaded.settings
