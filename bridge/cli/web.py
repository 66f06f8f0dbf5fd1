"""The dashboard from the command line: ``web`` serves it without the daemon, ``web-user`` makes a login."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated

import typer

from bridge.cli import frame
from bridge.errors import ConfigError

SHORTEST = 12
"""Characters of a password: with five tries in a quarter of an hour, more than anybody guesses."""


def web(context: typer.Context) -> None:
    """Serve the dashboard by itself, until stopped: to look at a ledger whose daemon runs elsewhere or not at all.

    What needs the ledger's writer (acknowledging, webhooks) works in `bridge run` only, with web.enabled.
    """
    from bridge import wiring

    settings = frame.settings(context)
    frame.set_up_logs(settings)
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    with wiring.web(settings, wiring.policy(settings.policy)) as address:
        frame.put(address)
        stop.wait()


def web_user(
    name: Annotated[str, typer.Argument(help="Who signs in.")],
) -> None:
    """Ask for a password and print the line that belongs into web.users. From a pipe, the first line is taken."""
    import getpass

    from bridge.web.access import hashed

    if not name or ":" in name or any(c.isspace() for c in name):
        raise ConfigError(f"{name!r} cannot be a user's name: write one word without a colon")
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise ConfigError("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < SHORTEST:
        raise ConfigError(f"the password is too short: take at least {SHORTEST} characters")
    frame.put(f"{name}:{hashed(password)}")
