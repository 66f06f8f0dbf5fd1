"""Watches many OpenProjects: one job a site and cycle in a PostgreSQL of the fleet's own, for any number of workers.

A job holds a site's name and nothing else. What a cycle does is the engine's business, who may act is the lock of the
site's ledger, and a cycle that fails is not tried again: the next one comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import structlog

from bridge import wiring
from bridge.alerts import Alert
from bridge.daemon import Heartbeat, read_heartbeat, write_heartbeat
from bridge.errors import BridgeError, ConfigError, RetryLater
from bridge.inspection import Inspection, Inspector
from bridge.settings import Fleet, Settings, load_site
from bridge.store.database import Occupied, answers, parse, shown
from bridge.store.ledger import Ledger

if TYPE_CHECKING:
    from procrastinate import App
    from procrastinate.jobs import Job

    from bridge.alerts import Alerts
    from bridge.engine.cycle import Cycle

HEARTBEAT = 5.0
"""Seconds between two signs of life of a worker; a row in the database each."""

DEAD = 15.0
"""Seconds without one after which a worker's jobs are given to others: two may come late. A worker that lives all the
same can do no harm: the ledger's lock goes with the connection, not with the job."""

GRACE = 5.0
"""Seconds that cycles get to finish after SIGTERM; what is left then is finished by the next cycle, exactly once."""

WARM = 1_000
"""Sites whose session and memory a worker keeps between cycles. A cold one costs its OpenProject a snapshot."""

LONGEST_REST = timedelta(minutes=15)
"""A site that does not answer is asked this often at least: as often as a snapshot looks for what was missed."""

KEPT_HOURS = 1
"""Done jobs are kept this long, for whoever looks. 10,000 sites make 600,000 an hour; old rows slow workers."""

FIRST = 10
"""Priority of what the fleet does for itself: when all are busy, sites must go on becoming due."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


# --- Sites ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sites:
    """The folder of sites as it is at this moment."""

    good: Mapping[str, Settings]
    bad: Mapping[str, str]
    """Why a site is not watched."""


class Folder:
    """Reads the folder of sites; again only what changed, and after ``keep`` seconds at the earliest."""

    def __init__(self, path: Path, keep: float = 0) -> None:
        self._path = path
        self._keep = keep
        self._read: dict[str, tuple[object, Settings | str]] = {}
        self._last: tuple[float, Sites] | None = None
        self._lock = threading.Lock()

    def sites(self) -> Sites:
        """Every site. Raises ConfigError when the folder itself cannot be read."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] >= self._keep:
                self._last = time.monotonic(), self._look()
            return self._last[1]

    def _look(self) -> Sites:
        try:
            names = sorted(each.name for each in self._path.iterdir() if each.is_dir() and each.name[0] != ".")
        except OSError as error:
            raise ConfigError(f"the folder of sites, {self._path}, cannot be read: {error.strerror}") from None
        self._read = {name: self._site(name) for name in names}
        good = {name: found for name, (_, found) in self._read.items() if isinstance(found, Settings)}
        bad = {name: found for name, (_, found) in self._read.items() if isinstance(found, str)}
        twice = dict(_shared(good))
        return Sites({name: found for name, found in good.items() if name not in twice}, bad | twice)

    def _site(self, name: str) -> tuple[object, Settings | str]:
        if not _NAME.fullmatch(name):
            return None, "a site's name is letters, digits, dots and dashes, 63 at most"
        # `bridge init` writes .env, and bridge.env for a service.
        folder = self._path / name
        path = folder / ".env" if (folder / ".env").is_file() else folder / "bridge.env"
        stamp = tuple(map(_stamp, (path, folder / "token")))
        before = self._read.get(name)
        if before is not None and before[0] == stamp and isinstance(before[1], Settings):
            return before
        try:
            return stamp, load_site(path)
        except ConfigError as error:
            return stamp, str(error)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _shared(good: Mapping[str, Settings]) -> Iterator[tuple[str, str]]:
    """Sites that would act on another's OpenProject, or write into its ledger or its state. None is watched."""
    wholes: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("OpenProject", lambda settings: settings.openproject.url.lower()),
        ("ledger", lambda settings: settings.store_url),
        ("state_dir", lambda settings: str(settings.state_dir)),
    )
    for what, of in wholes:
        seen: dict[str, list[str]] = {}
        for name, settings in good.items():
            seen.setdefault(of(settings), []).append(name)
        for names in seen.values():
            for name in names if len(names) > 1 else ():
                yield name, f"{' and '.join(names)} have the same {what}: each needs its own"


# --- One site's cycles ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Held:
    """What a site's cycles share."""

    settings: Settings
    policy: object
    """Stamp of the policy's file."""
    ledger: Ledger
    cycle: Cycle
    seal: Callable[[], None]
    calls: Alerts
    inspection: Inspection | None
    end: contextlib.ExitStack


@dataclass(slots=True)
class Watch:
    """Runs cycles of any site, in any thread, and keeps the last sites' objects warm. Never two of one site at once."""

    folder: Folder
    patience: float
    reading: ThreadPoolExecutor
    """Reads activities for all sites of this worker: threads of its own for each site would be thousands."""
    stop: threading.Event = field(default_factory=threading.Event)
    now: wiring.Now = wiring.utc_now
    inspector: Inspector = field(default_factory=Inspector)
    _warm: OrderedDict[str, _Held] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cycle(self, name: str, settings: Settings) -> None:
        """One cycle of a site, with its line in the log and its heartbeat; nothing when the site rests."""
        log = structlog.get_logger("bridge.fleet").bind(site=name)
        path = wiring.heartbeat_file(settings)
        began = self.now()
        before = read_heartbeat(path) or Heartbeat(os.getpid(), settings.poll.interval, began)
        if rests(before, began):
            return
        missed = _missed(before, began)
        error = ""
        try:
            told = self._run(name, settings, missed)
            log.info("cycle", **told, seconds=round((self.now() - began).total_seconds(), 3), missed=missed)
        except Occupied as other:
            # A worker that was given up for dead goes on, or a bridge of the site's own: they act, and say how it is.
            log.warning("left alone", reason=str(other))
            return
        except BridgeError as failed:
            error = str(failed)
            log.warning("cycle failed", reason=error, failures=before.failures + 1)
            if not isinstance(failed, RetryLater) and error != before.error:
                wiring.alerts(settings, self.now).tell(Alert("stopped", f"{name} is not watched: {error}"))
        except Exception as mistake:  # as in the daemon: a mistake in one cycle must not end the watch
            error = f"{type(mistake).__name__}: {mistake}"
            log.exception("cycle failed", reason="a mistake in the program; please report it")
        if error:
            self._forget(name)
        self._note(log, path, before, settings.poll.interval, missed, error)

    def close(self) -> None:
        """Release what is warm."""
        self.inspector.close()
        while self._warm:
            _, held = self._warm.popitem()
            held.end.close()

    def _run(self, name: str, settings: Settings, missed: int) -> Mapping[str, object]:
        held = self._take(name, settings)
        try:
            if held.inspection is not None:
                self.inspector.look(held.inspection)
            try:
                report = held.cycle.run(missed=missed)
            finally:
                held.seal()
        finally:
            held.ledger.rest()
            self._keep(name, held)
        held.calls.cycle(report)
        return report.facts()

    def _take(self, name: str, settings: Settings) -> _Held:
        with self._lock:
            held = self._warm.pop(name, None)
        if held is not None:
            if held.settings == settings and held.policy == _stamp(settings.policy):
                return held
            held.end.close()
        with contextlib.ExitStack() as end:
            stamp = _stamp(settings.policy)
            rules = wiring.policy(settings.policy)
            ledger = end.enter_context(wiring.ledger(settings, self.now))
            cycle = end.enter_context(
                wiring.cycle(
                    settings, rules, ledger, stop=self.stop, now=self.now, patience=self.patience, pool=self.reading
                )
            )
            seal = wiring.sealing(settings, ledger)
            calls = wiring.alerts(settings, self.now)
            # The pause is a file, and no entry: another worker may be the one that writes to this ledger by then.
            inspection = wiring.inspection(settings, calls, self.now)
            return _Held(settings, stamp, ledger, cycle, seal, calls, inspection, end.pop_all())

    def _keep(self, name: str, held: _Held) -> None:
        with self._lock:
            self._warm[name] = held
            oldest = self._warm.popitem(last=False)[1] if len(self._warm) > WARM else None
        if oldest is not None:
            oldest.end.close()

    def _forget(self, name: str) -> None:
        """After a failure nothing is kept: neither the connection, nor what the failed cycle believed."""
        with self._lock:
            held = self._warm.pop(name, None)
        if held is not None:
            held.end.close()

    def _note(
        self,
        log: structlog.stdlib.BoundLogger,
        path: Path,
        before: Heartbeat,
        interval: float,
        missed: int,
        error: str,
    ) -> None:
        now = self.now()
        beat = replace(
            before,
            pid=os.getpid(),
            interval=interval,
            cycles=before.cycles + 1,
            missed=before.missed + missed,
            failures=before.failures + 1 if error else 0,
            last_cycle=now,
            last_success=before.last_success if error else now,
            error=error,
            stopped_at=None,
        )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_heartbeat(path, beat)
        except OSError as failed:
            log.warning("no heartbeat", path=str(path), reason=failed.strerror)


def rests(beat: Heartbeat, now: datetime) -> bool:
    """Whether a site is left alone: after each failure twice as long, so that a dead one hardly costs a place."""
    if beat.last_cycle is None or beat.failures < 2:  # the first failure may be a restart
        return False
    rest = timedelta(seconds=beat.interval * 2 ** min(beat.failures - 1, 10))
    return now < beat.last_cycle + max(min(rest, LONGEST_REST), timedelta(seconds=beat.interval))


def _missed(before: Heartbeat, now: datetime) -> int:
    if before.last_cycle is None:
        return 0
    return max(0, int((now - before.last_cycle).total_seconds() / before.interval) - 1)


def due(sites: Mapping[str, Settings], at: int, beat: int) -> list[str]:
    """The sites whose turn it is in the beat that began ``at`` (Unix time): each once in its interval, spread."""
    names = []
    for name, settings in sites.items():
        turns = max(1, round(settings.poll.interval / beat))
        if at // beat % turns == crc32(name.encode()) % turns:
            names.append(name)
    return names


# --- Jobs -----------------------------------------------------------------------------------------------------------


def run(fleet: Fleet, *, at_once: int) -> bool:
    """A worker, until SIGTERM or SIGINT. True when no cycle was left unfinished.

    Raises ConfigError where the folder or the database cannot be used, RetryLater when the database does not answer.
    Where False is returned, a thread still waits for a server: the caller must end the process.
    """
    url = queue_url(fleet)
    folder = Folder(fleet.sites, keep=fleet.beat)
    folder.sites()
    with ThreadPoolExecutor(2 * at_once, thread_name_prefix="read") as reading:
        watch = Watch(folder, fleet.patience, reading)
        cycles = ThreadPoolExecutor(at_once, thread_name_prefix="cycle")
        finished = asyncio.run(_work(url, fleet, watch, cycles, at_once))
        if not finished:
            return False
        cycles.shutdown()
        watch.close()
    return True


def queue_url(fleet: Fleet) -> str:
    """The address of the fleet's database. Raises ConfigError, and RetryLater when it does not answer."""
    url = fleet.database.get_secret_value()
    if parse(url).get_backend_name() != "postgresql":
        raise ConfigError("fleet.database (env BRIDGE_FLEET__DATABASE): must be a PostgreSQL: workers share it")
    try:
        import procrastinate  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ConfigError("a fleet needs the extra scale: pip install 'openproject-bridge[scale]'") from None
    answers(url)
    return parse(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def _work(url: str, fleet: Fleet, watch: Watch, cycles: ThreadPoolExecutor, at_once: int) -> bool:
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415 - an extra
    from procrastinate.exceptions import ConnectorException  # noqa: PLC0415

    log = structlog.get_logger("bridge.fleet")
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=4))
    running: set[str] = set()
    _tasks(app, fleet, watch, cycles, running)
    where = shown(parse(url))
    try:
        async with app.open_async():
            await _tables(app)
            work = asyncio.create_task(
                app.run_worker_async(
                    concurrency=at_once,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=GRACE,
                    fetch_job_polling_interval=1.0,
                    update_heartbeat_interval=HEARTBEAT,
                    stalled_worker_timeout=DEAD,
                )
            )
            told = _on_signals(watch.stop, work)
            log.info("started", at_once=at_once, sites=str(fleet.sites))
            with contextlib.suppress(asyncio.CancelledError):
                await work
    except ConnectorException as error:
        raise RetryLater(f"{where} does not answer: {error.__cause__ or error}") from None
    if not told.is_set():
        raise RetryLater(f"{where} does not answer any more")
    log.info("stopped", unfinished=sorted(running))
    return not running


def _on_signals(stop: threading.Event, work: asyncio.Task[None]) -> threading.Event:
    def end() -> None:
        if not stop.is_set():
            stop.set()  # whoever waits between two tries of a request waits no longer
            work.cancel()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, end)
    return stop


async def _tables(app: App) -> None:
    from procrastinate.exceptions import ConnectorException  # noqa: PLC0415

    if await app.check_connection_async():
        return
    try:
        await app.schema_manager.apply_schema_async()
    except ConnectorException:
        if not await app.check_connection_async():  # or another worker made them at the same moment
            raise


def _tasks(app: App, fleet: Fleet, watch: Watch, cycles: ThreadPoolExecutor, running: set[str]) -> None:
    """What jobs do. None is retried: with two locks on a job, a retry may break the database's own rules."""
    log = structlog.get_logger("bridge.fleet")
    said: dict[str, str] = {}

    @app.task(name="cycle", retry=0)
    async def cycle(site: str) -> None:
        await asyncio.get_running_loop().run_in_executor(cycles, one, site)

    def one(site: str) -> None:
        settings = watch.folder.sites().good.get(site)
        if settings is None:
            return  # taken away, or spoilt, since it was queued
        running.add(site)
        try:
            watch.cycle(site, settings)
        finally:
            running.discard(site)

    # No lock and no queueing lock: a beat whose worker died would hold up all others, and one that waits its turn
    # behind a long one must not be dropped, for the sites of its moment would be.
    @app.periodic(cron=f"* * * * * */{fleet.beat}")
    @app.task(name="beat", retry=0, priority=FIRST)
    async def beat(timestamp: int) -> None:
        await _take_over(app)
        try:
            sites = await asyncio.to_thread(watch.folder.sites)
        except ConfigError as error:
            log.error("no sites", reason=str(error))
            return
        for name, reason in sites.bad.items():
            if said.get(name) != reason:
                log.error("not watched", site=name, reason=reason)
        said.clear()
        said.update(sites.bad)
        await _defer(app, due(sites.good, timestamp, fleet.beat))

    @app.periodic(cron="7 * * * *")
    @app.task(name="purge", retry=0, priority=FIRST, queueing_lock="purge")
    async def purge(timestamp: int) -> None:
        # Not by the worker's delete_jobs, which takes a beat's row away before the next is due, and so loses beats.
        await app.job_manager.delete_old_jobs(
            KEPT_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
        )


async def _defer(app: App, names: list[str]) -> None:
    """A job for each of these sites that has none waiting."""
    from procrastinate.exceptions import AlreadyEnqueued  # noqa: PLC0415
    from procrastinate.jobs import Job  # noqa: PLC0415 - an extra

    waiting = {str(job.queueing_lock) for job in await app.job_manager.list_jobs_async(task="cycle", status="todo")}
    jobs = [
        Job(queue="default", task_name="cycle", lock=name, queueing_lock=name, task_kwargs={"site": name})
        for name in names
        if name not in waiting
    ]
    if not jobs:
        return
    try:
        await app.job_manager.batch_defer_jobs_async(jobs)
    except AlreadyEnqueued:  # by somebody else since: one by one, then
        for job in jobs:
            with contextlib.suppress(AlreadyEnqueued):
                await app.job_manager.defer_job_async(job)


async def _take_over(app: App) -> None:
    """Give the jobs of dead workers to those who live."""
    from procrastinate.exceptions import ConnectorException  # noqa: PLC0415 - an extra
    from procrastinate.jobs import Status  # noqa: PLC0415

    jobs: list[Job] = list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=DEAD))
    for job in jobs:
        structlog.get_logger("bridge.fleet").warning("taken over", task=job.task_name, site=job.task_kwargs.get("site"))
        try:
            await app.job_manager.retry_job(job)
        except ConnectorException:
            # The site's next job waits already and takes this one's place; or another beat was quicker.
            with contextlib.suppress(ConnectorException):
                await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
