"""The bridge at work: ``run``, ``once``, ``status``, ``pause``, ``resume``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import frame
from bridge.errors import EXIT_FINDINGS, EXIT_FINE, BridgeError, RetryLater

if TYPE_CHECKING:
    from bridge.alerts import Alerts
    from bridge.daemon import Heartbeat
    from bridge.engine.cycle import Cycle
    from bridge.notify import Notifier
    from bridge.settings import Settings
    from bridge.store.ledger import Ledger

LATE = 2
"""Intervals without a good cycle from which the daemon counts as not well."""

ASK_AGAIN = 5.0
"""Seconds at most between two tries of a standby; with half a poll interval it leads within the next one."""


def run(
    context: typer.Context,
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait while another bridge writes to the same ledger, then take over.")
    ] = False,
) -> None:
    """Watch OpenProject until stopped: judge every move, and in enforce mode put illegal ones back."""
    from bridge import __version__, wiring
    from bridge.alerts import Alert
    from bridge.daemon import Daemon, read_heartbeat
    from bridge.notify import Notifier
    from bridge.store.schema import EntryKind

    settings = frame.settings(context)
    frame.set_up_logs(settings)
    stop = threading.Event()
    manager = Notifier()
    rules = wiring.policy(settings.policy)
    with contextlib.ExitStack() as held:
        ledger = _led(held, settings, stop, manager) if standby else held.enter_context(wiring.ledger(settings))
        if ledger is None:
            return
        ledger.record(EntryKind.START, {"mode": settings.mode.value, "version": __version__}, datetime.now(UTC))
        show = _reading(manager)
        seal = wiring.sealing(settings, ledger)
        cycle = held.enter_context(wiring.cycle(settings, rules, ledger, stop=stop, progress=show))
        calls = wiring.alerts(settings)
        look = held.enter_context(wiring.inspecting(settings, ledger, calls))
        daemon = Daemon(
            lambda missed: _cycle(cycle, missed, manager, seal, calls, look),
            interval=settings.poll.interval,
            jitter=settings.poll.jitter,
            heartbeat=wiring.heartbeat_file(settings),
            stop=stop,
            look_at=lambda tickets: _hinted(cycle, tickets, calls),
        )
        if settings.web.enabled:
            held.enter_context(wiring.web(settings, rules, ledger=ledger, hint=daemon.hint))
        manager.ready(settings.poll.interval + settings.poll.jitter)
        before = read_heartbeat(wiring.heartbeat_file(settings))
        try:
            finished = daemon.run()
        except BridgeError as fatal:
            if before is None or before.error != str(fatal):  # systemd starts it again and again
                calls.tell(Alert("stopped", f"The bridge has stopped: {fatal}"))
            raise
        manager.stopping()
        if finished:  # else a cycle still holds the ledger
            with contextlib.suppress(BridgeError):  # a database that is gone does not hinder the end
                ledger.record(EntryKind.STOP, {}, datetime.now(UTC))
        else:
            # A read that the server lets hang cannot be interrupted, and would hold the process for minutes. The
            # ledger is committed; the next start finishes what this cycle began.
            sys.stderr.flush()
            os._exit(EXIT_FINE)


def _cycle(
    cycle: Cycle, missed: int, manager: Notifier, seal: Callable[[], None], calls: Alerts, look: Callable[[], None]
) -> Mapping[str, object]:
    """One cycle; systemd is told that it came on, unless the program itself failed: a new start may help that.

    The record is signed when it is time, also after a cycle that failed: that nothing could be read is signed as well.
    """
    try:
        look()
        try:
            report = cycle.run(missed=missed)
        finally:
            seal()
    except BridgeError as error:
        manager.progress(f"the last cycle failed: {error}")
        raise
    manager.progress(f"last good cycle: {report.server_time:%Y-%m-%d %H:%M:%S} UTC")
    calls.cycle(report)
    return report.facts()


def _hinted(cycle: Cycle, tickets: frozenset[int], calls: Alerts) -> Mapping[str, object]:
    """A short cycle over what a webhook named."""
    from bridge.domain.model import WorkPackageId

    report = cycle.run(hint=map(WorkPackageId, tickets))
    calls.cycle(report, whole=False)
    return report.facts()


def _reading(manager: Notifier) -> Callable[[int, int], None]:
    return lambda done, total: manager.progress(f"reading tickets: {done} of {total}")


def _led(held: contextlib.ExitStack, settings: Settings, stop: threading.Event, manager: Notifier) -> Ledger | None:
    """The ledger, when no other bridge writes to it any more. None when told to end before that."""
    import structlog

    from bridge import wiring
    from bridge.store.database import Occupied

    log = structlog.get_logger("bridge.standby")
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    said = ""
    while not stop.is_set():
        try:
            ledger = held.enter_context(wiring.ledger(settings))
        except (Occupied, RetryLater) as reason:
            if str(reason) != said:
                log.info("standing by", reason=(said := str(reason)))
            manager.waiting("standing by")
            stop.wait(min(settings.poll.interval / 2, ASK_AGAIN))
        else:
            log.info("leading")
            return ledger
    return None


def once(context: typer.Context, as_json: frame.Json = False) -> None:
    """Run one cycle and print what it found and did."""
    from bridge import wiring

    settings = frame.settings(context)
    frame.set_up_logs(settings, quiet=True)
    rules = wiring.policy(settings.policy)
    with (
        wiring.ledger(settings) as ledger,
        progress() as show,
        wiring.cycle(settings, rules, ledger, progress=show) as cycle,
    ):
        report = cycle.run()
    if as_json:
        frame.put_json(report)
        return
    for name, value in report.facts().items():
        frame.put(f"{name.replace('_', ' ')}: {value}")
    for acted in report.acted:
        detail = f" ({acted.detail})" if acted.detail else ""
        frame.put(f"ticket {acted.action.work_package}, decision {acted.action.decision}: {acted.result}{detail}")


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar for long readings, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading tickets", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# --- Looking at it, and stopping its hand ---------------------------------------------------------------------------


def status(context: typer.Context, as_json: frame.Json = False) -> None:
    """How the daemon is. Exit code 1 when it is not running, late or failing."""
    from bridge import wiring
    from bridge.daemon import read_heartbeat

    settings = frame.settings(context)
    beat = read_heartbeat(wiring.heartbeat_file(settings))
    paused = wiring.Pause(settings.state_dir).reason()
    state, well = _state(beat, datetime.now(UTC))
    if as_json:
        frame.put_json({"state": state, "well": well, "mode": settings.mode, "paused": paused, "heartbeat": beat})
    else:
        _show(settings, beat, state, paused)
    raise typer.Exit(EXIT_FINE if well else EXIT_FINDINGS)


def _state(beat: Heartbeat | None, now: datetime) -> tuple[str, bool]:
    """In words, and whether that is well."""
    if beat is None:
        return "never ran here", False
    if beat.stopped_at is not None:
        return "stopped", False
    if not alive(beat.pid):
        return "died without stopping", False
    last = beat.last_success or beat.started_at
    if (now - last).total_seconds() > LATE * beat.interval + LATE:
        return f"no good cycle since {last:%Y-%m-%d %H:%M:%S} UTC", False
    if beat.failures:
        return "the last cycle failed", False
    return "running", True


def alive(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _show(settings: Settings, beat: Heartbeat | None, state: str, paused: str | None) -> None:
    frame.put(f"state: {state}")
    frame.put(f"mode: {settings.mode}{f', paused: {paused}' if paused else ''}")
    frame.put(f"OpenProject: {settings.openproject.url}")
    if beat is None:
        return
    for name, at in (("started", beat.started_at), ("last cycle", beat.last_cycle), ("last good", beat.last_success)):
        frame.put(f"{name}: {f'{at:%Y-%m-%d %H:%M:%S} UTC' if at else 'none yet'}")
    frame.put(f"cycles: {beat.cycles}, missed: {beat.missed}, failed since the last good one: {beat.failures}")
    if beat.error:
        frame.put(f"error: {beat.error}")


def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; shown by status and kept in the ledger.")] = "",
    as_json: frame.Json = False,
) -> None:
    """Put nothing back from now on, in the daemon that runs too. Judging and recording go on."""
    from bridge import wiring
    from bridge.cli.audit import login
    from bridge.store.schema import EntryKind

    settings = frame.settings(context)
    text = f"paused by {login()} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC" + (f": {reason}" if reason else "")
    wiring.Pause(settings.state_dir).begin(text)
    wiring.leave_note(settings, EntryKind.PAUSE, {"by": login(), "reason": reason})
    frame.put_json({"paused": text}) if as_json else frame.put(text)


def resume(context: typer.Context, as_json: frame.Json = False) -> None:
    """Let illegal moves be put back again. What was done during the pause is looked at in the next cycle."""
    from bridge import wiring
    from bridge.cli.audit import login
    from bridge.store.schema import EntryKind

    settings = frame.settings(context)
    was = wiring.Pause(settings.state_dir).end()
    if was:
        wiring.leave_note(settings, EntryKind.RESUME, {"by": login()})
    frame.put_json({"paused": None, "was_paused": was}) if as_json else frame.put(
        "resumed" if was else "was not paused"
    )
