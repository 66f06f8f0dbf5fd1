"""When a service's record is checked, and what is done when it does not hold; never in the thread of the cycles.

After each checkpoint what came since the last good one, and everything at an interval. What was found is kept in a
file: a new start neither checks everything again nor tells again what stands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import orjson
import structlog

from bridge.errors import BridgeError, ConfigError
from bridge.store.inspection import Found

REST = timedelta(hours=1)
"""After a check that could not be made: what ended it (no memory, no database) rarely goes away in a minute, and each
try at the whole record costs minutes of the disk."""

PARTING = 5.0
"""Seconds at most that the end waits for a call that is under way; a check is ended at once."""


@dataclass(frozen=True, slots=True)
class State:
    """What the checks have found so far."""

    size: int = 0
    chain: str = ""
    """Of the last checkpoint up to which the record was found good, in hex."""
    whole_at: datetime | None = None
    """When everything was last checked."""
    broken: str = ""
    """The first thing that is wrong; empty while the record holds."""
    told: bool = True
    """Whether everybody who is to know of it was reached."""
    seen: int = 0
    """Size of the last checkpoint that was looked at."""


def read_state(path: Path) -> State | None:
    """None before the first check, and where the file is not one: then everything is checked again."""
    try:
        fields = orjson.loads(path.read_bytes())
        whole_at = fields["whole_at"]
        state = State(**fields | {"whole_at": None if whole_at is None else datetime.fromisoformat(whole_at)})
        bytes.fromhex(state.chain)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    types = [type(value) for value in (state.size, state.broken, state.told, state.seen)]
    known = types == [int, str, bool, int] and (state.whole_at is None or state.whole_at.tzinfo is not None)
    return state if known else None


def write_state(path: Path, state: State) -> None:
    """Whole or not at all. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(asdict(state)))
    fresh.replace(path)


@dataclass(frozen=True, slots=True)
class Means:
    """What an inspection is made with."""

    last: Callable[[], int | None]
    """Size of the last signed checkpoint; None where there is none to go by."""
    check: Callable[[tuple[int, bytes] | None], Found]
    """Check what came since a checkpoint (size and chain value), or everything. Raises BridgeError."""
    brake: Callable[[str], None]
    """Let nothing be put back until a person resumes. Raises ConfigError."""
    tell: Callable[[str], bool]
    """Call a person; whether everybody was reached."""
    clock: Callable[[], datetime]
    end: Callable[[], None] = lambda: None
    """End a check that is under way."""


class Inspection:
    """What is due for one record, and what follows from it."""

    def __init__(self, means: Means, path: Path, every: timedelta) -> None:
        self.fatal: ConfigError | None = None
        """Why the brake could not be put on: nothing can keep the cycles from acting then but that there are none."""
        self.asked = False
        """Whether it waits for its turn."""
        self._means = means
        self._path = path
        self._every = every
        self._log = structlog.get_logger("bridge.inspection")
        self._ended = False
        self._not_before: datetime | None = None

    def end(self) -> None:
        """End a check that is under way, in another thread."""
        self._ended = True
        self._means.end()

    def rest(self) -> None:
        """Check nothing for a while."""
        self._not_before = self._means.clock() + REST

    def inspect(self) -> None:
        """Check what is due now, in the caller's thread."""
        now, state = self._means.clock(), read_state(self._path) or State()
        if state.broken and not state.told:
            state = self._keep(replace(state, told=self._means.tell(state.broken)))
        if self._not_before is not None and now < self._not_before:
            return
        try:
            found = self._check(state, now)
        except BridgeError as error:
            if not self._ended:
                self._log.warning("record not checked", reason=str(error))
                self.rest()
            return
        if found is not None:
            self._take(state, found, now)

    def _check(self, state: State, now: datetime) -> Found | None:
        """None when nothing is due."""
        size = self._means.last()
        if size is None:
            return None
        # A time to come is not believed: whoever writes it there would put the check off.
        whole = state.whole_at is None or not timedelta(0) <= now - state.whole_at < self._every
        if not whole and size <= state.seen:
            return None
        # While something is wrong, only a look at everything can tell that it was put right.
        return self._means.check(None if whole or state.broken else (state.size, bytes.fromhex(state.chain)))

    def _take(self, state: State, found: Found, now: datetime) -> None:
        state = replace(state, seen=found.size, whole_at=now if found.whole else state.whole_at)
        if found.first is None:
            self._log.info("record holds", entries=found.size, whole=found.whole)
            self._keep(replace(state, size=found.size, chain=found.chain.hex(), broken="", told=True))
            return
        said = found.first.message
        self._log.error("record broken", entry=found.first.seq, kind=found.first.kind, reason=said)
        if said == state.broken:
            self._keep(state)
            return
        try:
            self._means.brake(said)
        except ConfigError as error:
            self.fatal = error
        self._keep(replace(state, broken=said, told=self._means.tell(said)))

    def _keep(self, state: State) -> State:
        try:
            write_state(self._path, state)
        except OSError as error:
            self._log.warning("record's state not kept", path=str(self._path), reason=error.strerror)
        return state


class Inspector:
    """Makes the inspections that it is asked for, one after another, in a thread of its own."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Inspection | None] = SimpleQueue()
        self._now: Inspection | None = None
        self._closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def look(self, inspection: Inspection) -> None:
        """See soon whether something is to be checked; never waits. Raises ConfigError where a brake failed."""
        if inspection.fatal is not None:
            raise inspection.fatal
        if inspection.asked or self._closed:
            return
        with self._starting:  # a fleet's cycles ask from several threads at once
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)
                self._thread.start()
        inspection.asked = True
        self._asked.put(inspection)

    def close(self) -> None:
        """End a check that is under way, and look no more."""
        self._closed = True
        self._asked.put(None)
        if (now := self._now) is not None:
            now.end()
        if self._thread is not None:
            self._thread.join(PARTING)

    def _run(self) -> None:
        while (inspection := self._asked.get()) is not None:
            self._now = inspection
            inspection.asked = False
            if self._closed:
                return
            try:
                inspection.inspect()
            except Exception:  # noqa: BLE001 - a mistake in one check must not end all others
                structlog.get_logger("bridge.inspection").exception(
                    "record not checked", reason="a mistake in the program; please report it"
                )
                inspection.rest()
