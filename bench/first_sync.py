"""A first synchronisation, beside pyopenproject reading the same tickets and activities from the same simulator.

The simulator serves on loopback from this process; each contender is a process of its own, so that its CPU time and
memory are its own. What a real server would have spent is estimated from the measurements of contract A.1.
``python -m bench first_sync [TICKETS]``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.simulator import Api, Clock, Counting, seed, serve

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parents[1]
INSTANCE = ROOT / "tests" / "recordings" / "openproject-17.6" / "instance.json"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PAGE = 100
"""Full tickets that the peer asks for at once: larger pages cost a server more a ticket (contract A.1)."""


class Connections:
    """Counts the connections that a WSGI application is reached over."""

    def __init__(self, app: Counting) -> None:
        self.app = app
        self.ports: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self.ports.add(environ["REMOTE_PORT"])
        return self.app(environ, start_response)


def furnished(tickets: int) -> Counting:
    """Tickets with four activities each, as a day at a support desk leaves them."""
    clock = Clock(START)
    instance = seed(json.loads(INSTANCE.read_text()), clock)
    clock.advance(3600)
    made = [instance.create("ca", "client-alpha", f"Bulletin {number}") for number in range(tickets)]
    for step in (
        lambda t: instance.set_status("sup", t, "EN COURS"),
        lambda t: instance.comment("ca", t, "Merci de votre réponse."),
        lambda t: instance.set_status("sup", t, "EN COURS DE TEST"),
    ):
        clock.advance(600)
        for ticket in made:
            step(ticket)
    clock.advance(600)
    return Counting(Api(instance))


def bridge(url: str, token: str) -> None:
    """Synchronise once, then run an idle cycle."""
    from bridge.domain.model import Mode
    from bridge.domain.policy import load
    from bridge.engine.cycle import Cycle, Options
    from bridge.openproject.client import Client
    from bridge.openproject.credentials import ApiKey
    from bridge.openproject.tracker import Tracker
    from bridge.store.ledger import Ledger

    class Released:
        def reason(self) -> None:
            return None

        def begin(self, reason: str) -> None:
            raise AssertionError(reason)

    def now() -> datetime:
        # The simulator's clock stands; ours must not be ahead of the tickets by more than the overlap either.
        return START + timedelta(hours=3)

    policy = load((ROOT / "config" / "cegape.yaml").read_bytes(), "cegape.yaml")
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(url, ApiKey(token)) as client,
        Ledger.open(f"sqlite:///{folder}/bridge.db", now=now) as ledger,
    ):
        cycle = Cycle(
            Tracker(client),
            ledger,
            policy,
            Options(mode=Mode.ENFORCE),
            clock=now,
            brake=Released(),
            requests=lambda: client.usage.requests,
        )
        started, cpu = time.perf_counter(), time.process_time()
        first = cycle.run()
        figures = told(time.process_time() - cpu, time.perf_counter() - started, first.read)
        idle = cycle.run()
        cycle.close()
    print(json.dumps(figures | {"idle": idle.requests, "idle_listed": idle.listed}))


def peer(url: str, token: str) -> None:
    """Read every ticket in full and its activities, as the library's own services do it."""
    from pyopenproject.business.util.filter import Filter
    from pyopenproject.openproject import OpenProject

    service = OpenProject(url=url, api_key=token).get_work_package_service()
    started, cpu = time.perf_counter(), time.process_time()
    read, page = 0, 1
    while found := list(service.find_all(page, PAGE, [Filter("status", "*", [])], '[["id","asc"]]')):
        for ticket in found:
            read += bool(list(service.find_activities(ticket)))
        page += 1
    print(json.dumps(told(time.process_time() - cpu, time.perf_counter() - started, read)))


def told(cpu: float, wall: float, tickets: int) -> dict[str, float]:
    """What a contender says of itself."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu": cpu, "wall": wall, "tickets": tickets, "peak_mib": peak}


def contend(name: str, app: Counting) -> dict[str, float]:
    """Run one contender against the simulator; its own figures and the server's."""
    counted = Connections(app)
    before = replace(app.usage)
    with serve(counted) as serving:
        done = subprocess.run(
            [sys.executable, "-m", "bench.first_sync", name, serving.url, app.app.instance.token("bridge")],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    usage = app.usage
    return figures | {
        "requests": usage.requests - before.requests,
        "mib": (usage.bytes_out - before.bytes_out) / 2**20,
        "server_s": (usage.server_ms - before.server_ms) / 1000,
        "connections": len(counted.ports),
    }


def main(arguments: list[str]) -> None:
    """Both contenders, one after the other on the same tickets."""
    tickets = int(arguments[0]) if arguments else 10_000
    app = furnished(tickets)
    ours, theirs = contend("bridge", app), contend("peer", app)
    print(f"first synchronisation of {tickets} tickets with their activities")
    print(f"{'':26}{'bridge':>12}{'pyopenproject':>16}{'ratio':>8}")
    for label, key, per in (
        ("own CPU, ms a ticket", "cpu", 1000 / tickets),
        ("peak memory, MiB", "peak_mib", 1),
        ("requests", "requests", 1),
        ("received, MiB", "mib", 1),
        ("server's time, s (est.)", "server_s", 1),
        ("connections", "connections", 1),
        ("tickets read", "tickets", 1),
    ):
        a, b = ours[key] * per, theirs[key] * per
        print(f"{label:26}{a:12.2f}{b:16.2f}{a / b:8.2f}")
    print(f"an idle cycle: {ours['idle']:.0f} request(s), {ours['idle_listed']:.0f} ticket(s) listed")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bridge", url, token]:
            bridge(url, token)
        case ["peer", url, token]:
            peer(url, token)
        case arguments:
            main(arguments)
