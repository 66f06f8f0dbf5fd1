"""``bridge init``: from an address and a token to settings that work. Asks for what no option says, tries each answer
at once, and writes only at the end. Changes nothing in OpenProject.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, BridgeError, ConfigError

if TYPE_CHECKING:
    from bridge.openproject.tracker import Server
    from bridge.settings import OpenProject

T = TypeVar("T")


def init(
    folder: Annotated[Path, typer.Option(help="Where to write the settings, the token and the policy.")] = Path(),
    url: Annotated[str, typer.Option(help="Address of the OpenProject, as in a browser.")] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the API token; asked for without it.", show_default=False)
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy to begin with; the one that comes with the bridge without it.", show_default=False),
    ] = None,
    state_dir: Annotated[str, typer.Option(help="Where the bridge shall keep its ledger.")] = "bridge-state",
    service: Annotated[
        bool,
        typer.Option(
            "--service", help="For the systemd service: bridge.env, and a folder of secrets that systemd hands on."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over settings and policy that are there.")] = False,
) -> None:
    """Ask for address and token, try them, write settings and policy, and tell what the account still lacks.

    Exit code 1 when something must be put right before the bridge can run.
    """
    from bridge import wiring
    from bridge.cli import doctor
    from bridge.settings import load

    # For a service, the folder of secrets that systemd hands on, each named as its setting.
    secret = folder / "secrets/openproject__api_key" if service else folder / "token"
    settings, rules = folder / ("bridge.env" if service else ".env"), folder / "policy.yaml"
    cases = rules.with_suffix(".tests.yaml")
    there = [str(path) for path in (settings, secret, rules, cases) if path.exists()]
    if there and not force:
        raise ConfigError(f"{', '.join(there)} would be written over: name another --folder, or add --force")
    beginning = policy or frame.shipped("cegape.yaml")
    wiring.policy(beginning)

    address = _answered("Address of the OpenProject", url, _address)
    token = _read(token_file) if token_file is not None else ""
    account, server = _answered("API token of its account", token, lambda text: _account(address, text), hidden=True)
    assert account.api_key is not None
    frame.say(f"{account.url} answers to {server.user_name}.")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        secret.parent.mkdir(mode=0o700, exist_ok=True)
        _write(secret, account.api_key.get_secret_value() + "\n", 0o600)
        _write_policy(rules, beginning)
        example = frame.shipped("bridge.example.env").read_text(encoding="utf-8")
        given = {
            "BRIDGE_OPENPROJECT__URL": account.url,
            "BRIDGE_POLICY": str(rules),
            "BRIDGE_STATE_DIR": state_dir,
        }
        if not service:
            given["BRIDGE_OPENPROJECT__API_KEY_FILE"] = str(secret)
        # Other secrets may be written into it later: a proxy's password, an alert's address.
        _write(settings, _filled(example, given), 0o600)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from None
    frame.say(f"Written: {settings}, {secret}, {rules}, and beside it what editors and bridge policy test read.")
    # The service's own settings can be read by systemd alone; what the account lacks can be asked now.
    checks = doctor.examine_account(account, wiring.policy(rules)) if service else doctor.examine(load(settings))
    failed = False
    for check in checks:
        doctor.show(check)
        failed |= check.state is doctor.State.FAILED
    if service:
        frame.say("Next: sudo bridge doctor")
    raise typer.Exit(EXIT_FINDINGS if failed else EXIT_FINE)


def _answered(question: str, given: str, understood: Callable[[str], T], *, hidden: bool = False) -> T:
    """What an answer means. A given one must be right; a person is asked until theirs is."""
    if given:
        return understood(given)
    while True:
        answer: str = typer.prompt(question, hide_input=hidden, err=True)
        try:
            return understood(answer.strip())
        except BridgeError as error:
            frame.say(str(error))


def _address(text: str) -> str:
    # A token of the right form, so that only the address can be wrong; nothing is sent with it.
    return _section(text, "0" * 64).url


def _account(url: str, token: str) -> tuple[OpenProject, Server]:
    from bridge import wiring
    from bridge.openproject.tracker import Tracker

    account = _section(url, token)
    with wiring.client(account, dry_run=True) as client:
        return account, Tracker(client).probe()


def _section(url: str, token: str) -> OpenProject:
    from pydantic import ValidationError

    from bridge.settings import OpenProject

    try:
        return OpenProject.model_validate({"url": url, "api_key": token})
    except ValidationError as error:
        told = (
            f"{'.'.join(map(str, one['loc']))} {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        )
        raise ConfigError("; ".join(told)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"--token-file: {path} cannot be read: {reason}") from None


def _filled(example: str, given: dict[str, str]) -> str:
    """The example with its explanations, and these values in their places."""
    for name, value in given.items():
        line = f"{name}={value}"
        example, found = re.subn(rf"(?m)^#?{name}=.*$", lambda _, line=line: line, example, count=1)  # type: ignore[misc]
        if not found:
            example += line + "\n"
    return example


def _write_policy(path: Path, beginning: Path) -> None:
    """The policy with its cases, where it has some, and the schemas by which editors complete both."""
    _write(path, beginning.read_text(encoding="utf-8"), 0o644)
    cases = beginning.with_suffix(".tests.yaml")
    if cases.is_file():
        _write(path.with_suffix(".tests.yaml"), cases.read_text(encoding="utf-8"), 0o644)
    for name in ("policy.schema.json", "policy-tests.schema.json"):
        _write(path.with_name(name), frame.shipped(name).read_text(encoding="utf-8"), 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never for a moment readable by others when it must not be."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
