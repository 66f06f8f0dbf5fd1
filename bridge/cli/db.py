"""``bridge db``: the ledger's database as a whole: up to date, backed up, restored, moved."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import frame
from bridge.cli.audit import Store, last_seen, url_of, writing

app = typer.Typer(help="The database: backup, restore, move.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """The database: backup, restore, move."""


@app.command()
def upgrade(context: typer.Context, store: Store = None) -> None:
    """Bring the tables up to date with this version, and make them where there are none. Every start does the same."""
    from bridge.store.schema import HEAD

    with writing(context, store):
        pass
    frame.put(f"the database is of version {HEAD}")


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="SQLite file to make.")],
    store: Store = None,
) -> None:
    """Copy the ledger into one SQLite file and verify the copy. The bridge may go on meanwhile."""
    from bridge.store.transfer import backup as copy

    verdict = copy(url_of(context, store), file)
    frame.put(f"{file}: {verdict.entries} entries, {verdict.checkpoints} checkpoints; verified")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `bridge db backup` made.")],
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Although entries were signed after this backup, and are lost.")
    ] = False,
    store: Store = None,
) -> None:
    """Put a backup into an empty database, verified first. That it was restored becomes part of the record."""
    from bridge.store import transfer

    restored = transfer.restore(
        file,
        url_of(context, store),
        now=lambda: datetime.now(UTC),
        last_seen=last_seen(context) if store is None else None,
        accept_loss=accept_loss,
    )
    frame.put(f"{restored.verdict.entries} entries restored from {file}")
    if restored.lost is not None:
        lost = restored.lost
        frame.say(f"lost: entries {restored.verdict.entries + 1} to {lost.size}, signed {lost.at:%Y-%m-%d %H:%M} UTC")


@app.command("migrate-to")
def migrate_to(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(help="An empty database: postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE.")
    ],
    store: Store = None,
) -> None:
    """Copy the ledger to another database, chain and signatures intact, and verify it there. Stop the bridge first."""
    from bridge.store.database import parse, shown
    from bridge.store.transfer import migrate

    verdict = migrate(url_of(context, store), url)
    frame.put(f"{shown(parse(url))}: {verdict.entries} entries, {verdict.checkpoints} checkpoints; verified")
    frame.say("The old database is as it was. Set BRIDGE_STORE to the new one before the bridge starts again")
