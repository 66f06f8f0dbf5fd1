"""Puts the commands together, and turns errors into one message and the exit code that errors.py gives them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bridge import __version__
from bridge.cli import audit, config, db, doctor, frame, init, policy, quick, rehearsal, report, service, web
from bridge.errors import EXIT_UNAVAILABLE, BridgeError

# Plain help: rich's is prettier and twice as slow.
app = typer.Typer(
    cls=quick.Group,
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


for command in (
    service.run,
    service.once,
    service.status,
    report.explain,
    service.pause,
    service.resume,
    init.init,
    doctor.doctor,
    rehearsal.demo,
    rehearsal.simulate,
    web.web,
    web.web_user,
):
    app.command()(command)
app.add_typer(report.app, name="report")
app.add_typer(policy.app, name="policy")
app.add_typer(config.app, name="config")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")


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
    except Exception:  # noqa: BLE001 - not swallowed: told in full below
        # Python's own exit code for it, 1, means "findings" here.
        frame.say("bridge: this is a mistake in the program itself; please report it with the lines below")
        import traceback

        traceback.print_exc()
        sys.exit(EXIT_UNAVAILABLE)
    sys.exit(0)
