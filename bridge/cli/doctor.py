"""``bridge doctor``: every precondition, one by one, each with its remedy. Changes nothing, here or in OpenProject."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, BridgeError, ConfigError

if TYPE_CHECKING:
    from bridge.domain.policy import Policy
    from bridge.openproject.tracker import MembershipReading, Server
    from bridge.settings import Loaded, OpenProject, Settings, Web

CLOCK_TOLERANCE = 5.0
"""Seconds. ``Date`` has whole seconds, and the request took a moment; more is a clock that is not kept."""


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition: what was found and, where it is not as it should be, what to do."""

    name: str
    state: State
    found: str
    remedy: str = ""


def doctor(context: typer.Context, as_json: frame.Json = False) -> None:
    """Check every precondition: settings, policy, state, OpenProject, the account's rights. Changes nothing.

    Exit code 1 when something must be put right.
    """
    checks = []
    for check in _from_settings_on(context):
        checks.append(check)
        if not as_json:
            show(check)
    failed = any(check.state is State.FAILED for check in checks)
    if as_json:
        frame.put_json({"well": not failed, "checks": checks})
    raise typer.Exit(EXIT_FINDINGS if failed else EXIT_FINE)


def show(check: Check) -> None:
    """A check for people."""
    frame.put(f"{check.state:8} {check.name}: {check.found}")
    if check.remedy:
        frame.put(f"         -> {check.remedy}")


def _from_settings_on(context: typer.Context) -> Iterator[Check]:
    try:
        loaded = frame.loaded(context)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Check("settings", State.FAILED, line, "config/bridge.example.env explains every setting")
        return
    yield from examine(loaded)


def examine(loaded: Loaded) -> Iterator[Check]:
    """Every precondition after the settings themselves, as it is found."""
    yield Check("settings", State.OK, f"{len(loaded.origins)} set, the others at their defaults (bridge config show)")
    yield from _secrets(loaded)
    yield from _state(loaded.settings)
    policy = None
    try:
        policy = _policy(loaded.settings)
        yield Check("policy", State.OK, f"{policy.name}: {len(policy.rules)} rules, {len(policy.statuses)} statuses")
    except ConfigError as error:
        yield Check("policy", State.FAILED, str(error).splitlines()[0], f"bridge policy check {loaded.settings.policy}")
    yield from examine_account(loaded.settings.openproject, policy)


def _policy(settings: Settings) -> Policy:
    from bridge import wiring

    return wiring.policy(settings.policy)


# --- Here -----------------------------------------------------------------------------------------------------------


def _secrets(loaded: Loaded) -> Iterator[Check]:
    """Files with a secret in them that others on this machine can read."""
    from pydantic import SecretStr

    from bridge.settings import values

    open_files = []
    for name, value in values(loaded.settings):
        path = Path(loaded.origins.get(name, "").removeprefix("file "))
        if isinstance(value, SecretStr) and path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            open_files.append(str(path))
    for path_name in sorted(set(open_files)):
        yield Check("secrets", State.WARNING, f"{path_name} can be read by other users", f"chmod 600 {path_name}")


def _state(settings: Settings) -> Iterator[Check]:
    from bridge import wiring
    from bridge.cli.service import alive
    from bridge.daemon import read_heartbeat

    folder = settings.state_dir
    above = folder
    while not _is_there(above):
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        yield Check(
            "state_dir",
            State.FAILED,
            f"{folder} cannot be written by this user",
            "make it writable, or set BRIDGE_STATE_DIR to a folder that is",
        )
        return
    free = os.statvfs(above)
    mebibytes = free.f_bavail * free.f_frsize // 2**20
    yield Check("state_dir", State.OK, f"{folder}, {mebibytes} MiB free")
    beat = read_heartbeat(wiring.heartbeat_file(settings))
    runs = beat is not None and beat.stopped_at is None and alive(beat.pid)
    if runs:
        yield Check("ledger", State.OK, "in use by the bridge that runs here (bridge status)")
    else:
        yield _ledger(settings)
    yield _signing_key(settings)
    if settings.web.enabled:
        yield _web(settings.web, runs)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that this user may not enter
        return False


def _ledger(settings: Settings) -> Check:
    try:
        return Check("ledger", State.OK, _held(settings))
    except BridgeError as error:
        return Check("ledger", State.FAILED, str(error), "put right what it says, then ask again")


def _held(settings: Settings) -> str:
    """What the ledger holds. Only reads: to open it for writing would make its tables, or change an older version's."""
    from bridge.store.database import answers, parse
    from bridge.store.queries import Queries

    url = parse(settings.store_url)
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        there = _is_there(path)
        # A folder that is missing is made where it is the state directory, and only there.
        if not os.access(path if there else path.parent, os.W_OK) and (there or settings.store is not None):
            raise ConfigError(f"{path} cannot be written by this user")
        if not there:
            return f"{path} will be made at the first start"
    else:
        answers(settings.store_url)
    with Queries(settings.store_url) as queries:
        try:
            with queries.snapshot() as view:
                watermark = view.watermark()
        except ConfigError:
            return "its tables will be made at the first start"
    return f"holds everything up to {watermark:%Y-%m-%d %H:%M:%S} UTC" if watermark else "is empty"


def _signing_key(settings: Settings) -> Check:
    from bridge import wiring
    from bridge.store.checkpoint import SigningKey

    path = wiring.signing_key(settings)
    try:
        if not _is_there(path):
            return Check("signing key", State.OK, f"{path} will be made at the first start")
        SigningKey.load(path)
    except ConfigError as error:
        return Check(
            "signing key", State.FAILED, str(error), "put it right, or set BRIDGE_AUDIT__SIGNING_KEY to another"
        )
    return Check("signing key", State.OK, str(path))


def _web(web: Web, runs: bool) -> Check:
    """``runs``: the port is taken by the bridge itself."""
    from bridge import wiring

    try:
        wiring.doors(web)
    except ConfigError as error:
        return Check("web", State.FAILED, str(error), "docs/dashboard.md: who may sign in")
    if not runs:
        try:
            socket.create_server(
                (web.host, web.port), family=socket.AF_INET6 if ":" in web.host else socket.AF_INET
            ).close()
        except OSError as error:
            found = f"{web.host} port {web.port} cannot be opened ({error.strerror})"
            return Check("web", State.FAILED, found, "choose another with BRIDGE_WEB__HOST and BRIDGE_WEB__PORT")
    return Check("web", State.OK, f"{web.host} port {web.port}")


# --- There ----------------------------------------------------------------------------------------------------------


def examine_account(account: OpenProject, policy: Policy | None) -> Iterator[Check]:
    """Every precondition in OpenProject, as it is found; what a policy needs only where there is one."""
    from bridge import wiring
    from bridge.cli.policy_live import compare_with
    from bridge.openproject.tracker import Tracker

    with wiring.client(account, dry_run=True) as client:
        tracker = Tracker(client)
        try:
            before = datetime.now(UTC)
            server = tracker.probe()
            yield Check("openproject", State.OK, f"{account.url} answers to {server.user_name}")
            yield from _clock(server, before)
            yield from _language(server)
            yield from _features(server)
            yield from _projects(server, tracker.memberships())
            if policy is not None:
                yield from compare_with(tracker, policy)
        except BridgeError as error:
            yield Check("openproject", State.FAILED, str(error), "docs/install.md: the service account and its token")


def _clock(server: Server, before: datetime) -> Iterator[Check]:
    if server.clock is None:
        yield Check(
            "clock",
            State.WARNING,
            "the server sends no Date header",
            "have its proxy send one, or keep both clocks by NTP: the bridge goes by the local one",
        )
        return
    skew = (server.clock - before).total_seconds()
    if abs(skew) > CLOCK_TOLERANCE:
        yield Check(
            "clock", State.WARNING, f"the server's clock differs by {skew:+.0f} s", "keep both by NTP (timedatectl)"
        )
    else:
        yield Check("clock", State.OK, "agrees with the server's")


def _language(server: Server) -> Iterator[Check]:
    if server.language:
        yield Check("language", State.OK, f"the account reads OpenProject in {server.language!r}")
    else:
        yield Check(
            "language",
            State.WARNING,
            "the account has no language of its own",
            "set one (fr or en) in its profile, so that a change of the default does not change what it reads",
        )


def _features(server: Server) -> Iterator[Check]:
    known = "statuses in lists" if server.select_status else "one list a status for each snapshot"
    past = "past values by id" if server.timestamps else "no past values: a move is proven by its activities alone"
    yield Check("features", State.OK, f"{known}; {past}")


def _projects(server: Server, members: MembershipReading) -> Iterator[Check]:
    if not server.projects:
        yield Check(
            "projects",
            State.FAILED,
            "the account sees no project",
            "make it a member of each project to watch, with a role of its own (docs/install.md)",
        )
        return
    blind = sorted(project.identifier for project in server.projects if project.id not in members.readable)
    if blind:
        yield Check(
            "projects",
            State.FAILED,
            f"cannot see who has which role in {', '.join(blind)}: moves there would all stay undecided",
            "give its role the permission 'View members', and make it a member there",
        )
    else:
        yield Check("projects", State.OK, f"{len(server.projects)} with their members")
