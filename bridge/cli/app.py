"""Puts the commands together, and turns errors into one message and the exit code that errors.py gives them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bridge import __version__
from bridge.cli import frame, quick
from bridge.errors import EXIT_UNAVAILABLE, EXIT_USAGE, BridgeError

COMMANDS = {
    "run": "service:run",
    "once": "service:once",
    "status": "service:status",
    "explain": "report:explain",
    "pause": "service:pause",
    "resume": "service:resume",
    "init": "init:init",
    "doctor": "doctor:doctor",
    "demo": "rehearsal:demo",
    "simulate": "rehearsal:simulate",
    "fleet": "fleet:app",
    "web": "web:web",
    "web-user": "web:web_user",
    "report": "report:app",
    "policy": "policy:app",
    "config": "config:app",
    "audit": "audit:app",
    "db": "db:app",
}
"""Where each command or group of commands is. Only the one that is called is imported and built."""


class Bridge(quick.Group):
    """The program's commands, in the order of ``--help``; each is made when it is asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # only the names are read from here

    def get_command(self, ctx: Any, cmd_name: str) -> quick.AnyCommand | None:  # noqa: ARG002 - click's own
        """The command, imported now; None when there is none of that name."""
        place = COMMANDS.get(cmd_name)
        return None if place is None else quick.command(f"bridge.cli.{place}", cmd_name)


# Plain help: rich's is prettier and twice as slow.
app = typer.Typer(
    cls=Bridge,
    help="Judges the status moves of an OpenProject against a written policy, and puts illegal ones back.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        frame.put(f"bridge {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    env_file: Annotated[
        Path | None,
        typer.Option(envvar="BRIDGE_ENV_FILE", help="Settings to read instead of .env.", show_default=False),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""
    context.obj = env_file


def main() -> NoReturn:
    """The program."""
    try:
        app(prog_name="bridge")
    except BridgeError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            frame.say(f"bridge: {line}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone (``bridge report | head``): not worth a word.
        sys.stderr.close()
        sys.exit(0)
    except PermissionError as error:
        frame.say(
            f"bridge: {error.filename} belongs to somebody else ({error.strerror}): "
            "run this as the bridge's own user; under systemd: sudo bridge"
        )
        sys.exit(EXIT_USAGE)
    except Exception:  # noqa: BLE001 - not swallowed: told in full below
        # Python's own exit code for it, 1, means "findings" here.
        frame.say("bridge: this is a mistake in the program itself; please report it with the lines below")
        import traceback

        traceback.print_exc()
        sys.exit(EXIT_UNAVAILABLE)
    sys.exit(0)
