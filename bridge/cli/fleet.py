"""``bridge fleet``: many OpenProjects from one installation. One site's own commands are ``bridge --env-file …``."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, BridgeError, ConfigError

if TYPE_CHECKING:
    from bridge.daemon import Heartbeat
    from bridge.fleet import Sites
    from bridge.settings import FleetSettings

LATE = 3
"""Intervals without a good cycle from which a site counts as late: one more than alone, for it waits its turn."""

app = typer.Typer(help="Many OpenProjects from one installation.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Many OpenProjects from one installation."""


@app.command()
def run(
    context: typer.Context,
    workers_concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Sites that this worker watches at the same moment.")
    ] = 8,
) -> None:
    """One worker: watch the sites that are due, until stopped. Start as many as are needed, on any machine."""
    from bridge import fleet

    settings = _settings(context)
    _set_up_logs(settings, fleet.Folder(settings.fleet.sites).sites())
    if not fleet.run(settings.fleet, at_once=workers_concurrency):
        # As in `bridge run`: a read that a server lets hang cannot be interrupted. The ledgers are committed.
        sys.stderr.flush()
        os._exit(EXIT_FINE)


@app.command()
def status(context: typer.Context, as_json: frame.Json = False) -> None:
    """How each site is. Exit code 1 when one is late, failing or not watched."""
    from bridge import wiring
    from bridge.daemon import read_heartbeat
    from bridge.fleet import Folder

    sites = Folder(_settings(context).fleet.sites).sites()
    now = datetime.now(UTC)
    rows = []
    for name, settings in sites.good.items():
        beat = read_heartbeat(wiring.heartbeat_file(settings))
        state, well = _state(beat, now)
        paused = wiring.Pause(settings.state_dir).reason()
        rows.append({"site": name, "state": state, "well": well, "paused": paused, "heartbeat": beat})
    rows += [
        {"site": name, "state": f"not watched: {why}", "well": False, "paused": None, "heartbeat": None}
        for name, why in sites.bad.items()
    ]
    if as_json:
        frame.put_json(rows)
    else:
        frame.put_table(
            ("site", "state", "paused"), [(row["site"], row["state"], "yes" if row["paused"] else "") for row in rows]
        )
    raise typer.Exit(EXIT_FINE if all(row["well"] for row in rows) else EXIT_FINDINGS)


def _state(beat: Heartbeat | None, now: datetime) -> tuple[str, bool]:
    """In words, and whether that is well."""
    if beat is None:
        return "never watched from this machine", False
    if beat.failures:
        return f"failing, {beat.failures} times since the last good cycle: {beat.error}", False
    last = beat.last_success or beat.started_at
    if (now - last).total_seconds() > LATE * beat.interval + LATE:
        return f"no good cycle since {last:%Y-%m-%d %H:%M:%S} UTC", False
    return "watched", True


@app.command()
def check(context: typer.Context) -> None:
    """Read the settings and the policy of every site, and try the fleet's database. Asks no OpenProject."""
    from bridge import fleet, wiring

    settings = _settings(context).fleet
    sites = fleet.Folder(settings.sites).sites()
    bad = dict(sites.bad)
    for name, site in sites.good.items():
        try:
            wiring.policy(site.policy)
        except BridgeError as error:
            bad[name] = str(error)
    fleet.queue_url(settings)
    if bad:
        raise ConfigError("\n".join(f"{name}: {line}" for name in sorted(bad) for line in bad[name].splitlines()))
    frame.put(f"{len(sites.good)} sites, all as they should be")


def _settings(context: typer.Context) -> FleetSettings:
    from bridge.settings import load_fleet

    env_file = context.find_root().obj
    return load_fleet(env_file if isinstance(env_file, Path) else None)


def _set_up_logs(settings: FleetSettings, sites: Sites) -> None:
    from bridge import logs
    from bridge.settings import LogFormat

    form = settings.log.format
    secrets = [settings.fleet.database.get_secret_value(), *(s for each in sites.good.values() for s in each.secrets)]
    logs.set_up(
        settings.log.level,
        as_json=form is LogFormat.JSON or (form is LogFormat.AUTO and not sys.stderr.isatty()),
        stream=sys.stderr,
        secrets=secrets,
    )
