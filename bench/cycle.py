"""Two cycles beside 100,000 tickets in the store: one that finds 100 changed tickets, and a snapshot of them all.

The simulator serves on loopback from this process; the bridge, and pyopenproject asking for the same changes, are
processes of their own, so that CPU time and memory are theirs. Filling the store is a first synchronisation and not
part of the figures; it takes minutes. ``python -m bench cycle`` or ``python -m bench.cycle [TICKETS]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import IO

from bridge.simulator import Api, Clock, Counting, Instance, seed, serve

ROOT = Path(__file__).parents[1]
INSTANCE = ROOT / "tests" / "recordings" / "openproject-17.6" / "instance.json"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
CHANGED = 100
TARGETS = {"changed": 3.0, "snapshot": 1.0, "peak": 150.0}
"""Seconds of own CPU, and MiB."""


def furnished(tickets: int, clock: Clock) -> Instance:
    """Tickets that a client has created and CEGAPE has taken up."""
    instance = seed(json.loads(INSTANCE.read_text()), clock)
    clock.advance(3600)
    made = [instance.create("ca", "client-alpha", f"Bulletin {number}") for number in range(tickets)]
    clock.advance(3600)
    for ticket in made:
        instance.set_status("sup", ticket, "EN COURS")
    clock.advance(3600)
    return instance


def change(instance: Instance, clock: Clock, times: int) -> None:
    """A busy minute: half legal moves, half comments."""
    clock.advance(600)
    tickets = list(instance.tickets.values())
    for number, ticket in enumerate(tickets[times * CHANGED : (times + 1) * CHANGED]):
        if number % 2:
            instance.set_status("sup", ticket, "EN COURS DE TEST")
        else:
            instance.comment("ca", ticket, "Avez-vous pu regarder ?")
    clock.advance(10)


@contextmanager
def cycles(url: str, token: str, database: str) -> Iterator[object]:
    """The bridge on a database, ready to run."""
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
        return START + timedelta(hours=3, seconds=time.monotonic() % 1)

    policy = load((ROOT / "config" / "cegape.yaml").read_bytes(), "cegape.yaml")
    with Client(url, ApiKey(token)) as client, Ledger.open(database, now=now) as ledger:
        cycle = Cycle(Tracker(client), ledger, policy, Options(mode=Mode.ENFORCE), clock=now, brake=Released())
        try:
            yield cycle
        finally:
            cycle.close()


def fill(url: str, token: str, database: str) -> None:
    """A first synchronisation."""
    with cycles(url, token, database) as cycle:
        report = cycle.run()  # type: ignore[attr-defined]
    print(json.dumps({"read": report.read}))


def bridge(url: str, token: str, database: str) -> None:
    """A snapshot after a start, and a cycle after each line on standard input."""
    with cycles(url, token, database) as cycle:
        cycle.run()  # type: ignore[attr-defined]  # gets to know the server
        cycle._snapshot_at = None  # type: ignore[attr-defined]  # the next cycle compares every ticket
        for line in chain(("snapshot",), sys.stdin):
            started = time.process_time()
            report = cycle.run()  # type: ignore[attr-defined]
            figures = {"cpu": time.process_time() - started, "listed": report.listed, "read": report.read}
            print(
                json.dumps(figures | {"peak": peak(), "snapshot": report.snapshot, "after": line.strip()}), flush=True
            )


def peer(url: str, token: str, since: str) -> None:
    """The changed tickets in full, as the library reads them, and the activities of each."""
    from pyopenproject.business.util.filter import Filter
    from pyopenproject.openproject import OpenProject

    service = OpenProject(url=url, api_key=token).get_work_package_service()
    started = time.process_time()
    wanted = [Filter("status", "*", []), Filter("updatedAt", "<>d", [since, ""])]
    found = list(service.find_all(1, 1000, wanted, '[["id","asc"]]'))
    for ticket in found:
        list(service.find_activities(ticket))
    print(json.dumps({"cpu": time.process_time() - started, "read": len(found), "peak": peak()}))


def peak() -> float:
    """MiB that this process held at most. Not ``ru_maxrss``, which begins with what its parent held."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def told(stream: IO[str] | None) -> dict[str, float]:
    """The next figures of a contender."""
    assert stream is not None
    line = stream.readline()
    if not line:
        raise SystemExit("the contender ended before it told its figures")
    figures: dict[str, float] = json.loads(line)
    return figures


def contender(*arguments: str) -> subprocess.Popen[str]:
    """A process of its own."""
    command = [sys.executable, "-m", "bench.cycle", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def main(arguments: list[str]) -> int:
    """Exit status 1 where a target is missed."""
    tickets = int(arguments[0]) if arguments else 100_000
    clock = Clock(START)
    instance = furnished(tickets, clock)
    app = Counting(Api(instance))
    token = instance.token("bridge")
    with tempfile.TemporaryDirectory() as folder, serve(app) as serving:
        database = f"sqlite:///{folder}/bridge.db"
        with contender("fill", serving.url, token, database) as filling:
            filled = told(filling.stdout)
        assert filled["read"] == tickets
        with contender("bridge", serving.url, token, database) as running:
            snapshot = told(running.stdout)
            change(instance, clock, 0)
            before = replace(app.usage)
            assert running.stdin is not None
            print("changed", file=running.stdin, flush=True)
            changed = told(running.stdout)
            spent = app.usage.requests - before.requests, (app.usage.server_ms - before.server_ms) / 1000
            running.stdin.close()
        since = f"{clock() - timedelta(seconds=60):%Y-%m-%dT%H:%M:%SZ}"
        before = replace(app.usage)
        with contender("peer", serving.url, token, since) as other:
            theirs = told(other.stdout)
        their = app.usage.requests - before.requests, (app.usage.server_ms - before.server_ms) / 1000
    print(f"{tickets} tickets in the store, {CHANGED} of them changed")
    print(f"{'':34}{'bridge':>10}{'pyopenproject':>16}{'ratio':>8}")
    for label, ours, other_s in (
        ("own CPU of the cycle, s", changed["cpu"], theirs["cpu"]),
        ("requests", spent[0], their[0]),
        ("server's time, s (est.)", spent[1], their[1]),
        ("tickets read", changed["read"], theirs["read"]),
        ("peak memory, MiB", changed["peak"], theirs["peak"]),
    ):
        print(f"{label:34}{ours:>10.2f}{other_s:>16.2f}{other_s / ours:>8.1f}")
    print(
        f"{'own CPU of a snapshot of all, s':34}{snapshot['cpu']:>10.2f}   ({snapshot['listed']:.0f} tickets compared)"
    )
    measured = {"changed": changed["cpu"], "snapshot": snapshot["cpu"], "peak": changed["peak"]}
    for name, target in TARGETS.items():
        print(f"{name}: {measured[name]:.2f} of {target:g} allowed ({measured[name] / target:.0%})")
    return int(any(measured[name] >= target for name, target in TARGETS.items()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", *rest]:
            fill(*rest)
        case ["bridge", *rest]:
            bridge(*rest)
        case ["peer", *rest]:
            peer(*rest)
        case rest:
            sys.exit(main(rest))
