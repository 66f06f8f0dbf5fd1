"""What all commands share: the result on standard output, the talk on standard error, settings, exit codes.

It knows no command, and imports nothing at the top that ``bridge --help`` would have to pay for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.errors import ConfigError

if TYPE_CHECKING:
    from bridge.settings import Loaded, Settings

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


def shipped(name: str) -> Path:
    """A file that comes with the bridge, like ``cegape.yaml``: beside its source, or where a package puts it."""
    places = (Path(__file__).parents[2] / "config", Path(sys.prefix) / "share" / "openproject-bridge" / "config")
    for place in places:
        if (place / name).is_file():
            return place / name
    raise ConfigError(f"{name} did not come with this installation; it is in the project's config folder")


def loaded(context: typer.Context) -> Loaded:
    """The operator's settings and their origins; what is doubtful about them is said. Raises ConfigError."""
    from bridge.settings import load

    env_file = context.find_root().obj
    read = load(env_file if isinstance(env_file, Path) else None)
    for warning in read.warnings:
        say(f"warning: {warning}")
    return read


def settings(context: typer.Context) -> Settings:
    """The operator's settings. Raises ConfigError."""
    return loaded(context).settings


def set_up_logs(settings: Settings, *, quiet: bool = False) -> None:
    """Log as the settings say; ``quiet`` commands, whose result is the point, log warnings only."""
    from bridge import logs
    from bridge.settings import LogFormat

    form = settings.log.format
    as_json = form is LogFormat.JSON or (form is LogFormat.AUTO and not sys.stderr.isatty())
    level = "warning" if quiet and settings.log.level == "info" else settings.log.level
    logs.set_up(level, as_json=as_json, stream=sys.stderr, secrets=settings.secrets)
