"""``bridge config``: what the settings are, and where each came from."""

from __future__ import annotations

import typer

from bridge.cli import frame

app = typer.Typer(help="The settings.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """The settings."""


@app.command()
def show(context: typer.Context, as_json: frame.Json = False) -> None:
    """Print every setting with its origin, secrets masked."""
    from pydantic import SecretStr

    from bridge.settings import values, variable

    loaded = frame.loaded(context)
    rows = [
        (name, "***" if isinstance(value, SecretStr) else value, loaded.origins.get(name, "default"), variable(name))
        for name, value in values(loaded.settings)
    ]
    if as_json:
        columns = ("name", "value", "origin", "variable")
        frame.put_json(
            {"settings": [dict(zip(columns, row, strict=True)) for row in rows], "warnings": loaded.warnings}
        )
        return
    frame.put_table(
        ("SETTING", "VALUE", "FROM", "VARIABLE"),
        [(name, "-" if value is None else value, origin, variable) for name, value, origin, variable in rows],
    )
