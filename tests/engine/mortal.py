"""A fork server of bridges that are killed. Run as a program: an order a line on stdin, what became of it on stdout.

Each order forks a process that runs cycles as ``bridge run`` or ``once`` does, with its own client over a real socket
and its own database, and kills itself (SIGKILL, as ``kill -9`` or the kernel would) at the n-th of its fault
points: right before and right after each HTTP request (the server has done it, and the answer is not read yet), right
before and right after each commit that writes, right before each file beside the database takes its place and, if it
is ordered, right before each write to SQLite's own files. It also makes the disk full, read-only or busy. Nothing of
this is in the bridge.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import gc
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from requests.adapters import HTTPAdapter
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

from bridge import wiring
from bridge.cli import service
from bridge.daemon import Daemon
from bridge.errors import BridgeError
from bridge.notify import Notifier
from bridge.settings import Settings
from bridge.store import database

NOBODY = 65534


class Points:
    """Counts the fault points that this process passes, and dies at one of them."""

    def __init__(self, kill_at: int | None, log: Path) -> None:
        self._kill_at = kill_at
        self._log = log.open("w", buffering=1)
        self._passed = 0
        self._lock = threading.Lock()

    def at(self, what: str) -> None:
        """Pass a point, or never come back from it."""
        with self._lock:
            self._passed += 1
            self._log.write(what + "\n")
            if self._passed == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def watch(points: Points) -> None:
    """Put the points around everything of this process that leaves it."""
    send: Callable[..., Any] = HTTPAdapter.send
    commit: Callable[..., None] = DefaultDialect.do_commit

    def watched_send(adapter: HTTPAdapter, request: Any, *rest: Any, **named: Any) -> Any:
        what = f"{request.method} {request.path_url.split('?')[0]}"
        points.at(f"before {what}")
        answer = send(adapter, request, *rest, **named)
        points.at(f"after {what}")
        return answer

    written = 0

    def watched_commit(dialect: DefaultDialect, connection: Any) -> None:
        nonlocal written
        if dialect.name == "sqlite":
            writes, written = connection.total_changes != written, connection.total_changes
        else:
            writes = True  # PostgreSQL does not tell
        if writes:
            points.at("before commit")
        commit(dialect, connection)
        if writes:
            points.at("after commit")

    def watched_rename(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename":  # how a heartbeat and a checkpoint come to be what the next start finds
            points.at(f"before {Path(str(arguments[1])).name} is written")

    sys.addaudithook(watched_rename)
    HTTPAdapter.send = watched_send  # type: ignore[method-assign, assignment]
    DefaultDialect.do_commit = watched_commit  # type: ignore[method-assign]


class Vfs(ctypes.Structure):
    """``sqlite3_vfs``, as sqlite3.h has it."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("version", "size_of_file", "longest_path")),
        *((name, ctypes.c_void_p) for name in ("next", "name", "data")),
        *((f"method_{number}", ctypes.c_void_p) for number in range(13)),
        *((name, ctypes.c_void_p) for name in ("set_system_call", "get_system_call", "next_system_call")),
    )


WRITE = "before a write to SQLite's files"

PROTOTYPES = {
    b"write": ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t),
    b"pwrite64": ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    b"ftruncate": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64),
    b"unlink": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p),
}
PROTOTYPES[b"pwrite"] = PROTOTYPES[b"pwrite64"]
replaced: list[object] = []
"""What SQLite calls from now on: nobody else holds it."""


def watch_writes(points: Points) -> None:
    """A point before each system call by which SQLite changes a file; it lets them be replaced, to be tested."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
    vfs = library.sqlite3_vfs_find(None)
    setting = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    getting = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    get, set_ = getting(vfs.contents.get_system_call), setting(vfs.contents.set_system_call)
    for name, prototype in PROTOTYPES.items():
        address = get(vfs, name)
        if not address:  # this SQLite does without it
            continue
        system_call = prototype(address)

        def watched(*arguments: Any, name: bytes = name, system_call: Any = system_call) -> int:
            points.at(WRITE)
            return int(system_call(*arguments))

        call = prototype(watched)
        replaced.append(call)
        set_(vfs, name, ctypes.cast(call, ctypes.c_void_p))


def spoil(how: dict[str, Any]) -> None:
    """Make this process' surroundings worse."""
    if "file_size" in how:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (how["file_size"], how["file_size"]))
    if "pages" in how:
        made = database._engine

        def limited(url: Any) -> Engine:
            engine = made(url)

            @event.listens_for(engine, "connect")
            def _limit(connection: Any, _record: object) -> None:
                connection.execute(f"PRAGMA max_page_count={how['pages']}")

            return engine

        database._engine = limited
    if "busy_timeout" in how:
        database.BUSY_TIMEOUT = how["busy_timeout"]
    if how.get("nobody") and os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def live(order: dict[str, Any]) -> None:
    """The life of one process, under watch."""
    points = Points(order.get("kill_at"), Path(order["log"]))
    watch(points)
    if order.get("writes"):
        watch_writes(points)
    spoil(order)
    work(order)


def work(order: dict[str, Any]) -> None:
    """What the bridge does in it: cycles as ``bridge once`` runs them, or as ``bridge run`` does."""
    settings = Settings.model_validate(order["settings"])
    now = datetime.fromisoformat(order["now"])
    left = order["cycles"]
    stop = threading.Event()

    def clock() -> datetime:
        return now

    rules = wiring.policy(settings.policy)
    with wiring.ledger(settings, clock) as ledger, wiring.cycle(settings, rules, ledger, now=clock) as cycle:

        def watched(missed: int) -> Mapping[str, object]:
            nonlocal now, left
            told = service._cycle(cycle, missed, Notifier(), seal, wiring.alerts(settings), lambda: None)
            now += timedelta(seconds=1)
            left -= 1
            if not left:
                stop.set()
            return told

        if order.get("daemon"):
            seal = wiring.sealing(settings, ledger)
            beat = wiring.heartbeat_file(settings)
            Daemon(watched, interval=3600, jitter=0, heartbeat=beat, stop=stop, clock=clock).run()
            return
        for _ in range(left):
            cycle.run()
            now += timedelta(seconds=1)


def share_compiled_statements() -> None:
    """Let every fork find the statements compiled that the first life has compiled: half of a short life's time."""
    made, compiled = database._engine, LRUCache[Any, Any](5000)

    def warm(url: Any) -> Engine:
        engine = made(url)
        engine._compiled_cache = compiled
        return engine

    database._engine = warm


def serve() -> None:
    """Forks until stdin ends. The first order is lived here, so that no fork has to import or compile anything."""
    share_compiled_statements()
    import psycopg  # noqa: F401 - so that not every life on PostgreSQL has to

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is for the daemons' logs
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        if number == 0:
            work(order)
            for thread in set(threading.enumerate()) - {threading.current_thread()}:
                thread.join()  # a fork would have its locks without it
            gc.collect()
            gc.freeze()
            print(json.dumps({"signal": 0, "code": 0}), file=answers)
            continue
        child = os.fork()
        if child == 0:
            code, said = 0, ""
            file = Path(order["said"]).open("w")  # noqa: SIM115 - before this process becomes somebody else
            try:
                live(order)
            except BridgeError as error:
                code, said = error.exit_code, f"{type(error).__name__}: {error}"
            except BaseException as error:  # noqa: BLE001 - a test reads what it was
                code, said = 70, f"{type(error).__name__}: {error}"
            file.write(said)
            file.close()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps({"signal": killed, "code": 0 if killed else os.WEXITSTATUS(status)}), file=answers)


if __name__ == "__main__":
    serve()
