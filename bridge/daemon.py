"""Runs one cycle after another, on time, until it is told to stop. What a cycle does is the engine's business.

A cycle that fails is a line in the log and in the heartbeat, and the next one comes; a cycle that says that going on
would do harm (``Stop``, ``ConfigError``) ends the daemon.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from bridge.errors import BridgeError, ConfigError, Stop

GRACE = 1.5
"""Seconds that a cycle gets to finish after SIGTERM. It is safe to leave it then: what it did is in the ledger, and the
next start finishes it exactly once."""

MOST_HINTS = 50
"""Tickets that a short cycle looks at one by one; for more, a whole cycle costs OpenProject less."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How the daemon is, for ``bridge status`` and for whoever watches the file."""

    pid: int
    interval: float
    """Seconds between cycles."""
    started_at: datetime
    cycles: int = 0
    missed: int = 0
    """Cycles that were due while another was running or the machine slept, as far as a later one has recorded them."""
    failures: int = 0
    """Cycles that failed since the last good one."""
    last_cycle: datetime | None = None
    last_success: datetime | None = None
    error: str = ""
    """Why the last cycle failed; empty when it did not."""
    stopped_at: datetime | None = None


def read_heartbeat(path: Path) -> Heartbeat | None:
    """The last heartbeat; None when there never was one, or the file is not one.

    Raises PermissionError where this user may not look.
    """
    try:
        fields = orjson.loads(path.read_bytes())
        times = {name: _time(fields[name]) for name in ("last_cycle", "last_success", "stopped_at")}
        return Heartbeat(**fields | times | {"started_at": datetime.fromisoformat(fields["started_at"])})
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_heartbeat(path: Path, beat: Heartbeat) -> None:
    """Whole or not at all: whoever reads the file never sees half of it. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(asdict(beat)))
    fresh.replace(path)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class Daemon:
    """Calls ``cycle`` every ``interval`` seconds, never two at once. ``run`` returns when it was stopped."""

    def __init__(
        self,
        cycle: Callable[[int], Mapping[str, object]],
        *,
        interval: float,
        jitter: float,
        heartbeat: Path,
        stop: threading.Event | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_at: Callable[[frozenset[int]], Mapping[str, object]] | None = None,
    ) -> None:
        """``cycle`` is told how many were missed since the last one, and returns what its log line shall say.

        ``look_at`` is a short cycle over the tickets that ``hint`` named; without it, a hint wakes a whole one.
        """
        self._cycle = cycle
        self._look_at = look_at
        self._hints: set[int] = set()
        self._hints_lock = threading.Lock()
        self._interval = interval
        self._path = heartbeat
        self._clock = clock
        self._log = structlog.get_logger("bridge.daemon")
        self._stop = stop if stop is not None else threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._fatal: BridgeError | None = None
        self._missed = 0
        self._slept = 0
        """Cycles that nobody could count, as the machine slept; written by the cycle's thread alone."""
        self._began: datetime | None = None
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(1)},
            # misfire None: a late cycle is run, not dropped (APScheduler would drop it after one second).
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._count_missed, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)
        self._scheduler.add_job(
            self._run_one,
            "interval",
            seconds=interval,
            jitter=jitter or None,
            id="cycle",
            next_run_time=datetime.now(UTC),
        )
        self._beat = Heartbeat(os.getpid(), interval, clock())

    def run(self) -> bool:
        """Until SIGTERM, SIGINT or ``stop``. True when no cycle was left unfinished. Raises Stop or ConfigError.

        Where False is returned, a thread still waits for the server: the caller must end the process.
        """
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._stop.set())
        self._write()
        self._log.info("started", interval=self._interval)
        self._scheduler.start()
        self._stop.wait()
        self._scheduler.shutdown(wait=False)
        finished = self._idle.wait(GRACE)
        self._beat = replace(self._beat, stopped_at=self._clock())
        self._write()
        self._log.info("stopped", cycles=self._beat.cycles, unfinished=not finished)
        if self._fatal is not None:
            raise self._fatal
        return finished

    def wake(self) -> None:
        """Run a cycle that begins after this call, as soon as possible; many calls at once are one or two."""
        # A job of its own: the regular one would be skipped while a cycle runs, and that cycle may have looked already.
        # Two of them, one running and one waiting: the waiting one begins after every call that finds it there.
        self._scheduler.add_job(self._run_one, id="wake", replace_existing=True, max_instances=2)

    def hint(self, ticket: int) -> None:
        """Look at this ticket as soon as possible. Hints of one moment are looked at together."""
        with self._hints_lock:
            self._hints.add(ticket)
            many = len(self._hints) > MOST_HINTS
            if many:
                self._hints.clear()
        if many or self._look_at is None:
            self.wake()
        else:
            self._scheduler.add_job(self._run_hinted, id="hint", replace_existing=True, max_instances=2)

    def _run_hinted(self) -> None:
        """Looks at what was hinted. Says nothing about how the regular cycles are, so it leaves the heartbeat alone."""
        with self._hints_lock:
            hints = frozenset(self._hints)
            self._hints.clear()
        if not hints or self._stop.is_set() or self._look_at is None:
            return
        self._idle.clear()
        try:
            self._log.info("hinted cycle", **self._look_at(hints), hints=len(hints))
        except (ConfigError, Stop) as fatal:
            self._end(fatal)
        except BridgeError as later:
            self._log.warning("hinted cycle failed", reason=str(later))  # the next regular cycle looks there anyway
        except Exception:  # noqa: BLE001 - as in _run_one: a mistake in one cycle must not end the watch
            self._log.exception("hinted cycle failed", reason="a mistake in the program; please report it")
        finally:
            self._idle.set()

    def _end(self, fatal: BridgeError) -> None:
        self._fatal = fatal
        self._log.error("stop", reason=str(fatal))
        self._stop.set()

    def _count_missed(self, event: JobEvent) -> None:
        if event.job_id != "cycle":
            return
        self._missed += 1  # written by the scheduler's thread alone, as _beat is by the cycle's
        self._log.warning("missed", reason="the cycle before is still running", missed=self._missed)

    def _run_one(self) -> None:
        if self._stop.is_set():
            return
        self._idle.clear()
        began = self._clock()
        missed = self._missed + self._slept - self._beat.missed
        if (
            self._began is not None
            and (gap := int((began - self._began).total_seconds() / self._interval) - 1) > missed
        ):
            self._slept += gap - missed
            missed = gap
        self._began = began
        error = ""
        try:
            told = self._cycle(missed)
            self._beat = replace(self._beat, missed=self._beat.missed + missed)
            self._log.info("cycle", **told, seconds=round((self._clock() - began).total_seconds(), 3), missed=missed)
        except (ConfigError, Stop) as fatal:
            error = str(fatal)
            self._end(fatal)
        except BridgeError as later:
            error = str(later)
            self._log.warning("cycle failed", reason=error, failures=self._beat.failures + 1)
        except Exception as mistake:  # noqa: BLE001 - one of two places: a mistake in one cycle must not end the watch
            error = f"{type(mistake).__name__}: {mistake}"
            self._log.exception("cycle failed", reason="a mistake in the program; please report it")
        finally:
            self._note(error)
            self._idle.set()

    def _note(self, error: str) -> None:
        now = self._clock()
        self._beat = replace(
            self._beat,
            cycles=self._beat.cycles + 1,
            failures=self._beat.failures + 1 if error else 0,
            last_cycle=now,
            last_success=self._beat.last_success if error else now,
            error=error,
        )
        self._write()

    def _write(self) -> None:
        try:
            write_heartbeat(self._path, self._beat)
        except OSError as error:
            self._log.warning("no heartbeat", path=str(self._path), reason=error.strerror)
